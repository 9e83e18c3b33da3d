"""A store in front of another hands on what it does not do itself."""

import inspect

from stores.harness import GRANT, TOKEN, Clock

from proxy.ports import Store
from proxy.stores.front import Front
from proxy.stores.memory import MemoryStore


async def test_everything_is_handed_on() -> None:
    """Each method of the port is called on the store behind, with the same words.

    What each of them does then, `outboxed` shows in the contract suites.
    """
    asked: list[str] = []

    class Listening(MemoryStore):
        def __getattribute__(self, name: str) -> object:
            asked.append(name)
            return super().__getattribute__(name)

    behind = Listening(now=Clock())
    front = Front(behind)
    methods = {name for name in dir(Store) if not name.startswith("_")}
    for name in sorted(methods):
        here, there = inspect.getattr_static(front, name), inspect.getattr_static(behind, name)
        if inspect.isfunction(here):
            assert list(inspect.signature(here).parameters) == (
                list(inspect.signature(there).parameters)
            )
    await front.open()
    await front.save_grant(TOKEN, GRANT)
    assert await front.grant(TOKEN) == GRANT
    assert front.trouble == behind.trouble
    await front.close()
    assert {"open", "save_grant", "grant", "trouble", "close"} <= set(asked)

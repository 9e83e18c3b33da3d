"""What the tests of other protocols' SDKs share: one call, made by a plain or an asyncio client."""

import asyncio
import inspect
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

from sdk.views import plain

Client: TypeAlias = Any
"""An SDK's client: whether its calls must be awaited, they tell themselves."""

Call: TypeAlias = Callable[[Client], Awaitable[object]]
MakeClient: TypeAlias = Callable[[str, str], Client]
"""By base URL and key."""


async def settled(value: Any) -> Any:  # noqa: ANN401 - an SDK's answer
    """A value, or what awaiting it comes to."""
    return await value if inspect.isawaitable(value) else value


async def parts(stream: Any) -> list[Any]:  # noqa: ANN401 - an SDK's stream
    """Everything a stream gives, or a page with all that follow it."""
    stream = await settled(stream)
    if isinstance(stream, AsyncIterable):
        return [part async for part in stream]
    assert isinstance(stream, Iterable)
    return list(stream)


async def called(make: MakeClient, url: str, key: str, call: Call, sandbox: str = "") -> Any:  # noqa: ANN401 - JSON
    """What the caller gets, as plain values; in a thread, because a plain client blocks."""
    value = await _in_thread(make, url, key, call)
    return plain(value, sandbox or url)


async def failed(make: MakeClient, url: str, key: str, call: Call) -> Exception:
    """The exception that a call ends with."""
    value = await _in_thread(make, url, key, call)
    assert isinstance(value, Exception), value
    return value


async def _in_thread(make: MakeClient, url: str, key: str, call: Call) -> object:
    async def run() -> object:
        async with _opened(make(url, key)) as client:
            try:
                return await call(client)
            except Exception as error:  # noqa: BLE001 - what comes of a call is what is looked at
                return error

    return await asyncio.to_thread(asyncio.run, run())


@asynccontextmanager
async def _opened(client: Client) -> AsyncIterator[Client]:
    if hasattr(client, "__aenter__"):
        async with client as opened:
            yield opened
    else:
        with client as opened:
            yield opened

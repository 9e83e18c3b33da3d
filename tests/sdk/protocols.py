"""What the tests of other protocols' SDKs share: one call, made by a plain or an asyncio client."""

import asyncio
import inspect
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
)
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


async def played(make: MakeClient, url: str, key: str, calls: Mapping[str, Call]) -> dict[str, Any]:
    """What comes of each call, one after the other by one client, as plain values."""

    async def all_of_them(client: Client) -> object:
        return {name: await _come_of(call, client) for name, call in calls.items()}

    value: dict[str, Any] = await called(make, url, key, all_of_them)
    return value


async def failed(make: MakeClient, url: str, key: str, call: Call) -> Exception:
    """The exception that a call ends with."""
    value = await _in_thread(make, url, key, call)
    assert isinstance(value, Exception), value
    return value


async def _in_thread(make: MakeClient, url: str, key: str, call: Call) -> object:
    return await asyncio.to_thread(asyncio.run, outcome(make, url, key, call))


async def outcome(make: MakeClient, url: str, key: str, call: Call) -> object:
    """The value of a call, or the exception it ends with."""
    async with opened(make(url, key)) as client:
        return await _come_of(call, client)


async def _come_of(call: Call, client: Client) -> object:
    try:
        return await call(client)
    except Exception as error:  # noqa: BLE001 - what comes of a call is what is looked at
        return error


@asynccontextmanager
async def opened(client: Client) -> AsyncIterator[Client]:
    """A client that is closed at the end, whichever kind it is."""
    if hasattr(client, "__aenter__"):
        async with client as ready:
            yield ready
    else:
        with client as ready:
            yield ready

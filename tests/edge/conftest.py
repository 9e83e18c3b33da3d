"""The loop the proxy runs on, and the rule for every test here: no task is left over."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping

import pytest
import uvloop
from edge.rig import eventually


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """uvloop, as `proxy.app` runs: its transports differ from asyncio's in when they close."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(autouse=True)
async def nothing_left_over(caplog: pytest.LogCaptureFixture) -> AsyncIterator[None]:
    """Whatever a test did: no task of it runs on, and no library had anything to complain of."""
    yield
    await eventually(lambda: asyncio.all_tasks() == {asyncio.current_task()})
    assert not [record.getMessage() for record in caplog.records]


@pytest.fixture
def full_backlog() -> Iterator[str]:
    """A URL whose connections are neither accepted nor refused: its queue is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        address = server.getsockname()
        waiting = []
        for _ in range(4):
            one = socket.socket()
            one.setblocking(False)  # noqa: FBT003 - its only form
            one.connect_ex(address)
            waiting.append(one)
        yield f"http://127.0.0.1:{address[1]}"
        for one in waiting:
            one.close()

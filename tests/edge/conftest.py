"""The loop the proxy runs on, and the rule for every test here: no task is left over."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import uvloop

from tests.edge.rig import eventually


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """uvloop, as `proxy.app` runs: its transports differ from asyncio's in when they close."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(autouse=True)
async def nothing_left_over() -> AsyncIterator[None]:
    """Whatever a test did: when its stand is down, no task of it runs on."""
    yield
    await eventually(lambda: asyncio.all_tasks() == {asyncio.current_task()})

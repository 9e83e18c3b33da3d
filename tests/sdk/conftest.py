"""The real SDK, pointed at one place at a time."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import dashscope
import pytest
from dashscope.api_entities.http_request import close_shared_sync_session

Point: TypeAlias = Callable[[str, str], None]


@pytest.fixture
def point() -> Iterator[Point]:
    """Point the 1.x surface at a base URL with a key, for this test.

    Its module attributes are its configuration, and the only one every call honours: a
    `base_address=` is ignored by uploads and by the waiting inside `call`.
    """
    before = dashscope.base_http_api_url, dashscope.api_key

    def set_both(url: str, key: str) -> None:
        dashscope.base_http_api_url, dashscope.api_key = url, key

    yield set_both
    dashscope.base_http_api_url, dashscope.api_key = before
    close_shared_sync_session()


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A local file; upstream's stage looks at its size only."""
    path = tmp_path / "photo.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(2000))
    return path


@pytest.fixture
def nowhere() -> Iterator[str]:
    """An address that refuses connections: its port is taken, by a socket that never listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        host, port = taken.getsockname()
        yield f"{host}:{port}"

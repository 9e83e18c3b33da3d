"""`sandbox`: its flags. What it does stands in `tests/sandbox` and `tests/system/test_demo.py`."""

import socket

import pytest
from cli.conftest import Cli


@pytest.mark.parametrize("address", ["8081", "localhost", ":8081", "a:b", "127.0.0.1:99999", ""])
def test_an_address_that_is_none(cli: Cli, address: str) -> None:
    """One line that names the flag and shows what would be right."""
    said = cli("sandbox", "--listen", address)
    assert said.code == 1
    (line,) = said.err.splitlines()
    assert line == f"--listen: {address!r} is no address; write host:port"


def test_a_port_in_use(cli: Cli) -> None:
    """One line, and no traceback of asyncio's."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = cli("sandbox", "--listen", f"127.0.0.1:{port}")
    assert said.code == 1
    (line,) = said.err.splitlines()
    assert line.startswith(f"--listen: 127.0.0.1:{port}: ")
    assert "in use" in line


@pytest.mark.parametrize("seconds", ["soon", "", "-1"])
def test_a_time_that_is_none(cli: Cli, seconds: str) -> None:
    """The same for the length of a task."""
    said = cli("sandbox", "--task-seconds", seconds)
    assert said.code == 2
    assert "--task-seconds" in said.err.splitlines()[-1]


@pytest.mark.parametrize("rate", ["0", "many", "1.5"])
def test_a_limit_that_is_none(cli: Cli, rate: str) -> None:
    """And for how often it may be polled."""
    said = cli("sandbox", "--queries-per-second", rate)
    assert said.code == 2
    assert "--queries-per-second" in said.err.splitlines()[-1]

"""What several commands share: settings, stores, and how mistakes are told."""

import time
from pathlib import Path

import pytest
from cli.conftest import Cli
from redis_server import RedisServer, free_port

REFUSED = [
    (["serve", "--listen", "8080"], "--listen: '8080' is no address; write host:port"),
    (["serve", "--listen", "127.0.0.1:99999"], "--listen: '127.0.0.1:99999' is no address"),
    (["serve", "--workers", "0"], "--workers: '0' must be a number from 1 to 256, or auto"),
    (["serve", "--workers", "2", "--store", "memory:"], "--store: memory: lives in one process"),
    (["serve", "--store", "foo://x"], "--store: store URL: scheme 'foo' is not one of redis"),
    (["check", "--store", "foo://x"], "--store: store URL: scheme 'foo' is not one of redis"),
    (["token", "list", "--store", "foo://x"], "--store: store URL: scheme 'foo' is not one of"),
    (["serve", "--routes", "/nowhere.yaml"], "/nowhere.yaml:1: cannot be read"),
    (["check", "--routes", "/nowhere.yaml"], "/nowhere.yaml:1: cannot be read"),
    (["serve", "--listen", "unix:/nowhere/x.sock"], "--listen: unix:/nowhere/x.sock: cannot"),
    (["serve", "--listen", f"unix:/{'a' * 200}"], "path too long"),
]


@pytest.mark.parametrize(("words", "problem"), REFUSED, ids=lambda value: " ".join(value)[:50])
def test_one_line_names_the_flag(
    cli: Cli, key: dict[str, str], words: list[str], problem: str
) -> None:
    """A mistake in a flag is told by the flag's name, in one line, before anything runs."""
    said = cli(*words, **key)
    assert said.code == 1
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert problem in line


VARIABLES = {
    "PROXY_LISTEN": "8080",
    "PROXY_ADMIN_LISTEN": "localhost",
    "PROXY_WORKERS": "many",
    "PROXY_MAX_BODY": "lots",
    "PROXY_DRAIN": "-1",
    "PROXY_UPSTREAM": "dashscope.aliyuncs.com",
    "PROXY_LOG": "xml",
    "PROXY_STORE": "foo://x",
}


@pytest.mark.parametrize("name", VARIABLES)
def test_one_line_names_the_variable(cli: Cli, key: dict[str, str], name: str) -> None:
    """A mistake in the environment is told by the variable's name."""
    said = cli("serve", **key, **{name: VARIABLES[name]})
    assert said.code == 1
    (line,) = said.err.splitlines()
    assert line.startswith(f"{name}: ")


def test_all_mistakes_at_once(cli: Cli, key: dict[str, str]) -> None:
    """Whoever has three mistakes to mend hears of all three."""
    said = cli("serve", **key, PROXY_LISTEN="x", PROXY_DRAIN="x", PROXY_MAX_BODY="x")
    assert len(said.err.splitlines()) == 3


def test_a_key_is_never_quoted(cli: Cli) -> None:
    """A key that is wrong is still a key."""
    said = cli("serve", DASHSCOPE_API_KEY="sk-with blanks")
    assert said.code == 1
    assert "DASHSCOPE_API_KEY: the variable has blanks" in said.err
    assert "sk-with" not in said.err


def test_a_store_url_is_never_quoted(cli: Cli) -> None:
    """A store's URL may hold a password, also when nobody answers there."""
    said = cli("token", "list", "--store", f"redis://me:hush@127.0.0.1:{free_port()}")
    assert said.code == 1
    assert "hush" not in said.err


def test_redis_down_is_told_soon(cli: Cli) -> None:
    """Nobody waits for a Redis that is not there, and the line says what was tried."""
    started = time.monotonic()
    port = free_port()
    said = cli("token", "list", PROXY_STORE=f"redis://127.0.0.1:{port}")
    assert time.monotonic() - started < 5  # about 0.1 on a quiet machine
    assert said.code == 1
    (line,) = said.err.splitlines()
    assert line.startswith("PROXY_STORE: the redis store does not answer: ")
    assert str(port) in line


def test_redis_frozen_is_told_soon(cli: Cli) -> None:
    """Nor for one that accepts and never answers."""
    with RedisServer.started() as redis:
        redis.pause()
        started = time.monotonic()
        said = cli("token", "list", "--store", redis.url)
        took = time.monotonic() - started
        redis.resume()
    assert said.code == 1
    assert took < 6  # about 1 on a quiet machine
    (line,) = said.err.splitlines()
    assert line.startswith("--store: the redis store does not answer: ")


def test_a_wrong_redis_password_is_told(cli: Cli) -> None:
    """Redis's own words say what is wrong, and not the password."""
    with RedisServer.started("--requirepass", "right-password") as redis:
        url = redis.url.replace("redis://", "redis://:wrong-password@")
        said = cli("token", "list", "--store", url)
    assert said.code == 1
    assert "password" in said.err.replace("wrong-password", "LEAK")
    assert "LEAK" not in said.err.replace("wrong-password", "LEAK")


@pytest.mark.parametrize("path", ["/proc/nowhere/proxy.db", "/dev/null/proxy.db"])
def test_a_file_that_cannot_be_is_told(cli: Cli, path: str) -> None:
    """The line says why the file cannot be used."""
    said = cli("token", "list", "--store", f"sqlite://{path}")
    assert said.code == 1
    (line,) = said.err.splitlines()
    assert line.startswith("--store: the sqlite store does not answer: ")
    assert "Error: " in line


def test_a_directory_is_no_store(cli: Cli, tmp_path: Path) -> None:
    """The same for a path that is a directory, and it is left as it was."""
    said = cli("token", "list", "--store", f"sqlite://{tmp_path}")
    assert said.code == 1
    assert "unable to open database file" in said.err
    assert not list(tmp_path.glob("*.db*"))


def test_no_database_is_no_store(cli: Cli, tmp_path: Path) -> None:
    """A file that is something else is not touched."""
    letter = tmp_path / "letter.txt"
    letter.write_text("Dear all,\n" * 200)
    said = cli("token", "list", "--store", f"sqlite://{letter}")
    assert said.code == 1
    assert "file is not a database" in said.err
    assert letter.read_text() == "Dear all,\n" * 200

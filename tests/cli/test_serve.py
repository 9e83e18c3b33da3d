"""`serve`: what keeps it from starting. What it does when it has is in `tests/system`."""

import subprocess
import sys
from pathlib import Path

import pytest
from cli.conftest import Cli
from harness import UPSTREAM_KEY


def test_without_an_account(cli: Cli) -> None:
    """It says which variable to set, and which flag shows it off without one."""
    said = cli("serve")
    assert said.code == 1
    (line,) = said.err.splitlines()
    assert line.startswith("DASHSCOPE_API_KEY: set it, or list `upstreams:` in the route file")
    assert "--demo" in line


def test_a_key_file_that_is_not_there(cli: Cli) -> None:
    """The file is named."""
    said = cli("serve", DASHSCOPE_API_KEY_FILE="/nowhere/key")
    assert said.code == 1
    assert "/nowhere/key cannot be read" in said.err


@pytest.mark.parametrize("content", ["", "\n", "two words\n", "schlüssel\n"])
def test_a_key_file_that_holds_no_key(cli: Cli, tmp_path: Path, content: str) -> None:
    """An empty or mangled secret is found before anybody is refused with it."""
    key = tmp_path / "key"
    key.write_text(content)
    said = cli("serve", DASHSCOPE_API_KEY_FILE=str(key))
    assert said.code == 1
    assert said.err.startswith("DASHSCOPE_API_KEY_FILE: the file ")
    assert not content.strip() or content.strip() not in said.err


def test_memory_is_for_one_process(cli: Cli, key: dict[str, str]) -> None:
    """Workers would each have a memory of their own."""
    said = cli("serve", PROXY_STORE="memory:", PROXY_WORKERS="2", **key)
    assert said.code == 1
    assert said.err.startswith("PROXY_STORE: memory: lives in one process; use sqlite://")


@pytest.mark.parametrize(
    "command",
    [[sys.executable, "-m", "proxy"], [str(Path(sys.executable).with_name("dashscope-proxy"))]],
    ids=["module", "script"],
)
def test_both_names_are_one_program(command: list[str], tmp_path: Path) -> None:
    """`python -m proxy` and `dashscope-proxy` say the same, under the same name."""
    environment = {
        "HOME": str(tmp_path),
        "PATH": "/usr/bin:/bin",
        "DASHSCOPE_API_KEY": UPSTREAM_KEY,
    }
    done = subprocess.run(
        [*command, "--help"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.startswith("Usage: dashscope-proxy [OPTIONS] COMMAND")
    for name in ("serve", "check", "token", "sandbox"):
        assert f"\n  {name} " in done.stdout


OTHERS = {"proxy.cli.check", "proxy.cli.usage", "proxy.sandbox", "redis", "sqlite3", "structlog"}
"""What some need, and whoever serves with another store, or logs as JSON, does not."""


@pytest.mark.parametrize(
    ("code", "needed", "others"),
    [
        ("import proxy.app.process", "proxy.edge.gateway", OTHERS),
        (
            "from proxy.cli import COMMANDS; COMMANDS['serve']()",
            "proxy.app.workers",
            OTHERS | {"aiohttp", "httptools", "uvloop", "proxy.edge.gateway"},
        ),
    ],
    ids=["who serves", "the parent of workers"],
)
def test_imports_what_it_needs(code: str, needed: str, others: set[str]) -> None:
    """Imports are most of a cold start: what only others need is left to them."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {code}; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    imported = set(done.stdout.split())
    assert needed in imported
    assert imported & others == set()


def test_imports_are_in_no_search_for_garbage() -> None:
    """Neither meanwhile nor later: the first two looks at them were a sixth of a cold start."""
    code = (
        "import gc; from proxy.cli import main; main.get_command(None, 'serve');"
        "print(gc.isenabled(), len(gc.get_objects()) < gc.get_freeze_count() / 100)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["True", "True"]

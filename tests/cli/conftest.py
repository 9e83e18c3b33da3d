"""The command line, run in this process with an environment and a home of its own."""

import json
import os
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from click.testing import CliRunner
from harness import EVIDENCE, UPSTREAM_KEY

from proxy.cli import main


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[str]:
        return self.out.splitlines()

    def json(self) -> Any:  # noqa: ANN401 - whatever the command says
        return json.loads(self.out)


Cli: TypeAlias = Callable[..., Said]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Where the embedded store goes."""
    return tmp_path / "state"


@pytest.fixture
def cli(state: Path) -> Cli:
    """Run `dashscope-proxy` with these words, variables and standard input.

    Whatever goes wrong must be told: an exception that is no exit fails the test here.
    """

    def run(*words: str, given: str | None = None, **variables: str) -> Said:
        inherited = {name: None for name in os.environ if name.startswith(("PROXY_", "DASHSCOPE_"))}
        own = {"HOME": str(state), "XDG_STATE_HOME": str(state), "NO_COLOR": "1"}
        runner = CliRunner(env={**inherited, **own, **variables})
        done = runner.invoke(main, words, input=given)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return Said(done.exit_code, done.stdout, done.stderr)

    return run


@pytest.fixture
def create(cli: Cli) -> Callable[..., str]:
    """Make a token; its secret."""

    def make(name: str, *words: str, **variables: str) -> str:
        patterns = () if "--model" in words else ("--model", "*")
        said = cli("token", "create", name, *patterns, *words, **variables)
        assert said.code == 0, said
        secret = said.out.strip()
        EVIDENCE.secrets.add(secret)
        EVIDENCE.written.append(said.err.encode())
        return secret

    return make


@pytest.fixture
def key() -> dict[str, str]:
    """The variables of a proxy with one account."""
    return {"DASHSCOPE_API_KEY": UPSTREAM_KEY}


def plant_unreadable(state: Path) -> None:
    """A grant as a faulty control plane writes it."""
    with sqlite3.connect(state / "dashscope-proxy" / "proxy.db") as store:
        fields = json.dumps({"models": "*", "expires": "tomorrow"})
        store.execute("INSERT INTO tokens VALUES (?, ?)", ("f" * 64, fields))
    store.close()

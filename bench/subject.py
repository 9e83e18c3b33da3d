"""The proxy under test, with everything on.

Token check, gate, ownership, hygiene, metrics, meter with prices, and a log line for each request,
as JSON into a file. Of its two tokens one has limits of every kind and the other none.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.processes import started, told

PRICES = "\ncurrency: CNY\nprices:\n  - {models: '*', per_call: 0.000001}\n"
"""A price for every model, so that budgets are asked."""

LIMITS = (
    *("--requests-per-minute", "999999999", "--submits-per-minute", "999999999"),
    *("--concurrent-tasks", "999999999", "--concurrent-streams", "999999999"),
    *("--budget-day", "9000000", "--budget-month", "9000000", "--budget-total", "9000000"),
)
"""Every limit there is, each so high that nothing is refused."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy in a process of its own, and two tokens of one tenant that may use any model.

    `limited` has every kind of limit, none of which it meets.
    """

    pid: int
    url: str
    token: str
    limited: str


SERVE = ("proxy", "serve")
"""The module and its argument."""


@contextmanager
def proxy(
    upstream: str,
    store: str = "",
    core: int | str | None = None,
    through: Sequence[str] = (),
    **more: str,
) -> Iterator[Proxy]:
    """The proxy in front of this upstream; its store is SQLite unless told.

    `through` is a module that runs it, with that one's arguments; `more` are variables.
    """
    with tempfile.TemporaryDirectory() as folder:
        env = variables(Path(folder), upstream, store) | more
        token, limited = made_token(env, "bench"), made_token(env, "limited", *LIMITS)
        log = Path(folder) / "log"
        with (
            log.open("w") as out,  # a pipe that nobody reads would stop it
            started(sys.executable, "-m", *through, *SERVE, core=core, env=env, out=out) as running,
        ):
            yield Proxy(running.pid, told(log, running), token, limited)


def variables(folder: Path, upstream: str, store: str = "") -> dict[str, str]:
    """The proxy's environment, with its files in this folder."""
    packaged = Path(__file__).parents[1] / "proxy" / "routes.yaml"
    routes = folder / "routes.yaml"
    routes.write_text(packaged.read_text("utf-8") + PRICES, "utf-8")
    return {
        "DASHSCOPE_API_KEY": "sk-bench",
        "PROXY_UPSTREAM": upstream,
        "PROXY_LISTEN": "127.0.0.1:0",
        "PROXY_ADMIN_LISTEN": "127.0.0.1:0",
        "PROXY_STORE": store or f"sqlite://{folder}/proxy.db",
        "PROXY_OUTBOX": str(folder),
        "PROXY_ROUTES": str(routes),
        "PROXY_MAX_BODY": "2048MiB",
        "PROXY_SPOOL": "4096MiB",
        "PROXY_LOG": "json",
    }


def made_token(env: Mapping[str, str], name: str, *flags: str) -> str:
    """A new token of the tenant `bench`, for every model."""
    words = ("token", "create", name, "--tenant", "bench", "--model", "*", *flags)
    return subprocess.run(
        [sys.executable, "-m", "proxy", *words],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()

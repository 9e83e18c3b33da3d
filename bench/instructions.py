"""How many instructions of Python's a request takes: `python -m bench.instructions`.

Of the whole process, with everything on, and of the naive relay beside it. What is counted is the
interpreter's own steps, which no other process, no clock and no cache has a part in: the same code
gives the same number, but for what a request shares with others or with the second it falls in.
It does not see what a step costs, nor what goes on in C: for that there is `make bench`. The ratio
to the naive relay is there because versions of Python cut their steps differently.
"""

import signal
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from http.client import OK, HTTPConnection
from os import kill
from pathlib import Path
from urllib.parse import urlsplit

from bench.contestants import Contestant, fixed, naive, ours
from bench.load import CALL, SUBMIT, Ask
from bench.processes import PATIENCE, redis
from bench.rows.poll import submitted
from bench.subject import proxy

WARM = 20
"""Calls before the first one that counts."""

CALLS = 30
"""In a round."""

ROUNDS = 4

AFTERWARDS = 0.1
"""Seconds for what a request leaves to be done when it has been answered."""

NAIVE = "naive aiohttp"


def counted() -> dict[str, float]:
    """Instructions of one request, by kind, and of the naive relay's."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upstream = stack.enter_context(fixed(None)).url
        store = stack.enter_context(redis())
        relay = stack.enter_context(naive(upstream, None, through=through(folder / "naive")))
        own = stack.enter_context(proxy(upstream, store, through=through(folder / "proxy")))
        limited, unlimited = (contestant for _, contestant in ours(own))
        poll = Ask("GET", f"/api/v1/tasks/{submitted(limited)}")
        asked = {
            NAIVE: (relay, CALL, folder / "naive"),
            "call": (limited, CALL, folder / "proxy"),
            "call without limits": (unlimited, CALL, folder / "proxy"),
            "submit": (limited, SUBMIT, folder / "proxy"),
            "poll": (limited, poll, folder / "proxy"),
        }
        return {name: instructions(*one) for name, one in asked.items()}


def through(file: Path) -> Sequence[str]:
    """What stands before a module's name for its instructions to be counted into this file."""
    return ("bench.counted", str(file))


def instructions(contestant: Contestant, ask: Ask, file: Path) -> float:
    """Of one request: the least of rounds, each of requests one after the other.

    Whatever falls into a round besides (a timer, a poll of upstream once a second) only adds.
    """
    with closing(HTTPConnection(urlsplit(contestant.url).netloc, timeout=PATIENCE)) as connection:
        made(connection, contestant, ask, WARM)
        return min(round_of(connection, contestant, ask, file) / CALLS for _ in range(ROUNDS))


def round_of(connection: HTTPConnection, contestant: Contestant, ask: Ask, file: Path) -> int:
    """Instructions of `CALLS` requests."""
    file.unlink(missing_ok=True)
    kill(contestant.pid, signal.SIGUSR1)
    made(connection, contestant, ask, CALLS)
    time.sleep(AFTERWARDS)
    kill(contestant.pid, signal.SIGUSR2)
    return told(file)


def made(connection: HTTPConnection, contestant: Contestant, ask: Ask, count: int) -> None:
    """So many requests, one after the other. Raises `RuntimeError` where one fails."""
    headers = {"Authorization": f"Bearer {contestant.token}", "Content-Type": "application/json"}
    for _ in range(count):
        connection.request(ask.method, ask.path, ask.body or None, headers)
        answer = connection.getresponse()
        if answer.status != OK:
            raise RuntimeError(answer.read())
        answer.read()


def told(file: Path) -> int:
    """What the counting process wrote."""
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends:
        if file.exists() and (text := file.read_text("ascii")).endswith("\n"):
            return int(text)
        time.sleep(0.01)
    raise TimeoutError("nothing was counted")


def main() -> None:
    """Print them."""
    found = counted()
    for name, count in found.items():
        print(f"{name}: {count:.0f}, {count / found[NAIVE]:.3f} × {NAIVE}")  # noqa: T201 - its only purpose


if __name__ == "__main__":
    main()

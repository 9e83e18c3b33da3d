"""Where the time goes: `python -m bench.flame [FILE]`, a flame graph of the proxy under load.

The load is the relay's, with the token that has limits. The graph is an SVG for a browser.
"""

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from bench.contestants import LIMITED, fixed, ours
from bench.effort import Effort
from bench.load import CALL, wrk
from bench.processes import redis
from bench.subject import proxy

FILE = "profile.svg"
PY_SPY = Path(sys.executable).parent / "py-spy"
SECONDS = 10
WARM = 2
DRAWN = 60
"""Seconds that the drawing may take."""

RATE = 500
"""Samples a second."""

REFUSED = """\
py-spy could not look into the proxy. It needs the right to trace processes: run it as root, or
with the capability SYS_PTRACE (a container: `--cap-add SYS_PTRACE`), or where
`kernel.yama.ptrace_scope` is 0."""


def main() -> None:
    """Load it, look, write the file."""
    file = sys.argv[1] if len(sys.argv) > 1 else FILE
    cores = Effort().cores
    with ExitStack() as stack:
        upstream = stack.enter_context(fixed(cores.load)).url
        store = stack.enter_context(redis(cores.load))
        proxied = stack.enter_context(proxy(upstream, store, cores.subject))
        subject = dict(ours(proxied))[LIMITED]

        def load(seconds: float) -> None:
            tokens = [subject.token]
            wrk(subject.url, CALL, tokens, connections=64, seconds=seconds, core=cores.load)

        load(WARM)
        looking = stack.enter_context(_looking(subject.pid, file))
        load(SECONDS + 1)
        if looking.wait(DRAWN):
            sys.exit(REFUSED)
    print(file)  # noqa: T201 - what it made


def _looking(pid: int, file: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [
            *(str(PY_SPY), "record", "--pid", str(pid), "--output", file),
            *("--duration", str(SECONDS), "--rate", str(RATE)),
        ]
    )


if __name__ == "__main__":
    main()

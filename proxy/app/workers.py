"""Several processes on the same ports: one parent that binds, starts, restarts and forwards.

Rule 1: a worker is a fresh interpreter that inherits its sockets, so that nothing of the
        parent's state is shared. When one dies its sockets stay open in the parent and the next
        one takes them over: connections that wait in the queue are served a moment later
        instead of being refused.
Rule 2: only the parent hears the terminal (workers are in process groups of their own) and
        passes on what it heard: SIGTERM to drain, SIGINT to those who drain to stop doing so.
Rule 3: a worker ends with its parent, see `leash`.
"""

import asyncio
import json
import os
import signal
import socket
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path

from proxy.app.sockets import close_all, share
from proxy.ports import Telemetry

INHERITED = "PROXY_INHERITED_SOCKETS"
"""Set by the parent for a worker: its descriptors, `{"public": [...], "admin": [...]}`."""

METRICS_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus_client's own name for where workers add up their counters."""

BROKEN = 5.0
"""Seconds that a worker lives at least unless something is broken: then its successor waits."""

RESTART_PAUSE = 1.0
"""Seconds that it waits, so that what is broken does not spin."""


def inherited_sockets(
    variables: Mapping[str, str],
) -> tuple[list[socket.socket], list[socket.socket]] | None:
    """The sockets a parent handed down to this process, or None when it is no worker."""
    if INHERITED not in variables:
        return None
    numbers = json.loads(variables[INHERITED])
    public, admin = ([socket.socket(fileno=n) for n in numbers[k]] for k in ("public", "admin"))
    return public, admin


class Workers:
    """A parent and its `count` workers. `command` starts one of them."""

    def __init__(
        self,
        count: int,
        command: Sequence[str],
        public: Sequence[socket.socket],
        admin: Sequence[socket.socket],
        telemetry: Telemetry,
    ) -> None:
        self._command = command
        self._admin = admin
        self._public = [list(public), *([share(one) for one in public] for _ in range(count - 1))]
        self._telemetry = telemetry
        self._running: dict[int, Process] = {}
        self._told = asyncio.Event()

    def run(self) -> int:
        """Keep the workers running until SIGTERM or SIGINT; 0 when all of them drained."""
        return asyncio.run(self._run())

    async def _run(self) -> int:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._tell, signal.SIGTERM)
        loop.add_signal_handler(signal.SIGINT, self._interrupted)
        with tempfile.TemporaryDirectory(prefix="dashscope-proxy-metrics-") as directory:
            slots = (self._keep(slot, directory) for slot in range(len(self._public)))
            code = max(await asyncio.gather(*slots))
            signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))
            return code

    async def _keep(self, slot: int, directory: str) -> int:
        """Keep one worker running; the exit code of the last one, as far as it is a failure."""
        while not self._told.is_set():
            started = time.monotonic()
            worker = self._running[slot] = await self._start(slot, directory)
            if self._told.is_set():  # while it was being started
                self._tell(signal.SIGTERM)
            code = await worker.wait()
            del self._running[slot]
            _forget_gauges(directory, worker.pid)
            if self._told.is_set():
                return 0 if code in {0, -signal.SIGTERM} else 1
            self._telemetry.event("worker_ended", worker=worker.pid, code=code)
            if time.monotonic() - started < BROKEN:
                with suppress(TimeoutError):
                    async with asyncio.timeout(RESTART_PAUSE):
                        await self._told.wait()
        return 0

    async def _start(self, slot: int, directory: str) -> Process:
        sockets = {"public": self._public[slot], "admin": self._admin}
        numbers = {kind: [one.fileno() for one in each] for kind, each in sockets.items()}
        return await asyncio.create_subprocess_exec(
            *self._command,
            env={**os.environ, INHERITED: json.dumps(numbers), METRICS_DIRECTORY: directory},
            pass_fds=[number for each in numbers.values() for number in each],
            stdin=PIPE,
            process_group=0,
        )

    def _interrupted(self) -> None:
        self._tell(signal.SIGINT if self._told.is_set() else signal.SIGTERM)

    def _tell(self, number: signal.Signals) -> None:
        self._told.set()
        # A port that is open here takes connections that no worker will accept any more.
        close_all([*chain(*self._public), *self._admin])
        for worker in self._running.values():
            with suppress(ProcessLookupError):  # it has just ended by itself
                worker.send_signal(number)


def _forget_gauges(directory: str, pid: int) -> None:
    """What a dead worker had running runs no more; what it counted stays counted."""
    for gauges in Path(directory).glob(f"gauge_live*_{pid}.db"):
        gauges.unlink()


def program() -> list[str]:
    """How this program was started, without its arguments.

    Not `-m proxy`, which would take any `proxy` in the working directory for this one.
    """
    end = len(sys.orig_argv) - len(sys.argv[1:])
    return [sys.executable, *sys.orig_argv[1:end]]

"""Several processes on the same ports: one parent that binds, starts, restarts and forwards.

A worker is a fresh interpreter that inherits its sockets, so that nothing of the parent's state
is shared. When one dies its sockets stay open in the parent and the next one takes them over:
connections that wait in the queue are served a moment later instead of being refused.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

from proxy.app.sockets import share

INHERITED = "PROXY_INHERITED_SOCKETS"
"""Set by the parent for a worker: its descriptors, `{"public": [...], "admin": [...]}`."""

METRICS_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus_client's own name for where workers add up their counters."""

RESTART_PAUSE = 1.0
"""Seconds before a worker that died is replaced, so that a broken one does not spin."""


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
    ) -> None:
        self._command = command
        self._admin = admin
        self._public = [list(public), *([share(one) for one in public] for _ in range(count - 1))]
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._stopping = False

    def run(self) -> int:
        """Keep the workers running until SIGTERM or SIGINT; 0 when all of them drained."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        with tempfile.TemporaryDirectory(prefix="dashscope-proxy-metrics-") as directory:
            for slot in range(len(self._public)):
                self._start(slot, directory)
            return self._watch(directory)

    def _start(self, slot: int, directory: str) -> None:
        sockets = {"public": self._public[slot], "admin": self._admin}
        numbers = {kind: [one.fileno() for one in each] for kind, each in sockets.items()}
        self._running[slot] = subprocess.Popen(  # noqa: S603 - our own command line
            self._command,
            env={**os.environ, INHERITED: json.dumps(numbers), METRICS_DIRECTORY: directory},
            pass_fds=[number for each in numbers.values() for number in each],
        )
        if self._stopping:  # told between the decision to start and here
            self._running[slot].send_signal(signal.SIGTERM)

    def _watch(self, directory: str) -> int:
        failed = False
        while self._running:
            pid, status = os.wait()
            slot = next(n for n, worker in self._running.items() if worker.pid == pid)
            worker = self._running.pop(slot)
            worker.returncode = os.waitstatus_to_exitcode(status)
            for counters in Path(directory).glob(f"gauge_live*_{pid}.db"):
                counters.unlink()
            if self._stopping:
                failed |= worker.returncode not in {0, -signal.SIGTERM}
            else:
                time.sleep(RESTART_PAUSE)
                if not self._stopping:
                    self._start(slot, directory)
        return int(failed)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True
        for worker in self._running.values():
            worker.send_signal(signal.SIGTERM)


def worker_command() -> list[str]:
    """The command line of this process again, as a worker runs it."""
    return [sys.executable, "-m", "proxy", *sys.argv[1:]]

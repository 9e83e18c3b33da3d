"""Where log lines go: whole or not at all, and nobody fails for them."""

import os
import select
import threading
from typing import TextIO

from proxy.telemetry.metrics import Metrics

_PATIENCE = 200
"""Milliseconds that a reader of the log may be busy with something else: all requests wait."""


class Lines:
    """Where the lines go: whole or not at all, and nobody fails for them.

    A reader that is gone, stuck or out of disk costs lines, which are counted. One that is only
    slow is waited for, `_PATIENCE` once and not again until it reads. Written past Python's
    buffers: what could not be written would stay there, and spoil the exit code.

    What is `put` waits for `flush`, or for as much as one write takes (`PIPE_BUF`): so one system
    call takes the lines of many requests. Lines come out in the order in which they were told.
    """

    def __init__(self, stream: TextIO | None, metrics: Metrics) -> None:
        self._stream = stream
        self._lost = metrics.lost_lines
        self._waiting: list[bytes] = []
        self._size = 0
        # Libraries log in threads of their own, and destructors at any moment: thus reentrant.
        self._lock = threading.RLock()
        self._torn = False
        self._stuck = False
        self._poll = select.poll()
        self._descriptor: int | None = None
        try:
            self._descriptor = stream.fileno() if stream else None
        except (OSError, ValueError):  # in memory, or closed
            return
        if self._descriptor is not None:
            self._poll.register(self._descriptor, select.POLLOUT)

    @property
    def has_colors(self) -> bool:
        """Whether it is a terminal, and its owner wants colours (no-color.org)."""
        return self._descriptor is not None and os.isatty(self._descriptor)

    def put(self, line: bytes) -> None:
        """Let one line go out with the next ones; its end is added here."""
        with self._lock:
            if self._size + len(line) >= select.PIPE_BUF:
                self.flush()
            self._waiting.append(line)
            self._size += len(line) + 1

    def flush(self) -> None:
        """Write what waits."""
        with self._lock:
            lines, self._waiting, self._size = self._waiting, [], 0
            if lines:
                self._write(lines)

    def _write(self, lines: list[bytes]) -> None:
        blob = b"\n".join([*lines, b""])
        try:
            if self._descriptor is not None:
                self._put(self._descriptor, blob)
            elif self._stream is not None:
                self._stream.write(blob.decode())
        except (OSError, ValueError):
            self._lost.inc(len(lines))

    def _put(self, descriptor: int, blob: bytes) -> None:
        """Raises `OSError`."""
        if self._torn:
            blob = b"\n" + blob
        for start in range(0, len(blob), select.PIPE_BUF):
            # A descriptor that polls as writable takes this much without making us wait.
            if not self._poll.poll(0 if self._stuck else _PATIENCE):
                self._stuck = True
                self._torn |= start > 0
                raise BlockingIOError
            self._stuck = False
            os.write(descriptor, blob[start : start + select.PIPE_BUF])
        self._torn = False

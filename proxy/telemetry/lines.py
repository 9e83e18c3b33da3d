"""Log lines: how they look, and where they go. Whole or not at all, and nobody fails for them."""

import json
import logging
import os
import select
from typing import TextIO

import orjson
import structlog

from proxy.telemetry.metrics import Metrics

_PATIENCE = 200
"""Milliseconds that a reader of the log may be busy with something else: all requests wait."""


class Lines:
    """Where the lines go: whole or not at all, and nobody fails for them.

    A reader that is gone, stuck or out of disk costs lines, which are counted. One that is only
    slow is waited for, `_PATIENCE` once and not again until it reads. Written past Python's
    buffers: what could not be written would stay there, and spoil the exit code.
    """

    def __init__(self, stream: TextIO | None, metrics: Metrics) -> None:
        self._stream = stream
        self._lost = metrics.lost_lines
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

    def write(self, line: str) -> None:
        """Write one line, its end included here."""
        try:
            if self._descriptor is not None:
                self._put(self._descriptor, f"{line}\n".encode(errors="backslashreplace"))
            elif self._stream is not None:
                self._stream.write(f"{line}\n")
        except (OSError, ValueError):
            self._lost.inc()

    # structlog calls the method that has the level's name.
    debug = info = warning = error = critical = msg = write

    def _put(self, descriptor: int, line: bytes) -> None:
        """Raises `OSError`."""
        if self._torn:
            line = b"\n" + line
        for start in range(0, len(line), select.PIPE_BUF):
            # A descriptor that polls as writable takes this much without making us wait.
            if not self._poll.poll(0 if self._stuck else _PATIENCE):
                self._stuck = True
                self._torn |= start > 0
                raise BlockingIOError
            self._stuck = False
            os.write(descriptor, line[start : start + select.PIPE_BUF])
        self._torn = False


def logger_of(lines: Lines, *, console: bool) -> structlog.typing.FilteringBoundLogger:
    """A logger of our own: no global configuration that a test or a library could change."""
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if console:
        shared.append(_harmless)
        last: structlog.typing.Processor = structlog.dev.ConsoleRenderer(colors=lines.has_colors)
    else:
        last = structlog.processors.JSONRenderer(serializer=_json_text)
    wrapped: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
        lines,
        processors=[*shared, last],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )
    return wrapped


def _harmless(_: object, __: str, facts: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Values that neither end a line nor steer a terminal. Our own frames may have lines."""
    for name, value in facts.items():
        if isinstance(value, str) and not value.isprintable() and name != "frames":
            facts[name] = repr(value)
    return facts


def _json_text(value: dict[str, object], **_: object) -> str:
    try:
        text = orjson.dumps(value, default=str).decode()
    except TypeError:  # a lone surrogate, or a number beyond 64 bits
        text = orjson.dumps({name: _plain(fact) for name, fact in value.items()}).decode()
    if text.isprintable():
        return text
    # JSON lets U+2028, U+0085 and their like stand as they are; not every reader of lines does.
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


def _plain(fact: object) -> object:
    if isinstance(fact, (bool, float, type(None))) or (
        isinstance(fact, int) and fact.bit_length() < 64  # noqa: PLR2004 - what orjson takes
    ):
        return fact
    return str(fact).encode("utf-8", "replace").decode()

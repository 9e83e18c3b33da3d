"""Amounts as the environment has them: text that stands for a number of something."""

import os
import re

_UNITS = {"": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "KB": 1000, "MB": 10**6, "GB": 10**9}
_MOST_WORKERS = 256
_HIGHEST_RATE = 10_000


def size_of(value: object) -> object:
    """Bytes, from a plain number or one with a unit. Raises `ValueError`."""
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"(\d{1,15})\s*([KMG]i?B)?", value.strip())
    if not found:
        raise ValueError(f"{value!r} is no size; write bytes as a plain number, or 128MiB")
    return int(found[1]) * _UNITS[found[2] or ""]


def workers_of(value: object) -> object:
    """A number of processes. Raises `ValueError`."""
    if value == "auto":
        return os.cpu_count() or 1
    if isinstance(value, str) and value.isdecimal() and 0 < int(value) <= _MOST_WORKERS:
        return int(value)
    raise ValueError(f"{value!r} must be a number from 1 to {_MOST_WORKERS}, or auto")


def sockets_of(value: object) -> object:
    """A number of sockets. Raises `ValueError`."""
    if not isinstance(value, str) or not re.fullmatch(r"[1-9][0-9]{,5}", value):
        raise ValueError(f"{value!r} must be a number from 1 to 999999")
    return int(value)


def rate_of(value: object) -> object:
    """A number a second. Raises `ValueError`."""
    if isinstance(value, str) and re.fullmatch(r"\d{1,5}(\.\d{1,6})?", value):
        rate = float(value)
        if 0 < rate <= _HIGHEST_RATE:
            return rate
    raise ValueError(f"{value!r} must be a number over 0, up to {_HIGHEST_RATE}")

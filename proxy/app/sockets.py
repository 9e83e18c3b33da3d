"""Addresses -> bound, listening sockets, before anything else is built."""

import errno
import os
import socket
import stat
from collections.abc import Iterable
from pathlib import Path

from proxy.config import ConfigError
from proxy.config.settings import Address

BACKLOG = 1024
"""Connections the kernel keeps while a worker is busy."""


def bind_all(
    addresses: Iterable[Address], variable: str, *, shared: bool = False
) -> list[socket.socket]:
    """Bind each address, `shared` so that `share` can bind it again.

    Raises `ConfigError` naming `variable` when one cannot be had.
    """
    bound: list[socket.socket] = []
    for address in addresses:
        try:
            bound.append(_bind(address, shared=shared))
        except OSError as error:
            close_all(bound)
            raise ConfigError([f"{variable}: {address}: {_reason(error, address)}"]) from error
    return bound


def share(bound: socket.socket) -> socket.socket:
    """A second socket on the same port, with an accept queue of its own (`SO_REUSEPORT`).

    The kernel then spreads connections by hash, where one queue for all would give a burst to
    whoever wakes first. A Unix socket cannot be bound twice: its queue is shared.
    """
    if bound.family == socket.AF_UNIX:
        return bound.dup()
    name = bound.getsockname()
    return _listening(_bind_tcp(bound.family, bound.type, 0, name, socket.SO_REUSEPORT))


def close_all(sockets: Iterable[socket.socket]) -> None:
    """Close them."""
    for one in sockets:
        one.close()


def name_of(bound: socket.socket) -> str:
    """Where a client connects: a URL, or `unix:` and the path."""
    name = bound.getsockname()
    if bound.family == socket.AF_UNIX:
        return f"unix:{name}"
    host = f"[{name[0]}]" if bound.family == socket.AF_INET6 else name[0]
    return f"http://{host}:{name[1]}"


def _bind(address: Address, *, shared: bool) -> socket.socket:
    if address.path is not None:
        return _bind_unix(Path(address.path))
    family, kind, proto, _, target = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    bound = _bind_tcp(family, kind, proto, target)
    if shared:
        # Bound alone first: two proxies on one port must not both believe they have it.
        target = bound.getsockname()
        bound.close()
        bound = _bind_tcp(family, kind, proto, target, socket.SO_REUSEPORT)
    return _listening(bound)


def _bind_tcp(family: int, kind: int, proto: int, target: object, *options: int) -> socket.socket:
    bound = socket.socket(family, kind, proto)
    try:
        for option in (socket.SO_REUSEADDR, *options):
            bound.setsockopt(socket.SOL_SOCKET, option, 1)
        bound.bind(target)  # type: ignore[arg-type]  # what getaddrinfo and getsockname give
    except OSError:
        bound.close()
        raise
    return bound


def _bind_unix(path: Path) -> socket.socket:
    """Bind a path; what a dead process left there is removed, a live one's socket is not."""
    if path.exists():
        if not stat.S_ISSOCK(path.stat().st_mode):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        with socket.socket(socket.AF_UNIX) as probe:
            probe.setblocking(False)  # noqa: FBT003 - its only form; a busy one would block us
            if probe.connect_ex(str(path)) == errno.ECONNREFUSED:
                path.unlink()
    bound = socket.socket(socket.AF_UNIX)
    try:
        bound.bind(str(path))
        os.chmod(path, 0o660)  # noqa: PTH101 - owner and group; a sidecar shares by group
    except OSError:
        bound.close()
        raise
    return _listening(bound)


def _listening(bound: socket.socket) -> socket.socket:
    bound.setblocking(False)  # noqa: FBT003 - its only form
    bound.listen(BACKLOG)
    return bound


def _reason(error: OSError, address: Address) -> str:
    match error.errno, address.path:
        case errno.EADDRINUSE, _:
            return "is in use; choose another, or stop what listens there"
        case errno.EEXIST, _:
            return "exists and is no socket; choose another path"
        case errno.EACCES, None:
            return "needs a permission this user does not have; choose a port from 1024 on"
        case errno.EACCES, _:
            return "is in a folder that this user may not write to"
        case _:
            return f"cannot be bound: {error.strerror or error}"

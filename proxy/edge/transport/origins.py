"""Where an account's calls go, and the head that each begins with."""

from dataclasses import dataclass
from functools import lru_cache

from yarl import URL

from proxy.ports import Call


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """An upstream server as an account's URL names it: one object for each URL.

    `authority` is what `Host` says; `path` comes before each target, and is mostly empty.
    """

    host: str
    port: int
    is_tls: bool
    authority: str
    path: str


@lru_cache(maxsize=1024)
def origin_of(url: str) -> Origin:
    """The origin of an account's URL. Raises `ValueError` for what is no http(s) URL."""
    root = URL(url, encoded=True)
    if root.scheme not in {"http", "https"} or not root.host or not root.port:
        raise ValueError("an upstream's URL names a scheme, http or https, and a host")
    authority = root.host_port_subcomponent or ""
    is_tls = root.scheme == "https"
    return Origin(root.raw_host or "", root.port, is_tls, authority, root.raw_path.rstrip("/"))


def head_of(call: Call, origin: Origin, *, chunked: bool) -> bytes:
    """Request line and header: `Host`, the call's own fields as they are, and the framing.

    Raises `ValueError` for a call that would not be read back as itself.
    """
    lines = [f"{call.method} {origin.path}{call.target} HTTP/1.1", f"Host: {origin.authority}"]
    lines += [f"{name}: {value}" for name, value in call.headers]
    if chunked:
        lines.append("Transfer-Encoding: chunked")
    lines.append("\r\n")
    head = "\r\n".join(lines)
    breaks = len(lines)
    if head.count("\n") != breaks or head.count("\r") != breaks or "\0" in head:
        raise ValueError("a line break or a NUL in a header field")
    if " " in call.target:
        raise ValueError("a space in a target")
    return head.encode("utf-8", "surrogateescape")

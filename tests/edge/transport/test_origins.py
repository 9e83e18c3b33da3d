"""What goes on the wire before a body."""

import pytest
from edge.rig import account

from proxy.edge.transport.origins import head_of, origin_of
from proxy.ports import Call, Headers

ORIGINS = [
    ("https://dashscope.test", "dashscope.test", 443, True, "dashscope.test", ""),
    ("https://dashscope.test:443/", "dashscope.test", 443, True, "dashscope.test", ""),
    ("http://dashscope.test", "dashscope.test", 80, False, "dashscope.test", ""),
    ("http://127.0.0.1:8081", "127.0.0.1", 8081, False, "127.0.0.1:8081", ""),
    ("http://[::1]:8081", "::1", 8081, False, "[::1]:8081", ""),
    ("https://up.test:8443/a/b/", "up.test", 8443, True, "up.test:8443", "/a/b"),
]


@pytest.mark.parametrize(("url", "host", "port", "is_tls", "authority", "path"), ORIGINS)
def test_an_accounts_url(
    url: str, host: str, port: int, authority: str, path: str, *, is_tls: bool
) -> None:
    """Where to connect, what `Host` says (no port that goes without saying), what comes before."""
    found = origin_of(url)
    assert (found.host, found.port, found.is_tls) == (host, port, is_tls)
    assert (found.authority, found.path) == (authority, path)


def test_one_url_is_one_origin() -> None:
    """Connections are kept by origin: the same URL finds them again."""
    assert origin_of("http://up.test") is origin_of("http://up.test")


@pytest.mark.parametrize("url", ["ftp://up.test", "up.test", "http://", ""])
def test_what_is_no_url(url: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match="URL"):
        origin_of(url)


def head(target: str = "/x", headers: Headers = (), *, chunked: bool = False) -> bytes:
    call = Call("POST", account("http://up.test"), target, headers, None, 1)
    return head_of(call, origin_of("http://up.test/in"), chunked=chunked)


def test_a_head() -> None:
    """`Host` first, the call's own as they are, the framing last."""
    assert (
        head("/x?", [("x-B", "1"), ("X-b", "ü")], chunked=True)
        == (
            "POST /in/x? HTTP/1.1\r\nHost: up.test\r\nx-B: 1\r\nX-b: ü\r\n"
            "Transfer-Encoding: chunked\r\n\r\n"
        ).encode()
    )


def test_bytes_that_are_no_text_go_out_as_they_came_in() -> None:
    """A client's Latin-1 arrives as surrogates, and leaves as Latin-1."""
    value = b"gr\xfcn".decode("utf-8", "surrogateescape")
    assert b"X-A: gr\xfcn\r\n" in head(headers=[("X-A", value)])


@pytest.mark.parametrize("value", ["a\r\nX-B: 1", "a\nb", "a\rb", "a\0b"])
def test_a_field_cannot_become_two(value: str) -> None:
    """Whoever let a line break through: it stops here."""
    with pytest.raises(ValueError, match="header field"):
        head(headers=[("X-A", value)])
    with pytest.raises(ValueError, match="header field"):
        head(target=f"/{value}")


def test_a_target_cannot_become_a_version() -> None:
    """A space ends a target."""
    with pytest.raises(ValueError, match="space"):
        head(target="/x HTTP/1.0")

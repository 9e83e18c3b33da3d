"""The language of Redis URLs."""

import pytest

from proxy.stores.redis_url import Address, Mode, parse_redis_url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://h", Address(Mode.SINGLE, (("h", 6379),))),
        ("redis://h:1/2", Address(Mode.SINGLE, (("h", 1),), db=2)),
        ("redis://[::1]:7/", Address(Mode.SINGLE, (("::1", 7),))),
        ("rediss://h", Address(Mode.SINGLE, (("h", 6379),), tls=True)),
        ("redis://:p%40ss@h", Address(Mode.SINGLE, (("h", 6379),), password="p@ss")),
        ("redis://u:a:b@h", Address(Mode.SINGLE, (("h", 6379),), username="u", password="a:b")),
        ("unix:///run/r.sock", Address(Mode.SINGLE, socket="/run/r.sock")),
        (
            "unix://u:p@/r.sock?db=3",
            Address(
                Mode.SINGLE,
                socket="/r.sock",
                db=3,
                username="u",
                password="p",
                options={"db": "3"},
            ),
        ),
        (
            "redis+sentinel://a,b:1/main/4",
            Address(Mode.SENTINEL, (("a", 26379), ("b", 1)), master="main", db=4),
        ),
        ("redis+cluster://a,b:1", Address(Mode.CLUSTER, (("a", 6379), ("b", 1)))),
        ("rediss+cluster://a", Address(Mode.CLUSTER, (("a", 6379),), tls=True)),
    ],
)
def test_forms(url: str, expected: Address) -> None:
    """Each documented form is understood."""
    assert parse_redis_url(url) == expected


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("redis://", "host is missing"),
        ("redis://u:secret@", "host is missing"),
        ("redis://u:secret@h:99999", "a port is not"),
        ("redis://u:secret@h:port", "a port is not"),
        ("redis://u:secret@h/one", "the database"),
        ("redis://u:secret@a,b", "several hosts"),
        ("redis://u:secret@h?ssl=secret", "an option"),
        ("redis+sentinel://u:secret@h", "master's name"),
        ("redis+cluster://u:secret@h/1", "only database 0"),
        ("redis://u:secret/secret@h", "a port is not"),
        ("redis://u:1/secret@h", "the database"),
        ("redis://u?secret@h", "an option"),
        ("unix://", "path of a socket"),
        ("http://u:secret@h", "scheme 'http'"),
    ],
)
def test_complaints(url: str, complaint: str) -> None:
    """What cannot be understood is named, and no secret is repeated."""
    with pytest.raises(ValueError, match=complaint) as caught:
        parse_redis_url(url)
    assert "secret" not in str(caught.value)


def test_repr_keeps_secrets() -> None:
    """An address may be printed."""
    shown = repr(parse_redis_url("redis+sentinel://u:hush@h/main?sentinel_password=quiet"))
    assert "hush" not in shown
    assert "quiet" not in shown

"""A grant that nobody can read is told once per change."""

from proxy.stores.unreadable import MAX_TOLD, Unreadable

DIGEST = "0123456789abcdef" * 4


def test_once_per_change() -> None:
    """The same again is silent; another reason, or the same after it was mended, is news."""
    told: list[tuple[str, str]] = []
    unreadable = Unreadable(lambda *what: told.append(what))
    for reason in ("a", "a", "b", "b"):
        unreadable.tell(DIGEST, reason)
    unreadable.mended(DIGEST)
    unreadable.tell(DIGEST, "b")
    short = "0123456789abcdef"
    assert told == [(short, "a"), (short, "b"), (short, "b")]


def test_bounded() -> None:
    """What is remembered has a bound, and nothing goes untold because of it."""
    told: list[str] = []
    unreadable = Unreadable(lambda digest, _: told.append(digest))
    digests = [f"{n:064}"[::-1] for n in range(MAX_TOLD + 1)]
    for digest in digests:
        unreadable.tell(digest, "x")
    assert len(told) == MAX_TOLD + 1
    unreadable.tell(digests[-1], "x")
    assert len(told) == MAX_TOLD + 1

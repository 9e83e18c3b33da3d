"""Calls that are sent twice: their keys, what makes two of them one, what the second is told."""

import hashlib
from dataclasses import replace

import pytest

from proxy.core.errors import ProxyError, Situation
from proxy.core.idempotency import (
    RETENTION,
    Fingerprint,
    State,
    Submission,
    place_of,
    read_key,
    still_running,
)

FIRST = Submission("req-1", created=1000.0, due=1400.0)


@pytest.mark.parametrize("key", ["a", "~" * 255, "6f9a-…".replace("…", "."), 'a "b" c', "{}:*"])
def test_keys(key: str) -> None:
    """Any printable ASCII is a key, whatever the field's name is spelled like."""
    assert read_key([("Accept", "x"), ("IDEMPOTENCY-key", key)]) == key


def test_no_key() -> None:
    """The field is optional, and an underscore makes another field of it."""
    assert read_key([("Accept", "x"), ("Idempotency_Key", "x")]) is None


@pytest.mark.parametrize("values", [[""], ["a" * 256], ["ü"], ["a\tb"], ["\x7f"], ["a", "a"]])
def test_no_keys(values: list[str]) -> None:
    """Empty, too long, not printable, not ASCII, or two: refused, by name, without repeating it."""
    with pytest.raises(ProxyError, match=r"^Idempotency-Key: send one, of 1 to 255") as caught:
        read_key([("Idempotency-Key", value) for value in values])
    assert caught.value.situation is Situation.ILLEGAL_INPUT


def test_place() -> None:
    """A key is kept by its hash, under the token: nobody meets another's."""
    digest = hashlib.sha256(b"my key").hexdigest()
    assert place_of("tok_1", "my key") == f"tok_1:{digest}"
    assert len({place_of(token, key) for token in "ab" for key in ("k", "K")}) == 4


def test_fingerprint() -> None:
    """Of target and bytes, however they are cut; and parts come back as they went in."""

    def of(target: str, *parts: bytes) -> str:
        fingerprint = Fingerprint(target)
        assert [fingerprint.feed(part) for part in parts] == list(parts)
        return str(fingerprint)

    assert of("/a?b", b"one", b"two") == of("/a?b", b"on", b"", b"etwo") != of("/a?b", b"one")
    assert of("/a", b"x") != of("/ax") != of("/a", b"\nx")
    assert of("/a") == hashlib.sha256(b"/a\n").hexdigest()


def test_times() -> None:
    """A first call counts for a day, and is waited for as long as it may take, while it runs."""
    assert [FIRST.is_kept(1000 + RETENTION + more) for more in (-1, 0)] == [True, False]
    assert [FIRST.is_running(at) for at in (1000, 1399, 1400)] == [True, True, False]
    assert not replace(FIRST, state=State.DONE).is_running(1000)


def test_an_answer_is_an_answer() -> None:
    """What is done has nothing to complain of."""
    replace(FIRST, state=State.DONE).demand_answer()


def test_what_was_uncertain_stays_so() -> None:
    """The same error in the same words, and marked as one that was told before."""
    error = ProxyError(Situation.GATEWAY_TIMEOUT, "It took too long; do not re-send.")
    with pytest.raises(ProxyError) as caught:
        FIRST.uncertain(error, "f").demand_answer()
    told = caught.value
    assert (told.situation, told.message) == (error.situation, error.message)
    assert told.headers == (("x-proxy-replayed", "true"),)


def test_a_situation_of_another_version() -> None:
    """An error this version does not know is still one, and upstream's."""
    error = ProxyError(Situation.GATEWAY_TIMEOUT, "Late.")
    foreign = replace(FIRST.uncertain(error, "f"), situation="NEW")
    with pytest.raises(ProxyError, match="Late") as caught:
        foreign.demand_answer()
    assert caught.value.situation is Situation.BAD_GATEWAY


def test_what_was_cut_off() -> None:
    """Whoever ran it is gone: there may be a task, and nobody knows."""
    with pytest.raises(ProxyError, match="do not re-send") as caught:
        FIRST.demand_answer()
    assert caught.value.situation is Situation.BAD_GATEWAY


def test_another_call_under_the_same_key() -> None:
    """Only a fingerprint that is known and differs is another call."""
    for known, given in (("", "a"), ("a", "a")):
        replace(FIRST, fingerprint=known).demand_same(given)
    with pytest.raises(ProxyError, match="take a new key") as caught:
        replace(FIRST, fingerprint="a").demand_same("b")
    assert caught.value.situation is Situation.KEY_REUSED


def test_still_running() -> None:
    """The key is in use: neither an answer nor an error of the first call."""
    assert still_running().situation is Situation.KEY_IN_USE

"""Calls that are sent twice: their keys, what makes two of them one, what the second is told."""

import hashlib
from dataclasses import replace

import pytest

from proxy.core.answers import Held
from proxy.core.errors import ProxyError, Situation
from proxy.core.idempotency import (
    RETENTION,
    Fingerprint,
    Lost,
    Submission,
    place_of,
    read_key,
    still_running,
)

SAME = Fingerprint("/a")
SAME.feed(b"body")
FIRST = Submission("req-1", created=1000.0, due=1400.0, target=SAME.target)
SENDING = replace(FIRST, is_sending=True)
ANSWER = Held(200, "OK", (), b"{}", ("t1",))
DONE = replace(SENDING, fingerprint=str(SAME), outcome=ANSWER)
LOST = Lost("GATEWAY_TIMEOUT", "It took too long; do not re-send.")


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
    """Tenant, token and key make the place, also where one of them looks like two."""
    owners = [("a", "b"), ("b", "b"), ("a", "c"), ("a:b", "b"), ("a", 'b", "b'), ('a", "b', "b")]
    places = {place_of(*owner, key) for owner in owners for key in ("k", "K", "b:k")}
    assert len(places) == 3 * len(owners)
    assert place_of("a", "b", "k") == hashlib.sha256(b'["a", "b", "k"]').hexdigest()


def test_fingerprint() -> None:
    """Of target and bytes, however they are cut; and parts come back as they went in."""

    def of(target: str, *parts: bytes) -> str:
        fingerprint = Fingerprint(target)
        assert [fingerprint.feed(part) for part in parts] == list(parts)
        return str(fingerprint)

    assert of("/a?b", b"one", b"two") == of("/a?b", b"on", b"", b"etwo") != of("/a?b", b"one")
    assert of("/a", b"x") != of("/ax") != of("/a", b"\nx")
    assert of("/a") == hashlib.sha256(b"/a\n").hexdigest()


def test_the_target_alone() -> None:
    """Known before the body is, and no help to guess it."""
    fingerprint = Fingerprint("/a")
    assert fingerprint.target == hashlib.sha256(b"/a\n").hexdigest()
    fingerprint.feed(b"x")
    assert fingerprint.target != str(fingerprint) != Fingerprint("/a").target


def test_how_long_it_is_kept() -> None:
    """A day, whatever came of it; but what was never sent only until it is due."""
    past = 1000 + RETENTION
    for one in (SENDING, DONE, replace(SENDING, outcome=LOST)):
        assert [one.is_kept(at) for at in (1000, 1400, past - 1, past)] == [True] * 3 + [False]
    assert [FIRST.is_kept(at) for at in (1000, 1399, 1400)] == [True, True, False]


def test_whether_to_wait() -> None:
    """While it is sent and something is heard of it; what is not sent yet becomes either soon."""
    assert [SENDING.is_running(at) for at in (1000, 1399, 1400)] == [True, True, False]
    assert [FIRST.is_running(at) for at in (1000, 1400)] == [True, True]
    assert not DONE.is_running(1000)
    assert not replace(SENDING, outcome=LOST).is_running(1000)


def test_an_answer_is_an_answer() -> None:
    """What is done has nothing to complain of, and says that it was said before."""
    DONE.demand_same(SAME)
    assert DONE.answer() == replace(ANSWER, replayed=True)


def test_what_was_uncertain_stays_so() -> None:
    """The same error in the same words, and marked as one that was told before."""
    with pytest.raises(ProxyError) as caught:
        replace(SENDING, outcome=LOST).answer()
    told = caught.value
    assert (told.situation, told.message) == (Situation.GATEWAY_TIMEOUT, LOST.message)
    assert told.headers == (("x-proxy-replayed", "true"),)


def test_a_situation_of_another_version() -> None:
    """An error this version does not know is still one, and upstream's."""
    with pytest.raises(ProxyError, match="Late") as caught:
        replace(SENDING, outcome=Lost("NEW", "Late.")).answer()
    assert caught.value.situation is Situation.BAD_GATEWAY


def test_what_was_cut_off() -> None:
    """Whoever ran it is gone: there may be a task, and nobody knows."""
    SENDING.demand_same(SAME)
    with pytest.raises(ProxyError, match="do not re-send") as caught:
        SENDING.answer()
    assert caught.value.situation is Situation.BAD_GATEWAY


@pytest.mark.parametrize("known", [SENDING, DONE, replace(SENDING, outcome=LOST)])
def test_another_target_under_the_same_key(known: Submission) -> None:
    """Refused whatever came of the first call, and however little of it is known."""
    with pytest.raises(ProxyError, match="take a new key") as caught:
        known.demand_same(Fingerprint("/b"))
    assert caught.value.situation is Situation.KEY_REUSED


def test_another_body_under_the_same_key() -> None:
    """Refused once the whole first body is known."""
    other = Fingerprint("/a")
    other.feed(b"else")
    SENDING.demand_same(other)
    with pytest.raises(ProxyError, match="take a new key") as caught:
        DONE.demand_same(other)
    assert caught.value.situation is Situation.KEY_REUSED


def test_a_body_that_is_not_known() -> None:
    """An answer is read by the same call only: where that cannot be told, by nobody."""
    early = replace(DONE, fingerprint="")
    with pytest.raises(ProxyError, match="nobody can tell") as caught:
        early.demand_same(SAME)
    assert caught.value.situation is Situation.KEY_REUSED


def test_what_nobody_can_read() -> None:
    """Of a first call without a target nothing is known but that there was one."""
    unknown = Submission("", created=float("inf"), due=0.0, is_sending=True)
    unknown.demand_same(SAME)
    with pytest.raises(ProxyError, match="do not re-send"):
        unknown.answer()


def test_still_running() -> None:
    """The key is in use: neither an answer nor an error of the first call."""
    assert still_running().situation is Situation.KEY_IN_USE

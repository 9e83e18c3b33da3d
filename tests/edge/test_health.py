"""Which accounts are worth trying, learnt from calls."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from edge.rig import account

from proxy.core.errors import ProxyError, Situation
from proxy.edge.failures import crowded
from proxy.edge.health import COOLDOWN, THRESHOLD, AccountHealth, Watching
from proxy.ports import (
    Call,
    Channel,
    Closed,
    HandshakeRefusedError,
    Headers,
    Message,
    PeerGoneError,
    Reply,
    Take,
    Terms,
)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> AccountHealth:
    return AccountHealth(["one", "two"], clock)


def test_failures_in_a_row_count(health: AccountHealth) -> None:
    """The third failure in a row makes an account unhealthy; a success in between forgives."""
    for _ in range(THRESHOLD - 1):
        health.failed("one")
    health.succeeded("one")
    for _ in range(THRESHOLD - 1):
        health.failed("one")
    assert health.unhealthy() == frozenset()
    health.failed("one")
    assert health.unhealthy() == {"one"}
    assert not health.all_down()
    for _ in range(THRESHOLD):
        health.failed("two")
    assert health.all_down()


def test_it_is_tried_again_after_a_while(health: AccountHealth, clock: Clock) -> None:
    """After the cooldown an account is chosen again; one more failure puts it away at once."""
    for _ in range(THRESHOLD):
        health.failed("one")
    clock.now += COOLDOWN - 0.01
    assert health.unhealthy() == {"one"}
    clock.now += 0.02
    assert health.unhealthy() == frozenset()
    health.failed("one")
    assert health.unhealthy() == {"one"}
    health.succeeded("one")
    assert health.unhealthy() == frozenset()


class Answers:
    """An `Upstream` that answers, or fails, as it is told."""

    def __init__(self, status: int | None = None, failure: Exception | None = None) -> None:
        self.status = status
        self.failure = failure

    @asynccontextmanager
    async def send(self, _: Call) -> AsyncIterator[Reply]:
        if self.status is None:
            assert self.failure is not None
            raise self.failure
        yield Answer(self.status, self.failure)

    @asynccontextmanager
    async def connect(self, _call: Call, _terms: Terms) -> AsyncIterator[Channel]:
        if self.failure is not None:
            raise self.failure
        yield Wire()


class Wire:
    """A `Channel` on which nothing is said."""

    headers: Headers = ()
    subprotocol: str | None = None

    async def next(self) -> Message | Closed:
        return Closed(1000)

    async def send(self, message: Message) -> None:
        raise PeerGoneError from RuntimeError(message)

    async def close(self, closing: Closed, patience: float) -> None:
        pass


class Answer:
    reason = ""
    headers: Headers = ()

    def __init__(self, status: int, failure: Exception | None) -> None:
        self.status = status
        self._failure = failure

    async def chunks(self) -> AsyncIterator[bytes]:
        yield b""
        if self._failure is not None:
            raise self._failure

    def rest(self) -> bytes | None:
        return None

    async def pour(self, take: Take) -> bool:
        raise NotImplementedError


CALL = Call("GET", account("http://x", "one"), "/", (), None, 1)


async def calls(health: AccountHealth, upstream: Answers, times: int = THRESHOLD) -> None:
    watching = Watching(upstream, health)
    for _ in range(times):
        with suppress(ProxyError, RuntimeError):
            async with watching.send(CALL) as reply:
                async for _ in reply.chunks():
                    pass


@pytest.mark.parametrize("situation", [Situation.BAD_GATEWAY, Situation.GATEWAY_TIMEOUT])
async def test_no_answer_is_a_failure(health: AccountHealth, situation: Situation) -> None:
    """Refused, broken off or silent before an answer: the account's fault."""
    await calls(health, Answers(failure=ProxyError(situation, "x")))
    assert health.unhealthy() == {"one"}


async def test_a_refused_key_is_a_failure(health: AccountHealth) -> None:
    """401 speaks of the account's key: the caller's never went up."""
    await calls(health, Answers(401))
    assert health.unhealthy() == {"one"}


@pytest.mark.parametrize("status", [200, 400, 403, 404, 429, 500, 503])
async def test_any_other_answer_is_none(health: AccountHealth, status: int) -> None:
    """Who answers is there, whatever it says; an earlier failure is forgiven."""
    await calls(health, Answers(failure=ProxyError(Situation.BAD_GATEWAY, "x")), THRESHOLD - 1)
    await calls(health, Answers(status))
    await calls(health, Answers(failure=ProxyError(Situation.BAD_GATEWAY, "x")), THRESHOLD - 1)
    assert health.unhealthy() == frozenset()


@pytest.mark.parametrize(
    "failure",
    [
        ProxyError(Situation.ILLEGAL_INPUT, "two models"),
        RuntimeError("the client is gone"),
        crowded(),
    ],
)
async def test_what_happened_here_is_not_the_accounts_fault(
    health: AccountHealth, failure: Exception
) -> None:
    """What comes out of the client's body, or our own limit, says nothing about the account."""
    await calls(health, Answers(failure=failure))
    assert health.unhealthy() == frozenset()


async def test_a_break_midway_is_not_counted(health: AccountHealth) -> None:
    """An answer that began was an answer; one that breaks may be the answer's own fault."""
    await calls(health, Answers(200, ProxyError(Situation.BAD_GATEWAY, "x")))
    assert health.unhealthy() == frozenset()


async def dials(health: AccountHealth, failure: Exception | None, times: int = THRESHOLD) -> None:
    watching = Watching(Answers(failure=failure), health)
    for _ in range(times):
        with suppress(ProxyError, HandshakeRefusedError):
            async with watching.connect(CALL, Terms(1, 1, 1)):
                pass


@pytest.mark.parametrize(
    "failure",
    [
        ProxyError(Situation.BAD_GATEWAY, "x"),
        ProxyError(Situation.GATEWAY_TIMEOUT, "x"),
        HandshakeRefusedError(401, "", (), b""),
    ],
)
async def test_a_handshake_counts_like_a_call(health: AccountHealth, failure: Exception) -> None:
    """No answer to a handshake, or a refused key, is the account's fault."""
    await dials(health, failure)
    assert health.unhealthy() == {"one"}


@pytest.mark.parametrize("failure", [None, HandshakeRefusedError(429, "", (), b"")])
async def test_an_answered_handshake_forgives(
    health: AccountHealth, failure: Exception | None
) -> None:
    """Who shakes hands, or says why not, is there."""
    await dials(health, ProxyError(Situation.BAD_GATEWAY, "x"), THRESHOLD - 1)
    await dials(health, failure, 1)
    await dials(health, ProxyError(Situation.BAD_GATEWAY, "x"), THRESHOLD - 1)
    assert health.unhealthy() == frozenset()

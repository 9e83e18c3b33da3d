"""`Idempotency-Key`: sent once, answered as often as it comes, and never a second task."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest
from edge.rig import (
    BODY,
    LIMITS,
    PLAIN,
    SUBMIT,
    TENANT,
    TOKEN,
    Conversation,
    Message,
    Rig,
    Script,
    ScriptedUpstream,
    answering,
    ask,
    calling,
    chunked,
    eventually,
    head_of,
    ok,
    request,
    rig,
    scripted,
    task_answer,
)

from proxy.core.answers import Held
from proxy.core.errors import StoreUnavailableError
from proxy.core.idempotency import Fingerprint, Submission, place_of
from proxy.core.policy import Grant, digest_of
from proxy.edge.idempotency import LOOK_EVERY
from proxy.stores.memory import MemoryStore

KEY = b"Idempotency-Key: order-1"
PLACE = place_of(TENANT, "g1", "order-1")
NATIVE = "/api/v1/services/aigc/video-generation/video-synthesis"


class Watched(MemoryStore):
    """A store that tells who asked for a key, and fails for a while when told."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.prolonged = asyncio.Event()
        self.failing: set[str] = set()

    async def reserve(self, place: str, first: Submission) -> Submission | None:
        self.asked += 1
        found = await super().reserve(place, first)
        if "reserve" in self.failing:
            raise StoreUnavailableError
        return found

    async def advance(self, place: str, submission: Submission) -> bool:
        """Fails as "begin" before anything is sent, as "conclude" afterwards; effective or not."""
        doing = "conclude" if submission.outcome else "begin"
        if doing in self.failing:
            raise StoreUnavailableError
        is_held = await super().advance(place, submission)
        if f"{doing}, done" in self.failing:
            raise StoreUnavailableError
        return is_held

    async def prolong(self, place: str, holder: str, due: float) -> None:
        if "prolong" in self.failing:
            raise StoreUnavailableError
        self.prolonged.set()
        await super().prolong(place, holder, due)

    async def release(self, place: str, holder: str) -> None:
        if "release" in self.failing:
            raise StoreUnavailableError
        await super().release(place, holder)

    async def kept(self) -> Submission | None:
        """What is remembered under `KEY`."""
        probe = Submission("probe", time.time(), time.time())
        known = await super().reserve(PLACE, probe)
        await super().release(PLACE, "probe")
        return known


class Waiting:
    """A script that reads a request whole, then waits for `go`."""

    def __init__(self, *answers: bytes) -> None:
        self.reached = asyncio.Event()
        self.go = asyncio.Event()
        self._answers: Iterator[bytes] = iter(answers)

    async def __call__(self, told: Conversation) -> None:
        await told.whole()
        self.reached.set()
        await self.go.wait()
        await told.send(next(self._answers))

    async def was_reached(self) -> None:
        await asyncio.wait_for(self.reached.wait(), 10)


def numbered() -> Script:
    """Each request makes another task: t1, t2 ..."""
    numbers = iter(range(1, 100))

    async def script(told: Conversation) -> None:
        await told.whole()
        await told.send(task_answer(f"t{next(numbers)}", b"X-Upstream: kept", b"Set-Cookie: a=b"))

    return script


@dataclass
class Place:
    made: Rig
    upstream: ScriptedUpstream
    store: Watched

    async def send(
        self, body: bytes = BODY, *fields: bytes, path: str = SUBMIT, token: str = TOKEN
    ) -> Message:
        wire = request("POST", path, body, *(fields or (KEY,)), token=token)
        return await ask(self.made.url, wire)

    @property
    def submits(self) -> int:
        return len(self.upstream.conversations)


@asynccontextmanager
async def place(script: Script, **changes: float) -> AsyncIterator[Place]:
    store = Watched()
    limits = replace(LIMITS, **changes)  # type: ignore[arg-type]  # seconds only
    async with scripted(script) as upstream, rig(upstream.url, store=store, limits=limits) as made:
        yield Place(made, upstream, store)


# -- the same answer again -----------------------------------------------------------------------


async def test_the_first_answer_again() -> None:
    """Status, fields and bytes of the first answer, marked, logged, and upstream hears nothing."""
    async with place(numbered()) as at:
        first, second, third = [await at.send() for _ in range(3)]
        assert first.json()["output"] == {"task_id": "t1", "task_status": "PENDING"}
        assert not first.values("x-proxy-replayed")
        for again in (second, third):
            assert (again.first_line, again.body) == (first.first_line, first.body)
            assert again.values("x-proxy-replayed") == [b"true"]
            assert again.values("x-upstream") == [b"kept"]
            assert not again.values("set-cookie")
            (own,) = again.values("x-proxy-request-id")
            assert own != first.value("x-proxy-request-id")
        assert at.submits == 1
        assert len(await at.store.tasks_of(TENANT, 0, 1e12)) == 1
        one, two, _ = at.made.telemetry.visits
        assert (one.replayed, one.task_id, one.upstream_status) == (None, "t1", 200)
        assert (two.replayed, two.task_id, two.upstream_status) == (True, "t1", None)


async def test_without_a_key_every_call_is_its_own() -> None:
    """The same body twice makes two tasks, as without the proxy."""
    async with place(numbered()) as at:
        bodies = [(await at.send(BODY, b"X-Other: 1")).body for _ in range(2)]
        assert bodies[0] != bodies[1]
        assert (at.submits, at.store.asked) == (2, 0)


async def test_other_keys_and_other_tokens() -> None:
    """A key is one token's: another's same key, and another key, are other calls.

    Also of another tenant's token that has the same id, since whoever writes grants chooses ids.
    """
    async with place(numbered()) as at:
        await at.store.save_grant(digest_of("other"), Grant("g2", "o", TENANT, ("*",)))
        await at.store.save_grant(digest_of("theirs"), Grant("g1", "o", "tenant-b", ("*",)))
        answers = [
            await at.send(),
            await at.send(BODY, b"Idempotency-Key: order-2"),
            await at.send(token="other"),
            await at.send(token="theirs"),
        ]
        assert len({answer.body for answer in answers}) == 4
        assert at.submits == 4


async def test_framing_is_no_difference() -> None:
    """A body of one length and the same in chunks are one call; comments are blanks on the way."""
    body = BODY[:-1] + b"/* x */}"
    blanked = BODY[:-1] + b"       }"
    async with place(numbered()) as at:
        first = await at.send(body)
        async with calling(at.made.url) as client:
            head = head_of("POST", SUBMIT, KEY, b"Transfer-Encoding: chunked")
            await client.send(head, chunked(body[:9], body[9:30], body[30:]))
            assert (await client.answer()).body == first.body
        assert (await at.send(blanked)).body == first.body
        assert at.submits == 1


async def test_aliases_of_one_target_are_one_call() -> None:
    """The fingerprint is of what upstream gets, by whatever path it came."""
    async with place(numbered()) as at:
        first = await at.send()
        assert (await at.send(path=NATIVE)).body == first.body
        assert at.submits == 1


@pytest.mark.parametrize("size", [100_000, 3_000_000])
async def test_a_large_body_is_measured_while_it_streams(size: int) -> None:
    """A body that streams past is the same call again, and another one with its last byte."""
    body = b'{"model":"wan2.6-t2v","input":"' + b"a" * size + b'"}'
    async with place(numbered()) as at:
        first = await at.send(body)
        assert (await at.send(body)).body == first.body
        assert (await at.send(body[:-3] + b'b"}')).status == 422
        assert at.submits == 1


# -- what is no repeat ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "path"),
    [(BODY + b" ", SUBMIT), (BODY, f"{NATIVE}?a"), (BODY.replace(b"a cat", b"a dog"), SUBMIT)],
)
async def test_another_call_under_a_key(body: bytes, path: str) -> None:
    """Another body or target: refused, never sent, and the first answer stays."""
    async with place(numbered()) as at:
        first = await at.send()
        answer = await at.send(body, path=path)
        assert (answer.status, answer.code) == (422, "IdempotencyKeyReused")
        assert answer.values("x-should-retry") == [b"false"]
        assert (await at.send()).body == first.body
        assert at.submits == 1


@pytest.mark.parametrize("fields", [(KEY, KEY), (b"Idempotency-Key: ",), (KEY + b"a" * 255,)])
async def test_a_bad_key(fields: tuple[bytes, ...]) -> None:
    """Two keys, an empty one, one too long: 400 that names the field, and nothing is sent."""
    async with place(numbered()) as at:
        answer = await at.send(BODY, *fields)
        assert (answer.status, answer.code) == (400, "BadRequest.IllegalInput")
        assert str(answer.json()["message"]).startswith("Idempotency-Key:")
        assert (at.submits, at.store.asked) == (0, 0)


async def test_calls_that_create_no_task() -> None:
    """There the key means nothing, good or bad, and never crosses to upstream."""
    async with place(answering(ok())) as at:
        for _ in range(2):
            assert (await at.send(BODY, KEY, KEY, path=PLAIN)).status == 200
        assert (at.submits, at.store.asked) == (2, 0)
        asked_async = (KEY, b"X-DashScope-Async: enable")
        assert (await at.send(BODY, *asked_async, path=PLAIN)).status == 200
        assert at.store.asked == 1
        sent = [one.request.values("idempotency-key") for one in at.upstream.conversations]
        assert sent == [[], [], []]


@pytest.mark.parametrize("way", ["revoked", "model", "gate"])
async def test_a_repeat_is_judged_anew(way: str) -> None:
    """A token that lost its model, or is gone, gets no old answer; nor does a body that is none."""
    async with place(numbered()) as at:
        await at.send()
        body = BODY
        match way:
            case "revoked":
                await at.store.remove_grant(digest_of(TOKEN))
            case "model":
                grant = Grant("g1", "caller", TENANT, ("other",))
                await at.store.save_grant(digest_of(TOKEN), grant)
            case _:
                body = BODY + b"x"
        answer = await at.send(body)
        assert answer.status == {"revoked": 401, "model": 403, "gate": 400}[way]
        assert at.submits == 1


# -- what frees the key, and what does not -------------------------------------------------------


def saying(*answers: bytes) -> Script:
    """One after the other, each to a whole request."""
    left = iter(answers)

    async def script(told: Conversation) -> None:
        await told.whole()
        await told.send(next(left))

    return script


@pytest.mark.parametrize("status", [400, 401, 403, 409, 429])
async def test_a_refusal_by_upstream_frees_the_key(status: int) -> None:
    """It says that it did not take the call on, so the same call may go through later."""
    refusal = b"HTTP/1.1 %d No\r\nContent-Length: 2\r\n\r\n{}" % status
    async with place(saying(refusal, task_answer("t2"))) as at:
        assert (await at.send()).status == status
        assert await at.store.kept() is None
        again = await at.send()
        assert (again.status, again.values("x-proxy-replayed")) == (200, [])
        assert at.submits == 2


@pytest.mark.parametrize("advice", [(), (b"X-Should-Retry: true",)])
@pytest.mark.parametrize("status", [302, 307, 408, 500, 502, 503, 504])
async def test_a_failure_of_upstream_keeps_the_key(status: int, advice: tuple[bytes, ...]) -> None:
    """It says nothing of the task, which may have been made: the same answer, and none besides.

    The repeat is told not to come again, whatever upstream advised; it would hear the same.
    """
    lines = [b"HTTP/1.1 %d Oh" % status, b"Content-Length: 2", *advice, b"", b"{}"]
    async with place(saying(b"\r\n".join(lines), task_answer("t2"))) as at:
        first = await at.send()
        assert (first.status, first.body) == (status, b"{}")
        for _ in range(2):
            again = await at.send()
            assert (again.first_line, again.body) == (first.first_line, b"{}")
            assert again.values("x-proxy-replayed") == [b"true"]
            assert again.values("x-should-retry") == [b"false"]
        assert (await at.send(BODY + b" ")).status == 422
        assert at.submits == 1


async def test_a_success_that_is_an_error_frees_the_key() -> None:
    """Status 200, a code and no task: nothing to remember for a day."""
    refusal = ok(b'{"code":"BailianGateway.Workspace.NotAuthorised","request_id":"r"}')
    async with place(saying(refusal, task_answer("t2"))) as at:
        assert (await at.send()).status == 200
        assert await at.store.kept() is None
        assert (await at.send()).json()["output"] == {"task_id": "t2", "task_status": "PENDING"}


async def test_a_success_without_a_task_is_kept() -> None:
    """Nothing says that there is none."""
    async with place(saying(ok(b'{"output":{}}'), task_answer("t2"))) as at:
        assert [(await at.send()).body for _ in range(2)] == [b'{"output":{}}'] * 2


async def test_a_connection_refused_frees_the_key() -> None:
    """Not a byte has left: the same call may be sent again."""
    store = Watched()
    async with rig("http://127.0.0.1:1", store=store) as made:
        for _ in range(2):
            answer = await ask(made.url, request("POST", SUBMIT, BODY, KEY))
            assert (answer.status, answer.values("x-proxy-replayed")) == (502, [])
            assert await store.kept() is None


@pytest.mark.parametrize("ending", ["reset", "nonsense", "cut"])
async def test_an_uncertain_end_keeps_the_key(ending: str) -> None:
    """There may be a task: the same error again and again, and never a second submit."""
    parts = {"reset": b"", "nonsense": ok(b"<html>"), "cut": task_answer()[:-9]}[ending]

    async def script(told: Conversation) -> None:
        await told.whole()
        await told.send(parts)
        told.writer.close()

    async with place(script) as at:
        first = await at.send()
        assert first.status == 502
        for _ in range(2):
            again = await at.send()
            assert (again.status, again.code) == (502, "BadGateway")
            assert again.json()["message"] == first.json()["message"]
            assert again.values("x-proxy-replayed") == [b"true"]
            assert again.values("x-should-retry") == [b"false"]
        assert (await at.send(BODY + b" ")).status == 422
        assert at.submits == 1
        assert at.made.telemetry.visits[1].replayed is True


async def test_a_body_that_never_became_whole_frees_the_key() -> None:
    """Upstream held no document, so there is no task: whoever leaves early may come again."""
    async with place(numbered()) as at:
        head = head_of("POST", SUBMIT, KEY, b"Content-Length: 200000")
        async with calling(at.made.url) as client:
            await client.send(head, BODY[:30], b" " * 100_000)
            await at.upstream.heard()
            client.reset()
        await at.made.finished()
        await eventually(lambda: not at.made.gateway._submits._running)  # noqa: SLF001  # nothing else tells that nothing runs
        assert await at.store.kept() is None
        assert (await at.send()).status == 200


async def test_a_body_that_is_refused_late_frees_the_key() -> None:
    """The gate found the fault after half of it had gone up: no task, so the key is free."""
    bad = BODY[:-1] + b" " * 100_000 + b',"model":"x"}'
    async with place(numbered()) as at:
        assert (await at.send(bad)).status == 400
        assert await at.store.kept() is None


async def test_a_bug_keeps_the_key() -> None:
    """Our own mistake after a task was made is no reason to make another one."""

    class Broken(Watched):
        async def claim(self, record: object) -> None:
            raise RuntimeError(record)

    store = Broken()
    async with scripted(numbered()) as upstream, rig(upstream.url, store=store) as made:
        for _ in range(2):
            answer = await ask(made.url, request("POST", SUBMIT, BODY, KEY))
            assert (answer.status, answer.values("x-should-retry")) == (500, [b"false"])
        assert len(upstream.conversations) == 1


async def test_an_answer_that_came_before_the_body_was_whole() -> None:
    """What was sent is not known, so nobody can prove to be the same: no answer, no new task."""
    go = asyncio.Event()

    async def early(told: Conversation) -> None:
        await told.send(task_answer("t1"))
        await go.wait()
        told.writer.close()

    async with place(early) as at:
        head = head_of("POST", SUBMIT, KEY, b"Content-Length: 200000")
        async with calling(at.made.url) as client:
            await client.send(head, BODY[:30], b" " * 100_000)
            assert (await client.answer()).status == 200
        go.set()
        others = [(BODY, SUBMIT), (BODY.replace(b"cat", b"dog"), SUBMIT), (BODY, f"{NATIVE}?a")]
        for body, path in others:
            answer = await at.send(body, path=path)
            assert (answer.status, answer.code) == (422, "IdempotencyKeyReused")
            assert b"t1" not in answer.body
        assert at.submits == 1


# -- while the first one runs --------------------------------------------------------------------


async def test_a_client_that_left_gets_its_answer_by_asking_again() -> None:
    """What the key is for: the connection is lost, the task is made, the retry gets its id."""
    held = Waiting(task_answer("t1"))
    async with place(held) as at:
        async with calling(at.made.url) as client:
            await client.send(request("POST", SUBMIT, BODY, KEY))
            await held.was_reached()
            client.reset()
        assert (await at.made.finished()).status == 499
        again = asyncio.create_task(at.send())
        await eventually(lambda: at.store.asked == 2)
        held.go.set()
        answer = await again
        assert answer.json()["output"] == {"task_id": "t1", "task_status": "PENDING"}
        assert (answer.values("x-proxy-replayed"), at.submits) == ([b"true"], 1)
        assert await at.store.owner("t1", TENANT) is not None


async def test_repeats_wait_for_the_first() -> None:
    """Many at once: one is sent, all get its answer, and nobody asks the store meanwhile."""
    held = Waiting(task_answer("t1"))
    async with place(held) as at:
        sent = [asyncio.create_task(at.send()) for _ in range(20)]
        await held.was_reached()
        await eventually(lambda: at.store.asked == 20)
        await asyncio.wait(sent, timeout=2 * LOOK_EVERY)
        assert at.store.asked == 20
        held.go.set()
        answers = await asyncio.gather(*sent)
        assert {answer.body for answer in answers} == {answers[0].body}
        assert sum(bool(answer.values("x-proxy-replayed")) for answer in answers) == 19
        assert at.submits == 1


async def test_a_repeat_takes_over_when_the_first_came_to_nothing() -> None:
    """It waited, the key became free: one of those who waited is the first now, and only one."""
    held = Waiting(b"HTTP/1.1 429 No\r\nContent-Length: 2\r\n\r\n{}", task_answer("t2"))
    async with place(held) as at:
        sent = [asyncio.create_task(at.send())]
        await held.was_reached()
        sent += [asyncio.create_task(at.send()) for _ in range(5)]
        await eventually(lambda: at.store.asked == 6)
        held.go.set()
        answers = await asyncio.gather(*sent)
        assert [answer.status for answer in answers] == [429] + [200] * 5
        assert len({answer.body for answer in answers[1:]}) == 1
        assert at.submits == 2


async def test_a_repeat_does_not_wait_for_ever() -> None:
    """After the time an answer may take: 409, not to be sent again by itself; the key stays."""
    held = Waiting(task_answer("t1"))
    async with place(held, read_timeout=0.3) as at:
        other = Submission("elsewhere", time.time(), time.time() + 60)
        assert await at.store.reserve(PLACE, other) is None
        answer = await at.send()
        assert (answer.status, answer.code) == (409, "IdempotencyKeyInUse")
        assert answer.values("x-should-retry") == [b"false"]
        assert at.submits == 0
        assert await at.store.kept() == other


async def test_a_first_call_in_another_process() -> None:
    """A repeat looks at the store now and then, and gets the answer that came elsewhere."""
    async with place(numbered()) as at:
        now = time.time()
        other = Submission("elsewhere", now, now + 60)
        await at.store.reserve(PLACE, other)
        again = asyncio.create_task(at.send())
        await eventually(lambda: at.store.asked == 2)
        measured = Fingerprint(NATIVE)
        measured.feed(BODY)
        held = Held(200, "OK", (), b"{}", ("t9",))
        done = replace(
            other, target=measured.target, fingerprint=str(measured), outcome=held, is_sending=True
        )
        await at.store.advance(PLACE, done)
        answer = await again
        assert (answer.status, answer.body) == (200, b"{}")
        assert (at.submits, at.store.asked) == (0, 3)


async def test_a_process_that_died() -> None:
    """A first call that should have ended long ago may have made its task: nobody sends again."""
    async with place(numbered()) as at:
        dead = Submission("elsewhere", time.time() - 500, time.time() - 1, is_sending=True)
        await at.store.reserve(PLACE, dead)
        for _ in range(2):
            answer = await at.send()
            assert (answer.status, answer.code) == (502, "BadGateway")
            assert answer.values("x-should-retry") == [b"false"]
        assert (at.submits, await at.store.kept()) == (0, dead)


async def test_a_process_that_died_before_it_sent() -> None:
    """Between reserving and sending: the key is free as soon as that process is not heard of."""
    async with place(numbered()) as at:
        now = time.time()
        await at.store.reserve(PLACE, Submission("elsewhere", now, now + 0.2))
        answer = await at.send()
        assert (answer.status, answer.values("x-proxy-replayed")) == (200, [])
        assert at.submits == 1


async def test_a_call_that_runs_is_heard_of() -> None:
    """However long it takes: others see that it runs, and it leaves nothing running behind."""
    held = Waiting(task_answer("t1"))
    async with place(held, key_hold=0.3) as at:
        first = asyncio.create_task(at.send())
        await held.was_reached()
        begun = await at.store.kept()
        for _ in range(2):
            at.store.prolonged.clear()
            await asyncio.wait_for(at.store.prolonged.wait(), 10)
        known = await at.store.kept()
        assert begun is not None
        assert known == replace(begun, due=known.due if known else 0)
        assert known.due > begun.due
        held.go.set()
        assert (await first).status == 200
        at.store.prolonged.clear()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(at.store.prolonged.wait(), 0.4)


async def test_a_call_that_runs_here_runs() -> None:
    """Whatever the store has heard of it: its repeats wait for its end and get its answer."""
    held = Waiting(task_answer("t1"))
    async with place(held, key_hold=0.1) as at:
        at.store.failing = {"prolong"}
        first = asyncio.create_task(at.send())
        await held.was_reached()
        known = await at.store.kept()
        assert known is not None
        await eventually(lambda: not known.is_running(time.time()))
        again = asyncio.create_task(at.send())
        await eventually(lambda: at.store.asked == 2)
        held.go.set()
        assert (await again).body == (await first).body
        assert at.submits == 1


async def test_who_is_overtaken_sends_nothing() -> None:
    """A process that slept past its hold before it sent finds its key with another's call."""

    class Asleep(Watched):
        async def advance(self, place: str, submission: Submission) -> bool:
            await self.release(place, submission.holder)
            await self.reserve(place, Submission("elsewhere", time.time(), time.time() + 60))
            return await super().advance(place, submission)

    store = Asleep()
    async with scripted(numbered()) as upstream, rig(upstream.url, store=store) as made:
        answer = await ask(made.url, request("POST", SUBMIT, BODY, KEY))
        assert (answer.status, answer.code) == (409, "IdempotencyKeyInUse")
        assert answer.values("x-should-retry") == [b"false"]
        assert not upstream.conversations
        known = await store.kept()
        assert known is not None
        assert known.holder == "elsewhere"


async def test_a_repeat_that_leaves_while_it_waits() -> None:
    """It leaves nothing behind: the first goes on, and a key it never held stays as it was."""
    held = Waiting(task_answer("t1"))
    async with place(held) as at:
        first = asyncio.create_task(at.send())
        await held.was_reached()
        async with calling(at.made.url) as client:
            await client.send(request("POST", SUBMIT, BODY, KEY))
            await eventually(lambda: at.store.asked == 2)
            client.reset()
        assert (await at.made.finished()).status == 499
        held.go.set()
        assert (await first).status == 200
        assert at.submits == 1


@pytest.mark.parametrize("failing", [(), ("reserve",), ("reserve", "release")])
async def test_a_client_that_leaves_while_it_reserves(failing: tuple[str, ...]) -> None:
    """Nothing was sent, so nothing is reserved, unless the store will not have it otherwise."""
    go, asked = asyncio.Event(), asyncio.Event()

    class Slow(Watched):
        async def reserve(self, place: str, first: Submission) -> Submission | None:
            asked.set()
            await go.wait()
            return await super().reserve(place, first)

    store = Slow()
    store.failing = set(failing)
    async with scripted(numbered()) as upstream, rig(upstream.url, store=store) as made:
        async with calling(made.url) as client:
            await client.send(request("POST", SUBMIT, BODY, KEY))
            await asyncio.wait_for(asked.wait(), 10)
            client.reset()
            listener = made.server._listener  # noqa: SLF001  # nothing else tells that it has left
            assert listener is not None
            await eventually(lambda: all(one.transport is None for one in listener.connections))
            go.set()
        assert (await made.finished()).status == 499
        gc.collect()  # tasks whose exception nobody looked at complain now
        store.failing = set()
        assert (await store.kept() is None) is ("release" not in failing)
        assert not upstream.conversations


# -- a store that is away ------------------------------------------------------------------------


async def test_no_store_no_submit() -> None:
    """What cannot be reserved is not sent; and what was reserved all the same is given back."""
    async with place(numbered()) as at:
        at.store.failing = {"reserve"}
        answer = await at.send()
        assert (answer.status, answer.code) == (503, "ServiceUnavailable")
        assert "nothing was sent" in str(answer.json()["message"])
        assert answer.values("x-should-retry") == [b"false"]
        assert at.submits == 0
        at.store.failing = set()
        assert (await at.send()).status == 200


@pytest.mark.parametrize("failing", ["begin", "begin, done"])
async def test_a_store_that_goes_before_anything_is_sent(failing: str) -> None:
    """Nothing is sent; and the key is free again once the store is there, heard or not."""
    async with place(numbered()) as at:
        at.store.failing = {failing, "release"}
        answer = await at.send()
        assert (answer.status, answer.code) == (503, "ServiceUnavailable")
        assert "nothing was sent" in str(answer.json()["message"])
        assert (at.submits, await Watched.kept(at.store) is None) == (0, False)
        at.store.failing = set()
        again = await at.send()
        assert (again.status, at.submits) == (200, 1)


async def test_a_store_that_goes_before_the_end() -> None:
    """The client gets its answer; the key is never free, and its repeats get it later."""
    async with place(numbered(), read_timeout=0.3) as at:
        at.store.failing = {"conclude"}
        patient = b"X-DashScope-Wait-Timeout: 60"
        first = await at.send(BODY, KEY, patient)
        assert first.status == 200
        assert len(at.made.telemetry.named("submit_not_remembered")) == 1
        known = await at.store.kept()
        assert known is not None
        assert (known.is_sending, known.outcome) == (True, None)
        assert (await at.send()).status == 409
        at.store.failing = set()
        again = await at.send()
        while again.status == 409:
            again = await at.send()
        assert (again.body, again.values("x-proxy-replayed")) == (first.body, [b"true"])
        assert at.submits == 1


async def test_a_store_that_will_not_free_a_key() -> None:
    """Better a key too many than a task: it stays taken until the store hears that it is free."""
    refusal = b"HTTP/1.1 429 No\r\nContent-Length: 2\r\n\r\n{}"
    async with place(saying(refusal, task_answer("t2"))) as at:
        at.store.failing = {"release"}
        assert (await at.send()).status == 429
        known = await at.store.kept()
        assert known is not None
        assert known.is_sending
        at.store.failing = set()
        assert (await at.send()).status == 200

"""The contract of `proxy.ports.Store`, held against every store there is."""

import asyncio
from dataclasses import replace

import pytest
from stores.harness import GRANT, NOW, OTHER, PLACE, TOKEN, Place, first, record

from proxy.core.answers import Held
from proxy.core.errors import StoreUnavailableError
from proxy.core.idempotency import RETENTION as KEYS_KEPT
from proxy.core.idempotency import Lost, Submission
from proxy.core.policy import Grant, GrantUnreadableError
from proxy.core.tasks import RETENTION, TERMINAL, TaskConflictError, TaskRecord


async def test_unknown_token(place: Place) -> None:
    """A token nobody made has no grant."""
    assert await place.store.grant(TOKEN) is None


async def test_grant_round_trip(place: Place) -> None:
    """A grant comes back as it was saved, every field of it."""
    await place.store.save_grant(TOKEN, GRANT)
    assert await place.store.grant(TOKEN) == GRANT


async def test_save_is_seen_after_a_miss(place: Place) -> None:
    """Having been asked for in vain does not hide a token that is made afterwards."""
    assert await place.store.grant(TOKEN) is None
    await place.store.save_grant(TOKEN, GRANT)
    assert await place.store.grant(TOKEN) == GRANT


async def test_save_replaces_the_whole_grant(place: Place) -> None:
    """Saving again leaves nothing of the old grant, not even a field the new one lacks."""
    await place.store.save_grant(TOKEN, GRANT)
    successor = replace(GRANT, expires=None, models=("qwen-*",))
    await place.store.save_grant(TOKEN, successor)
    assert await place.store.grant(TOKEN) == successor


async def test_remove(place: Place) -> None:
    """A removed grant is gone; removing says whether there was one; others stay."""
    await place.store.save_grant(TOKEN, GRANT)
    await place.store.save_grant(OTHER, GRANT)
    assert await place.store.grant(TOKEN) == GRANT
    assert await place.store.remove_grant(TOKEN) is True
    assert await place.store.grant(TOKEN) is None
    assert await place.store.remove_grant(TOKEN) is False
    assert await place.store.grant(OTHER) == GRANT


async def test_store_does_not_judge(place: Place) -> None:
    """Disabled and expired grants are answered as they are: judging is policy."""
    ended = replace(GRANT, enabled=False, expires=NOW - 1)
    await place.store.save_grant(TOKEN, ended)
    assert await place.store.grant(TOKEN) == ended


async def test_planted_grant(place: Place) -> None:
    """A control plane may write a grant directly, with as little as its models."""
    place.plant(TOKEN, {"models": "wan2.6-*"})
    short = TOKEN[:16]
    expected = Grant(id=short, name=short, tenant=short, models=("wan2.6-*",))
    assert await place.store.grant(TOKEN) == expected


async def test_unreadable_grant(place: Place) -> None:
    """A grant with a field nobody understands grants nothing.

    It is reported by its prefix once, however often it is used.
    """
    place.plant(TOKEN, {"models": "*", "expires": "soon"})
    for _ in range(3):
        assert await place.store.grant(TOKEN) is None
    assert place.unreadable == [(TOKEN[:16], "expires: 'soon' is not Unix seconds")]


async def test_grants_lists_all(place: Place) -> None:
    """Administration sees every grant once, the unreadable ones with their reason."""
    await place.store.save_grant(TOKEN, GRANT)
    place.plant(OTHER, {"models": "*", "enabled": "perhaps"})
    found = [pair async for pair in place.store.grants()]
    assert len(found) == 2
    assert dict(found)[TOKEN] == GRANT
    assert isinstance(dict(found)[OTHER], GrantUnreadableError)


async def test_claim_then_owner(place: Place) -> None:
    """A claimed task has the owner it was claimed for, and its record is complete."""
    task = record(inputs={"size": "1280*720", "prompt": "ünï\u2028\x00"}, created=NOW + 0.123456)
    await place.store.claim(task)
    assert await place.store.owner(task.task_id, "ada") == task


async def test_unknown_task(place: Place) -> None:
    """A task nobody claimed has no owner."""
    assert await place.store.owner("nobody's", "ada") is None


async def test_task_of_another(place: Place) -> None:
    """To everybody but its owner a task is not there, also while its owner polls it."""
    await place.store.claim(record())
    assert await place.store.owner("task-1", "ada") == record()
    assert await place.store.owner("task-1", "eve") is None
    assert await place.store.owner("task-1", "") is None
    assert await place.store.owner("task-1", "ada") == record()


async def test_claim_again(place: Place) -> None:
    """Claiming again for the same tenant changes nothing, whatever else the record says."""
    await place.store.claim(record())
    await place.store.observe("task-1", "RUNNING", NOW + 1)
    await place.store.claim(record(model="other"))
    assert await place.store.owner("task-1", "ada") == record(status="RUNNING", updated=NOW + 1)
    assert len(await place.store.tasks_of("ada", NOW, NOW)) == 1


async def test_first_owner_wins(place: Place) -> None:
    """Another tenant's claim on the same id is refused, and the first owner stays."""
    await place.store.claim(record())
    with pytest.raises(TaskConflictError):
        await place.store.claim(record(tenant="eve"))
    assert await place.store.owner("task-1", "ada") == record()
    assert await place.store.owner("task-1", "eve") is None
    assert await place.store.tasks_of("eve", NOW, NOW) == []


async def test_claims_at_once(place: Place) -> None:
    """Of many tenants who claim one id at the same time, exactly one gets it."""
    claims = (place.store.claim(record(tenant=f"tenant-{n}")) for n in range(20))
    results = await asyncio.gather(*claims, return_exceptions=True)
    assert results.count(None) == 1
    assert sum(isinstance(result, TaskConflictError) for result in results) == 19
    first = f"tenant-{results.index(None)}"
    assert await place.store.owner("task-1", first) == record(tenant=first)


@pytest.mark.parametrize("status", ["RUNNING", *sorted(TERMINAL)])
async def test_observe(place: Place, status: str) -> None:
    """A status seen on a poll is noted with its time."""
    await place.store.claim(record())
    await place.store.observe("task-1", status, NOW + 5)
    assert await place.store.owner("task-1", "ada") == record(status=status, updated=NOW + 5)
    assert await place.store.tasks_of("ada", NOW, NOW) == [record(status=status, updated=NOW + 5)]


async def test_finished_stays_finished(place: Place) -> None:
    """A poll that was overtaken does not revive a finished task."""
    await place.store.claim(record())
    await place.store.observe("task-1", "SUCCEEDED", NOW + 5)
    await place.store.observe("task-1", "RUNNING", NOW + 6)
    assert await place.store.tasks_of("ada", NOW, NOW) == [
        record(status="SUCCEEDED", updated=NOW + 5)
    ]


async def test_terminal_replaces_terminal(place: Place) -> None:
    """UNKNOWN may turn out to be a success after all."""
    await place.store.claim(record())
    await place.store.observe("task-1", "UNKNOWN", NOW + 5)
    await place.store.observe("task-1", "SUCCEEDED", NOW + 6)
    assert await place.store.owner("task-1", "ada") == record(status="SUCCEEDED", updated=NOW + 6)


async def test_same_status_changes_nothing(place: Place) -> None:
    """`updated` is when the status was first seen: repeated polls write nothing."""
    await place.store.claim(record())
    await place.store.observe("task-1", "RUNNING", NOW + 5)
    await place.store.observe("task-1", "RUNNING", NOW + 6)
    assert await place.store.owner("task-1", "ada") == record(status="RUNNING", updated=NOW + 5)


async def test_observe_unknown(place: Place) -> None:
    """Observing a task nobody claimed makes no task."""
    await place.store.observe("task-1", "RUNNING", NOW)
    assert await place.store.owner("task-1", "ada") is None
    await place.store.claim(record())
    assert await place.store.owner("task-1", "ada") == record()


async def test_retention(place: Place) -> None:
    """An owner counts for RETENTION seconds and not one more, on every way to it."""
    await place.store.claim(record())
    place.clock.at = NOW + RETENTION - 1
    assert await place.store.owner("task-1", "ada") == record()
    assert await place.store.tasks_of("ada", 0, NOW) == [record()]
    place.clock.at = NOW + RETENTION
    assert await place.store.owner("task-1", "ada") is None
    assert await place.store.tasks_of("ada", 0, NOW) == []


async def test_tasks_of(place: Place) -> None:
    """A tenant lists its own tasks between two times, both included, newest first."""
    mine = [record(f"task-{n}", created=NOW - n) for n in range(5)]
    for task in (mine[2], mine[0], mine[4], mine[3], mine[1]):
        await place.store.claim(task)
    await place.store.claim(record("theirs", tenant="eve", created=NOW - 2))
    assert await place.store.tasks_of("ada", NOW - 3, NOW - 1) == mine[1:4]
    assert await place.store.tasks_of("nobody", 0, NOW) == []


@pytest.mark.parametrize("tenant", ["a}b", "{a}", "*", "a b\n", "租户", ":"])
async def test_any_tenant_name(place: Place, tenant: str) -> None:
    """A tenant's name is data, whatever characters it has."""
    task: TaskRecord = record(tenant=tenant)
    await place.store.claim(task)
    assert await place.store.owner("task-1", tenant) == task
    assert await place.store.tasks_of(tenant, NOW, NOW) == [task]
    assert await place.store.tasks_of("a", NOW, NOW) == []


SENDING = first(is_sending=True, target="t" * 64)
DONE = replace(
    SENDING,
    fingerprint="f" * 64,
    outcome=Held(
        200,
        "Öh-kay",
        (("X-Two", "a"), ("x-two", "\udcff"), ("Content-Type", "application/json")),
        b'{"output":{"task_id":"t1"}}\x00\xff' + bytes(range(256)) * 100,
        ("t1", "t2"),
    ),
)


async def test_reserve(place: Place) -> None:
    """Who is first holds the place, and goes on to when asking again; others see who it is."""
    assert await place.store.reserve(PLACE, first()) is None
    assert await place.store.reserve(PLACE, first()) is None
    assert await place.store.reserve(PLACE, first("req-2")) == first()
    assert await place.store.reserve(PLACE + "b", first("req-2")) is None


async def test_reserve_at_once(place: Place) -> None:
    """Of many at the same time exactly one gets the place, and all others see that one."""
    wanted = (place.store.reserve(PLACE, first(f"req-{n}")) for n in range(20))
    found = await asyncio.gather(*wanted)
    assert found.count(None) == 1
    winner = first(f"req-{found.index(None)}")
    assert [one for one in found if one is not None] == [winner] * 19


async def test_what_was_never_sent_is_free_when_due(place: Place) -> None:
    """To the second; and who held it has lost it, so that only one of the two is ever sent."""
    await place.store.reserve(PLACE, first())
    place.clock.at = first().due - 0.1
    assert await place.store.reserve(PLACE, first("req-2")) == first()
    place.clock.at = first().due
    later = first("req-2", created=place.clock.at, due=place.clock.at + 30)
    assert await place.store.reserve(PLACE, later) is None
    assert not await place.store.advance(PLACE, SENDING)
    assert await place.store.advance(PLACE, replace(later, is_sending=True))
    assert await place.store.reserve(PLACE, first("req-3")) == replace(later, is_sending=True)


async def test_what_may_have_been_sent_is_never_free(place: Place) -> None:
    """Past its due as well: what came of it nobody knows."""
    await place.store.reserve(PLACE, first())
    assert await place.store.advance(PLACE, SENDING)
    place.clock.at = SENDING.due + 1000
    assert await place.store.reserve(PLACE, first("req-2")) == SENDING
    assert await place.store.advance(PLACE, DONE)
    assert await place.store.reserve(PLACE, first("req-2")) == DONE


async def test_an_outcome(place: Place) -> None:
    """What came of it comes back byte for byte, and holds the place as the first call did."""
    await place.store.reserve(PLACE, first())
    assert await place.store.advance(PLACE, DONE)
    assert await place.store.reserve(PLACE, first("req-2")) == DONE
    assert await place.store.reserve(PLACE, first()) is None


async def test_an_outcome_stays(place: Place) -> None:
    """A write that comes late, because its first try seemed lost, undoes none."""
    await place.store.reserve(PLACE, first())
    assert await place.store.advance(PLACE, DONE)
    assert await place.store.advance(PLACE, SENDING)
    assert await place.store.reserve(PLACE, first("req-2")) == DONE


async def test_uncertain(place: Place) -> None:
    """Why there is no answer is remembered as well."""
    ended = replace(SENDING, outcome=Lost("BAD_GATEWAY", "Gone; “do not”."))
    await place.store.reserve(PLACE, first())
    await place.store.advance(PLACE, ended)
    assert await place.store.reserve(PLACE, first("req-2")) == ended


async def test_prolong(place: Place) -> None:
    """Its holder is heard of: due later, and nothing else of it changes."""
    await place.store.reserve(PLACE, first())
    await place.store.advance(PLACE, DONE)
    await place.store.prolong(PLACE, "req-1", NOW + 500.5)
    assert await place.store.reserve(PLACE, first("req-2")) == replace(DONE, due=NOW + 500.5)


async def test_release(place: Place) -> None:
    """A place that was given back is free for the next, once."""
    await place.store.reserve(PLACE, first())
    await place.store.advance(PLACE, SENDING)
    await place.store.release(PLACE, "req-1")
    assert await place.store.reserve(PLACE, first("req-2")) is None
    assert await place.store.reserve(PLACE, first("req-3")) == first("req-2")


async def test_only_the_holder_changes_a_place(place: Place) -> None:
    """Nothing reaches what another holds, nor makes anything where nothing is."""
    assert not await place.store.advance(PLACE, DONE)
    await place.store.prolong(PLACE, "req-1", NOW + 500)
    await place.store.release(PLACE, "req-1")
    assert await place.store.reserve(PLACE, first("req-2")) is None
    assert not await place.store.advance(PLACE, DONE)
    await place.store.prolong(PLACE, "req-1", NOW + 500)
    await place.store.release(PLACE, "req-1")
    assert await place.store.reserve(PLACE, first()) == first("req-2")


@pytest.mark.parametrize("kept", [SENDING, DONE])
async def test_a_place_is_kept_for_a_day(place: Place, kept: Submission) -> None:
    """To the second, however it ended: then it is free again, and the old holder has lost it."""
    await place.store.reserve(PLACE, first())
    await place.store.reserve(PLACE + "b", first())
    await place.store.advance(PLACE, kept)
    place.clock.at = NOW + KEYS_KEPT - 1
    assert await place.store.reserve(PLACE, first("req-2")) == kept
    place.clock.at = NOW + KEYS_KEPT
    later = first("req-2", created=place.clock.at, due=place.clock.at + 420)
    assert await place.store.reserve(PLACE, later) is None
    assert not await place.store.advance(PLACE, kept)
    assert await place.store.reserve(PLACE, first("req-3")) == later
    assert await place.store.reserve(PLACE + "b", later) is None


async def test_lifetime(place: Place) -> None:
    """Opening and closing twice is harmless; ping tells the two apart."""
    await place.store.open()
    await place.store.ping()
    await place.store.close()
    await place.store.close()


async def test_closed_store_is_unavailable(place: Place) -> None:
    """After closing there is no store: an error, not a hang and not a foreign exception."""
    await place.store.close()
    with pytest.raises(StoreUnavailableError):
        await place.store.ping()
    assert place.store.trouble == "closed"
    with pytest.raises(StoreUnavailableError):
        await place.store.grant(OTHER)
    with pytest.raises(StoreUnavailableError):
        await place.store.claim(record())
    with pytest.raises(StoreUnavailableError):
        await place.store.reserve(PLACE, first())
    with pytest.raises(StoreUnavailableError):
        await place.store.advance(PLACE, first())
    with pytest.raises(StoreUnavailableError):
        await place.store.prolong(PLACE, "req-1", NOW)
    with pytest.raises(StoreUnavailableError):
        await place.store.release(PLACE, "req-1")

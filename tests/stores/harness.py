"""What the store tests share: a clock to turn, a deadline to wait by, grants and records."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, TypeAlias

from redis_server import RedisServer

from proxy.core.holds import MONEY, Bound, Hold, Level, Rate
from proxy.core.idempotency import Submission
from proxy.core.policy import Grant, digest_of, grant_to_fields
from proxy.core.settlement import Basis, Kind, UsageRecord
from proxy.core.tasks import TaskRecord
from proxy.core.usage import Used
from proxy.ports import Store

NOW = 1_800_000_000.0
"""Unix seconds at which the contract suite takes place."""

TOKEN = digest_of("a token")
OTHER = digest_of("another token")

GRANT = Grant(
    id="tok_1",
    name="Ada's laptop",
    tenant="ada",
    models=("wan2.6-*", "kling/kling-v3"),
    scopes=frozenset({"inference", "account"}),
    expires=NOW + 60,
    created=NOW - 60,
)


def plant(cli: Callable[..., str], digest: str = TOKEN) -> None:
    """Write `GRANT` with `redis-cli`: before a store opens, so that it hears no push of it."""
    fields = grant_to_fields(GRANT).items()
    cli("HSET", f"dsp:token:{digest}", *(word for pair in fields for word in pair))


def fields_of(redis: RedisServer, key: str) -> dict[str, str]:
    """A hash, as `redis-cli` shows it."""
    words = redis.cli("HGETALL", key).splitlines()
    return dict(zip(words[::2], words[1::2], strict=True))


class Clock:
    """A clock that moves when told. Seconds."""

    def __init__(self, at: float = NOW) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


Planter: TypeAlias = Callable[[str, str, dict[str, str]], None]
"""Writes fields behind a store's back: of a `token` by its digest, a `tenant` by its name."""


@dataclass
class Place:
    """One kind of store under test, which is open."""

    store: Store
    _plant: Planter
    clock: Clock
    unreadable: list[tuple[str, str]] = field(default_factory=list)

    def plant(self, digest: str, fields: dict[str, str]) -> None:
        """Write a grant behind the store's back."""
        self._plant("token", digest, fields)

    def plant_tenant(self, tenant: str, fields: dict[str, str]) -> None:
        """Write a tenant's limits behind the store's back."""
        self._plant("tenant", tenant, fields)


def record(task_id: str = "task-1", tenant: str = "ada", **changes: Any) -> TaskRecord:  # noqa: ANN401  # any field
    plain = TaskRecord(
        task_id=task_id,
        tenant=tenant,
        token="tok_1",
        account="main",
        model="wan2.6-t2v",
        created=NOW,
        request_id="req-1",
        inputs={"duration": "5", "size": "1280*720"},
    )
    return replace(plain, **changes)


PLACE = 64 * "a"


def first(holder: str = "req-1", **changes: Any) -> Submission:  # noqa: ANN401  # any field
    """The first call with a key, as it is reserved."""
    return replace(Submission(holder, created=NOW, due=NOW + 420), **changes)


UNIT = 10**9


def money(amount: int, most: int | None = 50, who: str = "token:tok_1") -> Level:
    """So many units of money in the month."""
    period = "2027-01"
    return Level(who, MONEY, period, amount * UNIT, None if most is None else most * UNIT)


def held(hold_id: str, *bounds: Bound, lease: float = 60.0) -> Hold:
    """A hold on these bounds."""
    rates = tuple(one for one in bounds if isinstance(one, Rate))
    return Hold(hold_id, rates, tuple(one for one in bounds if isinstance(one, Level)), lease)


def usage(task_id: str = "task-1", **changes: Any) -> UsageRecord:  # noqa: ANN401  # any field
    """What is written of `record(task_id)`."""
    plain = UsageRecord(
        id=task_id,
        kind=Kind.TASK,
        tenant="ada",
        token="tok_1",
        account="main",
        model="wan2.6-t2v",
        status="SUCCEEDED",
        created=NOW,
        ended=NOW + 90,
        used=Used(Decimal(5), 720),
        amount=3 * UNIT,
        currency="CNY",
        basis=Basis.USAGE,
        request_id="req-1",
    )
    return plain._replace(**changes)


async def eventually(true: Callable[[], bool | Awaitable[bool]], seconds: float = 10.0) -> float:
    """Wait until `true()`; the seconds it took. Fails after `seconds`."""
    begun = time.monotonic()
    while True:
        answer = true()
        if await answer if inspect.isawaitable(answer) else answer:
            return time.monotonic() - begun
        assert time.monotonic() - begun < seconds, f"still not true after {seconds} s"
        await asyncio.sleep(0.005)

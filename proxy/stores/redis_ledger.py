"""The ledger in Redis, as `RedisStore` has it: each step is one round trip."""

from collections.abc import Callable, Collection, Sequence

from proxy.core.holds import Hold, Ruling
from proxy.core.limits import Limits, LimitUnreadableError, limits_from_fields, limits_to_fields
from proxy.core.settlement import Settlement, UsageRecord
from proxy.core.tasks import TaskRecord
from proxy.ports.ledger import Standing, Total
from proxy.stores import redis_commands as commands
from proxy.stores import redis_holds as holds
from proxy.stores import redis_settlements as settlements
from proxy.stores.grant_cache import GrantCache
from proxy.stores.holding import Holding
from proxy.stores.records import is_kept
from proxy.stores.redis_push import Feed


class RedisLedger:
    """The port `proxy.ports.Ledger` through `_feed`. `_now` is Unix seconds.

    Leases and rates go by Redis's clock, unless `_clock` is another.
    """

    _feed: Feed
    _keys: commands.Keys
    _ledger: holds.LedgerKeys
    _grants: GrantCache
    _now: Callable[[], float]
    _clock: holds.Now
    _holding: Holding

    async def hold(self, hold: Hold) -> Ruling:
        """See `proxy.ports.Ledger.hold`."""
        self._feed.session()  # a store that is known to be away says so at once
        return await self._holding.hold(hold)

    async def _take(self, wanted: Sequence[Hold]) -> list[Ruling | Exception]:
        return await holds.hold(self._feed.session(), self._ledger, wanted, self._clock)

    async def renew(self, names: Sequence[str], lease: float) -> None:
        """See `proxy.ports.Ledger.renew`."""
        await holds.renew(self._feed.session(), self._ledger, names, lease, self._clock)

    async def settle(self, settlement: Settlement) -> Collection[str]:
        """See `proxy.ports.Ledger.settle`."""
        return await settlements.settle(self._feed.session(), self._ledger, settlement, self._now())

    async def due_tasks(self, most: int, ahead: float = 0.0) -> list[TaskRecord]:
        """See `proxy.ports.Ledger.due_tasks`. Open tasks without an owner are closed in passing."""
        session, now = self._feed.session(), self._now()
        ids = await session.ask(settlements.due_tasks, self._ledger, most, now + ahead)
        records = await session.ask(commands.read_tasks, self._keys, ids) if ids else []
        kept = [record for record in records if is_kept(record, now)]
        if lost := set(ids) - {record.task_id for record in kept}:
            await session.ask(settlements.forget, self._ledger, sorted(lost))
        return kept

    async def look_later(self, task_id: str, at: float) -> None:
        """See `proxy.ports.Ledger.look_later`."""
        await self._feed.ask(settlements.look_later, self._ledger, task_id, at)

    async def lead(self, process: str, seconds: float) -> bool:
        """See `proxy.ports.Ledger.lead`."""
        session = self._feed.session()
        return await settlements.lead(session, self._ledger, process, seconds, self._clock)

    async def standings(self, bounds: Sequence[tuple[str, str, str]]) -> list[Standing]:
        """See `proxy.ports.Ledger.standings`."""
        return await holds.standings(self._feed.session(), self._ledger, bounds, self._clock)

    async def totals(self, first_day: str, last_day: str) -> list[Total]:
        """See `proxy.ports.Ledger.totals`."""
        days = (first_day, last_day)
        return await self._feed.ask(settlements.totals, self._ledger, *days, self._now())

    async def records(self, after: str, most: int) -> list[tuple[str, UsageRecord]]:
        """See `proxy.ports.Ledger.records`. A place is the id of an entry in the stream."""
        return await self._feed.ask(settlements.records, self._ledger, after, most)

    async def tenant_limits(self, tenant: str) -> Limits:
        """See `proxy.ports.Ledger.tenant_limits`."""
        keys = [self._keys.tenant(tenant)]
        (fields,) = await self._feed.ask(commands.read_hashes, keys)
        if fields is None:
            raise LimitUnreadableError("the key is not a hash")
        try:
            return limits_from_fields(commands.text_of(fields))
        except UnicodeDecodeError:
            raise LimitUnreadableError("a field is not UTF-8") from None

    async def limit_tenant(self, tenant: str, limits: Limits) -> None:
        """See `proxy.ports.Ledger.limit_tenant`."""
        key = self._keys.tenant(tenant)
        await self._feed.ask(commands.write_hash, key, limits_to_fields(limits))
        self._grants.forget_all()  # the push comes a moment later; who wrote, reads it now

    async def limited_tenants(self) -> list[str]:
        """See `proxy.ports.Ledger.limited_tenants`. A name that is not UTF-8 is told with `?`."""
        session, start = self._feed.session(), self._keys.tenants
        keys = [key async for key in session.each(commands.keys_from(session.nodes.client, start))]
        names = {key.removeprefix(start.encode()).decode("utf-8", "replace") for key in keys}
        return sorted(names)

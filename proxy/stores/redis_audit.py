"""Asks again, slowly, for every grant that is remembered: not every change is pushed.

Redis 7.0 tells nobody when `SWAPDB` puts other data under our keys, and who knows what else a
server does not tell. So a push makes a revocation count within a second, and this one within a
minute, at the price of a hundred reads now and then, off every request's way.
"""

import asyncio
from contextlib import suppress

from proxy.core.errors import StoreUnavailableError
from proxy.core.policy import Grant
from proxy.stores import redis_commands as commands
from proxy.stores.cancelling import is_cancelled
from proxy.stores.grant_cache import GrantCache
from proxy.stores.redis_push import Feed

AUDIT_EVERY = 30.0
"""Seconds between two rounds. One through a full cache takes about 25 s at the pace below."""

_BATCH, _PAUSE = 100, 0.02  # grants at once: some 2 ms of this process; seconds between two


async def audit(feed: Feed, keys: commands.Keys, cache: GrantCache, every: float) -> None:
    """Go round for ever, and forget each grant that is not what Redis says."""
    while not is_cancelled():
        await asyncio.sleep(every)
        with suppress(StoreUnavailableError):  # a new session starts with nothing to audit
            await _round(feed, keys, cache)


async def _round(feed: Feed, keys: commands.Keys, cache: GrantCache) -> None:
    digests = cache.digests()
    for start in range(0, len(digests), _BATCH):
        batch = digests[start : start + _BATCH]
        granted = await _granted(feed, keys, batch)
        for digest in batch:
            known = cache.lookup(digest)
            if known is not None and known.grant != granted.get(digest):
                cache.forget(digest)
        await asyncio.sleep(_PAUSE)


async def _granted(feed: Feed, keys: commands.Keys, digests: list[str]) -> dict[str, Grant]:
    """What would be remembered by digest; what grants nothing is not in it."""
    found = await feed.ask(commands.read_hashes, [keys.token(digest) for digest in digests])
    grants = {
        digest: grant
        for digest, fields in zip(digests, found, strict=True)
        if fields != {} and isinstance(grant := commands.grant_of(digest, fields), Grant)
    }
    tenants = sorted({grant.tenant for grant in grants.values()})
    limits = await feed.ask(commands.read_hashes, [keys.tenant(tenant) for tenant in tenants])
    of = dict(zip(tenants, limits, strict=True))
    limited = {d: commands.limited(grant, of[grant.tenant]) for d, grant in grants.items()}
    return {digest: grant for digest, grant in limited.items() if isinstance(grant, Grant)}

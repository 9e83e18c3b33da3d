"""The list of models as one tenant sees it: gathered from every account, narrowed, paged anew.

    kept? → asked right now? → ask all accounts at once → keep → narrow → page

What is gathered is the accounts' and the same for every tenant, so nothing of a caller goes into
it but what it asks for; it is kept for a while, and narrowed for each caller afterwards. An
account that fails takes its own models off the list and no others: who can work with the rest
should, and a call for a missing one says what is wrong.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from http import HTTPMethod, HTTPStatus
from typing import NamedTuple

from proxy.core.accounts import Account
from proxy.core.answers import AnswerUnreadableError, read_json
from proxy.core.catalogue import LISTS, MAX_PAGES, Entry, Page, Wanted
from proxy.core.errors import ProxyError, Situation
from proxy.core.headers import Fields, outbound, value_of
from proxy.core.outages import Outage
from proxy.core.policy import matches
from proxy.core.recent import Recent
from proxy.core.routes import Envelope, Match
from proxy.edge.bodies import gather
from proxy.edge.flights import Flights
from proxy.ports import Call, Telemetry, Upstream

HOLD = 30.0
"""Seconds that what was gathered is narrowed again; models come and go by the week."""

PATIENCE = 5.0
"""Seconds until an account counts as failed: nothing is computed for a list, and the other
accounts' models wait for it."""

_PARTLY = 1 / 6
"""Of the hold, where an account failed: its models should be back soon."""

_MOST = 16 * 1024 * 1024
"""Bytes of all pages of one account, some thirty times what there are."""

_KEPT, _LARGEST = 16 * 1024 * 1024, 4 * 1024 * 1024
"""Bytes, as they came, of all lists that are kept, and of one: filters make many of them."""

_HEARD = ("accept-language", "anthropic-beta", "anthropic-version")
"""The fields of a caller's that may change a list, and so are part of what was asked."""

_OWN: Fields = (("Accept", "application/json"), ("User-Agent", "dashscope-proxy"))


class _Key(NamedTuple):
    """What is asked of every account: in which shape, path, query of the first page, fields."""

    envelope: Envelope
    target: str
    query: str | None
    fields: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class _Told:
    """What one account has: pages, `size` bytes together, and why there are no more, if so."""

    account: Account
    pages: list[Page] = field(default_factory=list)
    size: int = 0
    failure: ProxyError | None = None


class Catalogue:
    """Asks accounts for their models. `patience` and `hold` are seconds."""

    def __init__(
        self,
        upstream: Upstream,
        accounts: Sequence[Account],
        telemetry: Telemetry,
        patience: float = PATIENCE,
        hold: float = HOLD,
    ) -> None:
        self._upstream = upstream
        self._accounts = [account for account in accounts if account.weight > 0]
        self._telemetry = telemetry
        self._patience = min(patience, PATIENCE)
        self._hold = hold
        self._outages: defaultdict[str, Outage] = defaultdict(Outage)
        self._recent: Recent[_Key, list[_Told]] = Recent(_KEPT, _LARGEST)
        self._flights: Flights[_Key, list[_Told]] = Flights()

    async def page(self, match: Match, fields: Fields, allowed: Callable[[str], bool]) -> bytes:
        """The body of the page the query asks for, of the models that `allowed` lets pass.

        Raises `ProxyError`: `ILLEGAL_INPUT` for bad paging, and when no account answers, what
        the first one's failing comes to (`BAD_GATEWAY` for anything but a list).
        """
        wanted = LISTS[match.route.envelope](match.target.query)
        heard = tuple(pair for pair in fields if pair[0].lower() in _HEARD)
        key = _Key(match.route.envelope, match.route.target, wanted.next_query([]), heard)
        told = self._recent.get(key, time.monotonic())
        if told is None:
            asking, keeping = partial(self._gather, key, wanted), partial(self._keep, key)
            told, _ = await self._flights.join(key, asking, keeping)
        answered = [one for one in told if one.failure is None]
        if not answered:
            raise _failed(told)
        # What stands around the entries (ids, flags) is as good from one answer as from another.
        return wanted.render(answered[-1].pages[-1], _models(answered, wanted, allowed))

    async def _gather(self, key: _Key, wanted: Wanted) -> list[_Told]:
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(self._ask(one, key, wanted)) for one in self._accounts]
        return [call.result() for call in calls]

    def _keep(self, key: _Key, told: list[_Told]) -> None:
        """For a while, for a shorter one when an account is missing, not at all without any."""
        failed = sum(one.failure is not None for one in told)
        if failed < len(told):
            hold = self._hold * _PARTLY if failed else self._hold
            size = sum(one.size for one in told) + len(repr(key))
            self._recent.put(key, told, size, time.monotonic() + hold)

    async def _ask(self, account: Account, key: _Key, wanted: Wanted) -> _Told:
        """All pages of one account, at least one; or why there are none."""
        told = _Told(account)
        try:
            async with asyncio.timeout(self._patience):
                await self._turn_pages(told, key, wanted)
        except TimeoutError:
            late = "Upstream did not list its models in time."
            told.failure = ProxyError(Situation.GATEWAY_TIMEOUT, late)
        except AnswerUnreadableError:
            told.failure = _unreadable()
        except ProxyError as error:
            told.failure = error
        self._learn(account.name, told.failure)
        return told

    async def _turn_pages(self, told: _Told, key: _Key, wanted: Wanted) -> None:
        account = told.account
        headers = outbound([*_OWN, *key.fields], account, force_async=False, claims=True)
        while len(told.pages) < MAX_PAGES and (query := wanted.next_query(told.pages)) is not None:
            where = f"{key.target}?{query}" if query else key.target
            call = Call(HTTPMethod.GET, account, where, headers, None, self._patience)
            body, coding = await self._answer(call, _MOST - told.size)
            told.size += len(body)
            told.pages.append(wanted.read(read_json(body, coding, _MOST)))

    async def _answer(self, call: Call, most: int) -> tuple[bytes, str | None]:
        """A page, and its coding."""
        async with self._upstream.send(call) as reply:
            body = await gather(reply.chunks(), most, _unreadable)
        if reply.status != HTTPStatus.OK:
            raise ProxyError(
                Situation.BAD_GATEWAY, f"Upstream answered {reply.status} for its models."
            )
        return body, value_of(reply.headers, "content-encoding")

    def _learn(self, name: str, failure: ProxyError | None) -> None:
        """Tell of an outage that begins or ends with this."""
        now, outage = time.monotonic(), self._outages[name]
        if failure:
            if outage.failed(now):
                self._telemetry.event("models_failing", account=name, why=str(failure))
            return
        lasted = outage.succeeded(now)
        if lasted is not None:
            self._telemetry.event("models_recovered", account=name, seconds=round(lasted, 3))


def _models(
    answered: Sequence[_Told], wanted: Wanted, allowed: Callable[[str], bool]
) -> Sequence[Entry]:
    """The models that may be seen, each once, of the accounts that are bound to run them."""
    found: dict[str, Entry] = {}
    for one in answered:
        for entry in (entry for page in one.pages for entry in page.entries):
            name = wanted.name_of(entry)
            if name and allowed(name) and matches(one.account.models, name):
                found.setdefault(name, entry)
    return list(found.values())


def _failed(told: Sequence[_Told]) -> ProxyError:
    """What the first failing comes to; a new one for each who waited, for it collects its way."""
    first = next((one.failure for one in told if one.failure), _unreadable())
    return ProxyError(first.situation, first.message, headers=first.headers)


def _unreadable() -> ProxyError:
    return ProxyError(Situation.BAD_GATEWAY, "Upstream's list of models cannot be read.")

"""The list of models as one tenant sees it: gathered from every account, narrowed, paged anew.

The accounts are asked at once. One that fails takes its own models off the list and no others:
who can work with the rest should, and a call for a missing one says what is wrong.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPMethod, HTTPStatus

from proxy.core.accounts import Account
from proxy.core.answers import AnswerUnreadableError, read_json
from proxy.core.catalogue import LISTS, MAX_PAGES, Entry, Page, Wanted
from proxy.core.errors import ProxyError, Situation
from proxy.core.headers import Fields, outbound, value_of
from proxy.core.policy import matches
from proxy.core.routes import Match
from proxy.edge.upstream import gather
from proxy.ports import Call, Upstream

_MAX_PAGE = 16 * 1024 * 1024

_LONGEST_WAIT = 30.0
"""Seconds of silence until an account counts as failed: nothing is computed for a list, and the
other accounts' models wait for it."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Asks upstream for its models on behalf of a caller. `read_timeout` is seconds."""

    upstream: Upstream
    accounts: Sequence[Account]
    read_timeout: float

    async def page(self, match: Match, fields: Fields, allowed: Callable[[str], bool]) -> bytes:
        """The body of the page the query asks for, of the models that `allowed` lets pass.

        Raises `ProxyError`: `ILLEGAL_INPUT` for bad paging, and when no account answers, what
        the first one's failing comes to (`BAD_GATEWAY` for anything but a list).
        """
        wanted = LISTS[match.route.envelope](match.target.query)
        asked = [account for account in self.accounts if account.weight > 0]
        async with asyncio.TaskGroup() as group:
            target = match.route.target
            calls = [group.create_task(self._all(one, target, wanted, fields)) for one in asked]
        told = [call.result() for call in calls]
        answered = [pages for pages in told if not isinstance(pages, ProxyError)]
        if not answered:
            raise next((one for one in told if isinstance(one, ProxyError)), _unreadable())
        found: dict[str, Entry] = {}
        for account, pages in zip(asked, told, strict=True):
            for entry in [] if isinstance(pages, ProxyError) else _entries(pages):
                name = wanted.name_of(entry)
                if name and allowed(name) and matches(account.models, name):
                    found.setdefault(name, entry)
        return wanted.render(answered[-1][-1], list(found.values()))

    async def _all(
        self, account: Account, target: str, wanted: Wanted, fields: Fields
    ) -> list[Page] | ProxyError:
        """All pages of one account, at least one; or why there are none."""
        pages: list[Page] = []
        headers = outbound(fields, account, force_async=False, claims=True)
        patience = min(self.read_timeout, _LONGEST_WAIT)
        try:
            while len(pages) < MAX_PAGES and (query := wanted.next_query(pages)) is not None:
                where = f"{target}?{query}" if query else target
                call = Call(HTTPMethod.GET, account, where, headers, None, patience)
                pages.append(wanted.read(await self._answer(call)))
        except AnswerUnreadableError:
            return _unreadable()
        except ProxyError as error:
            return error
        return pages

    async def _answer(self, call: Call) -> object:
        async with self.upstream.send(call) as reply:
            body = await gather(reply, _MAX_PAGE, _unreadable)
        if reply.status != HTTPStatus.OK:
            raise ProxyError(
                Situation.BAD_GATEWAY, f"Upstream answered {reply.status} for its models."
            )
        return read_json(body, value_of(reply.headers, "content-encoding"), _MAX_PAGE)


def _entries(pages: Sequence[Page]) -> list[Entry]:
    return [entry for page in pages for entry in page.entries]


def _unreadable() -> ProxyError:
    return ProxyError(Situation.BAD_GATEWAY, "Upstream's list of models cannot be read.")

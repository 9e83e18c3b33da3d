"""The catalogue as one tenant sees it: gathered from every account, narrowed, paged anew."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPMethod, HTTPStatus

from proxy.core.accounts import Account
from proxy.core.answers import AnswerUnreadableError, read_json
from proxy.core.catalogue import (
    GATHER_SIZE,
    MAX_PAGES,
    gather_query,
    models_of,
    name_of,
    narrowed,
)
from proxy.core.errors import ProxyError, Situation
from proxy.core.headers import Fields, outbound, value_of
from proxy.core.listing import parse_page
from proxy.core.policy import matches
from proxy.edge.upstream import gather
from proxy.ports import Call, Upstream

_MAX_PAGE = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Asks upstream for its models on behalf of a caller."""

    upstream: Upstream
    accounts: Sequence[Account]
    read_timeout: float

    async def page(
        self, target: str, query: str | None, fields: Fields, allowed: Callable[[str], bool]
    ) -> bytes:
        """The body of the page the query asks for, of the models that `allowed` lets pass.

        Raises `ProxyError`: `ILLEGAL_INPUT` for bad paging, what upstream's failing comes to,
        and `BAD_GATEWAY` when it answers anything but a catalogue.
        """
        page_no, page_size = parse_page(query)
        found: dict[str, Mapping[str, object]] = {}
        envelope: Mapping[str, object] = {}
        for account in (account for account in self.accounts if account.weight > 0):
            envelope, entries = await self._all(account, target, query, fields)
            for entry in entries:
                name = name_of(entry)
                if allowed(name) and matches(account.models, name):
                    found.setdefault(name, entry)
        return narrowed(envelope, list(found.values()), page_no, page_size)

    async def _all(
        self, account: Account, target: str, query: str | None, fields: Fields
    ) -> tuple[Mapping[str, object], list[Mapping[str, object]]]:
        entries: list[Mapping[str, object]] = []
        answer: Mapping[str, object] = {}
        for page_no in range(1, MAX_PAGES + 1):
            call = Call(
                HTTPMethod.GET,
                account,
                f"{target}?{gather_query(query, page_no)}",
                outbound(fields, account, force_async=False, claims=True),
                None,
                self.read_timeout,
            )
            answer, page = await self._one(call)
            entries += page
            if not page or len(entries) >= _total(answer, len(page)):
                break
        return answer, entries

    async def _one(self, call: Call) -> tuple[Mapping[str, object], list[Mapping[str, object]]]:
        async with self.upstream.send(call) as reply:
            body = await gather(reply, _MAX_PAGE, _unreadable)
        if reply.status != HTTPStatus.OK:
            raise ProxyError(
                Situation.BAD_GATEWAY, f"Upstream answered {reply.status} for its catalogue."
            )
        try:
            answer = read_json(body, value_of(reply.headers, "content-encoding"), _MAX_PAGE)
            return models_of(answer)
        except AnswerUnreadableError as error:
            raise _unreadable() from error


def _unreadable() -> ProxyError:
    return ProxyError(Situation.BAD_GATEWAY, "Upstream's catalogue cannot be read.")


def _total(answer: Mapping[str, object], size: int) -> float:
    """How many entries there are. A short page is not the last one: upstream may cap its size."""
    output = answer.get("output")
    total = output.get("total") if isinstance(output, dict) else None
    if isinstance(total, int):
        return total
    return 0 if size < GATHER_SIZE else math.inf

"""`GET /usage` for operators: a statement of what was used, as JSON or as CSV."""

import json
import time
from typing import Protocol

from aiohttp import web

from proxy.core.beijing import day_of
from proxy.core.errors import Situation, StoreUnavailableError
from proxy.core.policy import Grant
from proxy.core.statement import Query, QueryError, Statement, read_query, state
from proxy.core.statement_forms import statement_csv, statement_json
from proxy.ports import Ledger, Tokens

FORMS = ("json", "csv")


class Books(Ledger, Tokens, Protocol):
    """Where usage is added up, and where tokens have their names."""


class Statements:
    """Answers questions about usage. Who may ask is decided by the listener it is put on."""

    def __init__(self, books: Books) -> None:
        self._books = books

    async def answer(self, request: web.Request) -> web.Response:
        """The statement asked for in the address; 400 and 503 say why there is none, as JSON."""
        given = {name: request.query.getall(name) for name in request.query}
        try:
            form = _form(given.pop("format", ["json"]))
            query = read_query(given, day_of(time.time()))
            statement = await self._statement(query)
        except QueryError as error:
            return _refusal(Situation.ILLEGAL_INPUT, str(error))
        except StoreUnavailableError:
            return _refusal(Situation.STORE_UNAVAILABLE, "The store does not answer; ask again.")
        if form == "csv":
            return web.Response(text=statement_csv(statement), content_type="text/csv")
        return web.Response(text=statement_json(statement), content_type="application/json")

    async def refuse(self, request: web.Request) -> web.Response:
        """405 for every other method, as JSON."""
        refusal = _refusal(Situation.METHOD_NOT_ALLOWED, f"{request.method} is not GET or HEAD.")
        refusal.headers["Allow"] = "GET, HEAD"
        return refusal

    async def _statement(self, query: Query) -> Statement:
        totals = await self._books.totals(query.first_day, query.last_day)
        return state(totals, query, await self._names() if query.needs_names else {})

    async def _names(self) -> dict[str, str]:
        grants = [grant async for _, grant in self._books.grants()]
        return {grant.id: grant.name for grant in grants if isinstance(grant, Grant)}


def _form(given: list[str]) -> str:
    if len(given) > 1:
        raise QueryError("format", "is given more than once")
    if given[0] not in FORMS:
        raise QueryError("format", f"{given[0]!r} is not one of {', '.join(FORMS)}")
    return given[0]


def _refusal(situation: Situation, message: str) -> web.Response:
    text = json.dumps({"code": situation.code, "message": message})
    return web.Response(status=situation.status, text=text, content_type="application/json")

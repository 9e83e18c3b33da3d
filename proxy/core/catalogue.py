"""The list of models narrowed to what the token may use, in each protocol's own shape.

Upstream knows hundreds of models and filters by its own account. Narrowing page by page would
hand a tenant with two models thirty empty pages, so the whole list is gathered and paged anew;
its entries cross as they came.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple, Protocol, TypeAlias
from urllib.parse import parse_qsl, urlencode

from proxy.core.answers import AnswerUnreadableError
from proxy.core.compact import compact
from proxy.core.paging import misread, number, only, parse_page
from proxy.core.routes import Envelope

GATHER_SIZE = 100
"""Entries asked of upstream at a time, where it takes a number."""

MAX_PAGES = 50
"""Pages gathered at most: some 5,000 models, ten times what there are."""

Entry: TypeAlias = Mapping[str, object]


class Page(NamedTuple):
    """One of upstream's answers, and the entries in it."""

    answer: Mapping[str, object]
    entries: Sequence[Entry]


class Wanted(Protocol):
    """A list as a caller asked for it, in one protocol."""

    def next_query(self, pages: Sequence[Page]) -> str | None:
        """The query for upstream's next page, behind these; None when they are all."""
        ...

    def read(self, answer: object) -> Page:
        """Take an answer apart. Raises `AnswerUnreadableError` when it is no list."""
        ...

    def name_of(self, entry: Entry) -> str:
        """A model's name as one puts it into a request; empty without one."""
        ...

    def render(self, last: Page, models: Sequence[Entry]) -> bytes:
        """The answer's body: upstream's last answer around what is wanted of `models`."""
        ...


@dataclass(frozen=True, slots=True)
class NativeList:
    """`output.models`, by page number and size."""

    filters: Sequence[tuple[str, str]]
    page_no: int
    page_size: int

    @classmethod
    def parse(cls, query: str | None) -> "NativeList":
        """Read a query. Raises `ProxyError` (`ILLEGAL_INPUT`) naming the parameter."""
        return cls(_without(query, "page_no", "page_size"), *parse_page(query))

    def next_query(self, pages: Sequence[Page]) -> str | None:
        """See `Wanted`. A short page is not the last one: upstream may cap its size."""
        if pages and (not pages[-1].entries or _count(pages) >= _total(pages[-1])):
            return None
        paging = [("page_no", str(len(pages) + 1)), ("page_size", str(GATHER_SIZE))]
        return urlencode([*self.filters, *paging])

    def read(self, answer: object) -> Page:
        """See `Wanted`."""
        output = answer.get("output") if isinstance(answer, dict) else None
        return _page(answer, output, "models")

    def name_of(self, entry: Entry) -> str:
        """See `Wanted`."""
        return _text(entry.get("model") or entry.get("name"))

    def render(self, last: Page, models: Sequence[Entry]) -> bytes:
        """See `Wanted`."""
        first = (self.page_no - 1) * self.page_size
        output = last.answer.get("output")
        page = {
            "total": len(models),
            "page_no": self.page_no,
            "page_size": self.page_size,
            "models": models[first : first + self.page_size],
        }
        return compact(
            {**last.answer, "output": {**(output if isinstance(output, dict) else {}), **page}}
        )


@dataclass(frozen=True, slots=True)
class OpenAIList:
    """`data`, all of it at once; `query` goes up as it came."""

    query: str

    @classmethod
    def parse(cls, query: str | None) -> "OpenAIList":
        """Take a query as it is: the protocol has no paging here."""
        return cls(query or "")

    def next_query(self, pages: Sequence[Page]) -> str | None:
        """See `Wanted`."""
        return None if pages else self.query

    def read(self, answer: object) -> Page:
        """See `Wanted`."""
        return _page(answer, answer, "data")

    def name_of(self, entry: Entry) -> str:
        """See `Wanted`."""
        return _text(entry.get("id"))

    def render(self, last: Page, models: Sequence[Entry]) -> bytes:
        """See `Wanted`."""
        return compact({**last.answer, "data": models})


@dataclass(frozen=True, slots=True)
class AnthropicList:
    """`data` between two ids, at most `limit` of it; `filters` go up with our own paging."""

    filters: str
    limit: int
    after: str | None
    before: str | None

    @classmethod
    def parse(cls, query: str | None) -> "AnthropicList":
        """Read a query. Raises `ProxyError` (`ILLEGAL_INPUT`) naming the parameter."""
        limit = number(query, "limit", _ANTHROPIC_SIZE)
        if limit > _ANTHROPIC_MOST:
            raise misread("limit", f"must be a number from 1 to {_ANTHROPIC_MOST}")
        after, before = only(query, "after_id"), only(query, "before_id")
        if after and before:
            raise misread("before_id", "goes without `after_id`; send one of them")
        filters = urlencode(_without(query, "limit", "after_id", "before_id"))
        return cls(filters, limit, after, before)

    def next_query(self, pages: Sequence[Page]) -> str | None:
        """See `Wanted`."""
        paging = {"limit": str(_ANTHROPIC_MOST)}
        if pages:
            last = pages[-1]
            if not last.entries or last.answer.get("has_more") is not True:
                return None
            paging["after_id"] = self.name_of(last.entries[-1])
        return "&".join(filter(None, (self.filters, urlencode(paging))))

    def read(self, answer: object) -> Page:
        """See `Wanted`."""
        return _page(answer, answer, "data")

    def name_of(self, entry: Entry) -> str:
        """See `Wanted`."""
        return _text(entry.get("id"))

    def render(self, last: Page, models: Sequence[Entry]) -> bytes:
        """See `Wanted`. Raises `ProxyError` (`ILLEGAL_INPUT`) for an id that is not in the list."""
        names = [self.name_of(entry) for entry in models]
        begin = _index(names, "after_id", self.after) + 1 if self.after else 0
        end = _index(names, "before_id", self.before) if self.before else len(names)
        if self.before:
            begin = max(0, end - self.limit)
        shown = slice(begin, min(end, begin + self.limit))
        page = names[shown]
        more = begin > 0 if self.before else shown.stop < end
        ids = {"first_id": page[0] if page else None, "last_id": page[-1] if page else None}
        return compact({**last.answer, "data": models[shown], "has_more": more, **ids})


LISTS: Mapping[Envelope, Callable[[str | None], Wanted]] = MappingProxyType(
    {
        Envelope.NATIVE: NativeList.parse,
        Envelope.OPENAI: OpenAIList.parse,
        Envelope.ANTHROPIC: AnthropicList.parse,
    }
)
"""How each protocol asks for a list."""

_ANTHROPIC_SIZE = 20
_ANTHROPIC_MOST = 1000


def _page(answer: object, holder: object, name: str) -> Page:
    entries = holder.get(name) if isinstance(holder, dict) else None
    if not isinstance(answer, dict) or not isinstance(entries, list):
        raise AnswerUnreadableError(f"no list of models in `{name}`")
    return Page(answer, [entry for entry in entries if isinstance(entry, dict)])


def _count(pages: Sequence[Page]) -> int:
    return sum(len(page.entries) for page in pages)


def _total(last: Page) -> float:
    """How many entries there are, where upstream tells."""
    output = last.answer.get("output")
    total = output.get("total") if isinstance(output, dict) else None
    if isinstance(total, int):
        return total
    return 0 if len(last.entries) < GATHER_SIZE else math.inf


def _without(query: str | None, *names: str) -> list[tuple[str, str]]:
    """The caller's filters, without the paging, which is ours."""
    pairs = parse_qsl(query or "", keep_blank_values=True)
    return [pair for pair in pairs if pair[0] not in names]


def _index(names: Sequence[str], parameter: str, wanted: str) -> int:
    if wanted not in names:
        raise misread(parameter, "must be the id of a model in this list")
    return names.index(wanted)


def _text(name: object) -> str:
    return name if isinstance(name, str) else ""

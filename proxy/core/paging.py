"""Parameters of a listing's query: each once, in one spelling, or refused by its name."""

import re

from proxy.core.errors import ProxyError, Situation
from proxy.core.target import query_values

MAX_PAGE_SIZE = 100

_NUMBER = re.compile(r"0{0,3}[1-9][0-9]{0,8}")


def parse_page(query: str | None) -> tuple[int, int]:
    """Page number and size. Raises `ProxyError` (`ILLEGAL_INPUT`) naming the parameter."""
    page_no = number(query, "page_no", 1)
    return page_no, min(number(query, "page_size", 10), MAX_PAGE_SIZE)


def number(query: str | None, name: str, default: int) -> int:
    """A number from 1 on. Raises `ProxyError` (`ILLEGAL_INPUT`) naming the parameter."""
    text = only(query, name)
    if text is None:
        return default
    if not _NUMBER.fullmatch(text):
        raise misread(name, "must be a number from 1 on")
    return int(text)


def only(query: str | None, name: str) -> str | None:
    """The one value of a parameter, None where it is absent or empty. Raises `ProxyError`."""
    values = query_values(query, name)
    if len(values) > 1:
        raise misread(name, "given more than once")
    return values[0] if values and values[0] else None


def misread(name: str, problem: str) -> ProxyError:
    """The refusal of a parameter."""
    return ProxyError(Situation.ILLEGAL_INPUT, f"query.{name}: {problem}.", param=name)

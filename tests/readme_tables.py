"""The README's tables that the code knows better; `python tests/readme_tables.py` writes them."""

import re
from pathlib import Path

from conformance.differences import DIFFERENCES

from proxy.cli.check import price_field_lines, variable_lines
from proxy.core.errors import Situation
from proxy.core.limits import NAMES
from proxy.core.settlement import UsageRecord
from proxy.core.usage import Used

README = Path(__file__).parents[1] / "README.md"
_TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def changes() -> list[str]:
    """Everything the proxy changes in a request or an answer, as `make conformance` shows it."""
    lines = ["| in | what | how | `make conformance` calls it |", "|---|---|---|---|"]
    return lines + [f"| {row.where} | {row.what} | {row.how} | {row.name} |" for row in DIFFERENCES]


def errors() -> list[str]:
    """Every answer the proxy can give for itself."""
    lines = ["| HTTP | code | when |", "|---|---|---|"]
    rows = (situation.value for situation in Situation)
    return lines + [f"| {row.status} | `{row.code}` | {row.when} |" for row in rows]


# What each field means; the tables below say for which there is a line missing.
LIMITS = {
    "requests_per_minute": "calls, but for polls, cancels and the list of own tasks",
    "submits_per_minute": "calls that create a task",
    "concurrent_tasks": "tasks that have not ended",
    "concurrent_streams": "answers that come in parts, and WebSockets, at once",
    "budget_day": "currency units on a day of Beijing's, `12.50`",
    "budget_month": "currency units in a month of Beijing's",
    "budget_total": "currency units in all",
}
USAGE = {
    "id": "the task's, else the proxy's id of the request; on a socket both, with a `:` between",
    "kind": "`task`, `call` or `socket`",
    "tenant": "whose token it was",
    "token": "the token's id",
    "account": "the upstream account that it ran on",
    "model": "what was run",
    "status": "upstream's of a task; `SUCCEEDED` of an answered call",
    "created": "Unix seconds; decides which day and month are charged",
    "ended": "Unix seconds",
    "amount": "the price, in currency units, to the billionth: `3.6`",
    "currency": "of the route file; empty where it has no prices",
    "basis": "`usage`: of what upstream says; `request`: of what was asked for; `nothing`: free",
    "request_id": "upstream's",
    "hold": "the proxy's id of the call by which it held part of its limits, or empty",
    "seconds": "of video or sound, as upstream bills them",
    "lines": "of the resolution: `720`",
    "images": "how many were made",
    "input_tokens": "as upstream counts them",
    "output_tokens": "as upstream counts them",
    "characters": "as upstream counts them",
}


def limits() -> list[str]:
    """The fields of a grant, or of a tenant's hash, that limit."""
    lines = ["| field of a grant or tenant | limits |", "|---|---|"]
    return lines + [f"| `{name}` | {LIMITS[name]} |" for name in NAMES]


def usage() -> list[str]:
    """The fields of an entry in the usage stream."""
    names = [name for name in UsageRecord._fields if name != "used"]
    used = list(Used._fields)
    lines = ["| field of an entry in the usage stream | meaning |", "|---|---|"]
    lines += [f"| `{name}` | {USAGE[name]} |" for name in names]
    return lines + [f"| `{name}` | {USAGE[name]}; not there where unknown |" for name in used]


TABLES = {
    "limits": limits,
    "usage": usage,
    "changes": changes,
    "errors": errors,
    "prices": price_field_lines,
    "variables": variable_lines,
}


def with_tables(text: str) -> str:
    """The README with its tables as the code has them."""

    def fill(found: re.Match[str]) -> str:
        return found[1] + "\n".join(TABLES[found[2]]()) + "\n" + found[3]

    return _TABLE.sub(fill, text)


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text(encoding="utf-8")), encoding="utf-8")

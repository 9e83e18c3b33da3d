"""The README's tables that the code knows better; `python tests/readme_tables.py` writes them."""

import re
from pathlib import Path

from proxy.cli.check import variable_lines
from proxy.core.errors import Situation
from proxy.core.headers import REPLY_STOPPED, REQUEST_STOPPED, Stopped

README = Path(__file__).parents[1] / "README.md"
_TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

_OTHER_CHANGES = [
    ("request", "path", "the alias becomes `/api/v1`; escapes, query and trailing slash stay"),
    (
        "request",
        "`Authorization`, `X-DashScope-WorkSpace`",
        "added: the account's, behind the rest",
    ),
    (
        "request",
        "`X-DashScope-Async: enable`",
        "added where upstream knows no other mode, in place of the client's",
    ),
    (
        "request",
        "`Accept-Encoding: identity`",
        "in place of the client's on calls that create a task: its id is read from the answer",
    ),
    ("request", "comments in a judged JSON body", "become as many blanks"),
    ("request", "HTTP version", "1.1, on a connection of the proxy's own; chunks are cut anew"),
    ("answer", "`x-proxy-request-id`", "added: the proxy's id for the request"),
    ("answer", "`Server`, `Date`, `Content-Type`", "added only where upstream sent none"),
    ("answer", "HTTP version", "the client's; chunks are cut anew, HTTP/1.0 gets none"),
    ("answer", "`GET tasks`", "comes from the proxy's own records: the tenant's tasks only"),
    ("answer", "`GET models`", "narrowed to the token's models, and paged anew"),
]


def changes() -> list[str]:
    """Everything the proxy changes in a request or an answer."""
    lines = ["| in | what | how |", "|---|---|---|"]
    lines += [f"| {where} | {what} | {how} |" for where, what, how in _OTHER_CHANGES[:6]]
    lines += [_stopped("request", row) for row in REQUEST_STOPPED]
    lines += [f"| {where} | {what} | {how} |" for where, what, how in _OTHER_CHANGES[6:]]
    lines += [_stopped("answer", row) for row in REPLY_STOPPED]
    return lines


def errors() -> list[str]:
    """Every answer the proxy can give for itself."""
    lines = ["| HTTP | code | when |", "|---|---|---|"]
    rows = (situation.value for situation in Situation)
    return lines + [f"| {row.status} | `{row.code}` | {row.when} |" for row in rows]


TABLES = {"changes": changes, "errors": errors, "variables": variable_lines}


def with_tables(text: str) -> str:
    """The README with its tables as the code has them."""

    def fill(found: re.Match[str]) -> str:
        return found[1] + "\n".join(TABLES[found[2]]()) + "\n" + found[3]

    return _TABLE.sub(fill, text)


def _stopped(where: str, row: Stopped) -> str:
    names = ", ".join(f"`{name}`" for name in row.names)
    return f"| {where} | {names} | dropped: {row.why} |"


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text(encoding="utf-8")), encoding="utf-8")

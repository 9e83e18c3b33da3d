"""The README's tables that the code knows better; `python tests/readme_tables.py` writes them."""

import re
from pathlib import Path

from proxy.cli.check import variable_lines
from proxy.core.errors import Situation
from proxy.core.headers import REPLY_STOPPED, REQUEST_STOPPED, Stopped

README = Path(__file__).parents[1] / "README.md"
_TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

_REQUEST_CHANGES = [
    ("path", "the alias becomes `/api/v1`; escapes, query and trailing slash stay"),
    ("`Host`", "the upstream account's, in the first place"),
    ("`Authorization`, `X-DashScope-WorkSpace`", "the account's, behind the rest"),
    ("`X-DashScope-Async: enable`", "in the client's place, where upstream knows no other mode"),
    (
        "`Accept-Encoding: identity`",
        "in the client's place on calls that create a task or list models: their answer is read",
    ),
    ("`Transfer-Encoding: chunked`", "moved behind the rest; chunks are cut anew, trailers end"),
    ("comments in a judged JSON body", "become as many blanks"),
    ("HTTP version, blanks around values", "HTTP/1.1, on a connection of its own; blanks are cut"),
]
_ANSWER_CHANGES = [
    ("`x-proxy-request-id`", "added: the proxy's id for the request"),
    ("`Server`, `Date`", "added only where upstream sent none"),
    ("`Connection`", "the proxy's own, where the connection ends or HTTP/1.0 goes on"),
    (
        "framing",
        (
            "a length stays a length; everything else is chunked for HTTP/1.1 and ends with the "
            "connection for HTTP/1.0; trailers and 1xx answers end here, 204 has no length"
        ),
    ),
    ("status line", "the client's HTTP version; status and reason stay"),
    ("`GET tasks`", "comes from the proxy's own records: the tenant's tasks only"),
    ("`GET models`", "narrowed to the token's models, and paged anew"),
]


def changes() -> list[str]:
    """Everything the proxy changes in a request or an answer."""
    lines = ["| in | what | how |", "|---|---|---|"]
    lines += [f"| request | {what} | {how} |" for what, how in _REQUEST_CHANGES]
    lines += [_stopped("request", row) for row in REQUEST_STOPPED]
    lines += [f"| answer | {what} | {how} |" for what, how in _ANSWER_CHANGES]
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

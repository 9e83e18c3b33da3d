"""The README's tables that the code knows better; `python tests/readme_tables.py` writes them."""

import re
from pathlib import Path

from conformance.differences import DIFFERENCES

from proxy.cli.check import variable_lines
from proxy.core.errors import Situation

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


TABLES = {"changes": changes, "errors": errors, "variables": variable_lines}


def with_tables(text: str) -> str:
    """The README with its tables as the code has them."""

    def fill(found: re.Match[str]) -> str:
        return found[1] + "\n".join(TABLES[found[2]]()) + "\n" + found[3]

    return _TABLE.sub(fill, text)


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text(encoding="utf-8")), encoding="utf-8")

"""`tests/` mirrors `proxy/` by name: the tests of a module stand where one looks for them."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE, TESTS = ROOT / "proxy", ROOT / "tests"
NO_MODULES = {"__init__.py", "__main__.py"}

# Modules without a test file of their own name, and why. Only lines that go away are welcome.
EXEMPT = {
    "core/jsonvisitor.py": "a protocol: nothing runs",
    "core/holds.py": "records: core/test_ruling.py shows what they refuse",
    "ports/ledger.py": "protocols and records: nothing runs",
    "ports/store.py": "protocols: nothing runs",
    "ports/telemetry.py": "protocols and records: nothing runs",
    "ports/upstream.py": "protocols and records: nothing runs",
    "config/kinds.py": "data: every field stands in a golden file of config/test_routing.py",
    "config/schema.py": "data: every field stands in a golden file of config/test_routing.py",
    "stores/notices.py": "two types and a function that does nothing",
    "stores/sqlite_ledger_sql.py": "text of SQL: the contract and stores/test_sqlite_ledger.py",
    "stores/sqlite_schema.py": "text of SQL: stores/test_sqlite.py runs every line of it",
}


def test_every_module_has_its_tests() -> None:
    """`proxy/room/x.py` is proved by `tests/room/test_x.py`, or as a whole by `tests/system`."""
    modules = {
        file.relative_to(PACKAGE) for file in PACKAGE.glob("**/*.py") if file.name not in NO_MODULES
    }
    untested = {
        module.as_posix()
        for module in modules
        if not any(
            (TESTS / folder / f"test_{module.name}").is_file()
            for folder in (module.parent, "system")
        )
    }
    assert sorted(untested - EXEMPT.keys()) == [], "write tests, or a line in EXEMPT"
    assert sorted(EXEMPT.keys() - untested) == [], "exempt no more: take it out of EXEMPT"
    assert all(EXEMPT.values())

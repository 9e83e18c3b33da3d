"""Who may import whom, and what: the picture of DESIGN section 9 as tables that are run.

A new room, a new dependency or a longer file is a line in a table here, with its reason.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path, PurePath

import pytest

ROOT = Path(__file__).parents[1]
FILES = {file.relative_to(ROOT): file.read_text("utf-8") for file in ROOT.glob("proxy/**/*.py")}

# Each room (a module or a package right under `proxy`) and the rooms it may import; itself always.
# Imports point down; siblings (stores, edge, config, telemetry, sandbox) never meet but in `app`.
ROOMS: dict[str, set[str]] = {
    "core": set(),
    "ports": {"core"},
    "stores": {"ports", "core"},
    "edge": {"ports", "core"},
    "config": {"ports", "core"},
    "telemetry": {"ports", "core"},
    "sandbox": {"core"},
    "app": {"edge", "stores", "config", "telemetry", "sandbox", "ports", "core"},
    "cli": {"app", "config", "stores", "sandbox", "ports", "core"},
    "__main__": {"cli"},
    "__init__": set(),
}

# Each name from outside: the distribution that brings it (None: Python) and the rooms it lives in.
HOMES: dict[str, tuple[str | None, set[str]]] = {
    "aiohappyeyeballs": ("aiohappyeyeballs", {"edge"}),
    "aiohttp": ("aiohttp", {"edge", "sandbox"}),
    "click": ("click", {"cli"}),
    "hiredis": ("redis", {"stores"}),
    "httptools": ("httptools", {"edge"}),
    "orjson": ("orjson", {"telemetry", "stores"}),
    "prometheus_client": ("prometheus-client", {"telemetry"}),
    "pydantic": ("pydantic", {"config"}),
    "pydantic_core": ("pydantic", {"config"}),
    "redis": ("redis", {"stores"}),
    "sqlite3": (None, {"stores"}),
    "structlog": ("structlog", {"telemetry"}),
    "uvloop": ("uvloop", {"app"}),
    "yaml": ("pyyaml", {"config"}),
    "yarl": ("yarl", {"edge"}),
}

# What has no place where decisions are made: no clock, no chance, no environment, no I/O, no wait.
IMPURE_MODULES = {
    *("asyncio", "concurrent", "contextvars", "multiprocessing", "queue", "sched", "select"),
    *("signal", "socket", "ssl", "subprocess", "threading", "time", "random", "secrets", "uuid"),
    *("os", "pathlib", "shutil", "tempfile", "io", "sys", "logging", "warnings", "platform"),
    *("http.client", "http.server", "urllib.request", "importlib"),
}
IMPURE_CALLS = {"open", "print", "input", "breakpoint", "now", "today", "utcnow", "getenv"}
WAITING = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)

# No room for what has not found its noun.
NO_NOUNS = {"utils", "util", "helpers", "helper", "common", "misc", "shared", "tools", "lib"}

# Files near 150 lines read best; beyond 300 each says why. Limits and table may only shrink.
LONGEST = 300
LONGER = {
    "proxy/core/jsonscan.py": (400, "one state machine, which is read as a whole or not at all"),
}


def findings(path: PurePath, source: str) -> list[str]:
    """Everything about a file under `proxy` that the tables above forbid."""
    room = path.parts[1].removesuffix(".py")
    if room not in ROOMS:
        return [f"no room is called {room}; give it a line in ROOMS"]
    tree = ast.parse(source)
    found = [f"{name} has no noun" for name in path.with_suffix("").parts if name in NO_NOUNS]
    for name in imports(tree):
        found += import_findings(room, name)
    if room == "core":
        found += impurities(tree)
    return found + list(memos(tree))


def imports(tree: ast.AST) -> Iterator[str]:
    """All imported names, dotted, wherever they stand; `from a import b` is `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from (f"{module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and called(node) in {"__import__", "import_module"}:
            yield ".dynamically"


def import_findings(room: str, name: str) -> Iterator[str]:
    outer, _, inner = name.partition(".")
    if not outer:
        yield f"{name} is imported, spell absolute names"
    elif outer == "proxy":
        other = inner.partition(".")[0]
        if other not in ROOMS[room] | {room}:
            yield f"{room} may not import {other}"
    elif outer in HOMES:
        if room not in HOMES[outer][1]:
            yield f"{outer} is not at home in {room}"
    elif outer not in sys.stdlib_module_names:
        yield f"{outer} has no home; give it a line in HOMES"


def impurities(tree: ast.AST) -> Iterator[str]:
    for name in imports(tree):
        if any(f"{name}.".startswith(f"{module}.") for module in IMPURE_MODULES):
            yield f"{name} is impure"
    for node in ast.walk(tree):
        if isinstance(node, WAITING):
            yield "waiting is impure"
        if isinstance(node, ast.Call) and called(node) in IMPURE_CALLS:
            yield f"{called(node)}() is impure"


def memos(tree: ast.AST) -> Iterator[str]:
    """Memos that grow as long as somebody asks for what is new."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and called(node) == "lru_cache":
            sizes = [*node.args, *(one.value for one in node.keywords)]
            if any(isinstance(size, ast.Constant) and size.value is None for size in sizes):
                yield "a memo has a bound"


def called(node: ast.Call) -> str:
    """The last name of what is called."""
    function = node.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_file_keeps_to_its_room(path: Path) -> None:
    """Imports point down, siblings never meet, outside names have a home, the core is pure."""
    assert findings(path, FILES[path]) == []


# The rules themselves: a file that breaks one, and what is found.
BROKEN = [
    ("core/x.py", "from proxy.ports import Store", "core may not import ports"),
    ("core/x.py", "from proxy import stores", "core may not import stores"),
    ("core/x.py", "import proxy.edge.gateway", "core may not import edge"),
    ("core/x.py", "def f():\n    import aiohttp", "aiohttp is not at home in core"),
    ("core/x.py", "import numpy", "numpy has no home; give it a line in HOMES"),
    ("core/x.py", "async def f(): pass", "waiting is impure"),
    ("core/x.py", "import time", "time is impure"),
    ("core/x.py", "from os import environ", "os.environ is impure"),
    ("core/x.py", "import os.path", "os.path is impure"),
    ("core/x.py", "import logging", "logging is impure"),
    ("core/x.py", "import random", "random is impure"),
    ("core/x.py", "import asyncio", "asyncio is impure"),
    ("core/x.py", "from socket import socket", "socket.socket is impure"),
    ("core/x.py", "from urllib import request", "urllib.request is impure"),
    ("core/x.py", "import datetime\ndatetime.datetime.now()", "now() is impure"),
    ("core/x.py", "from datetime import date\ndate.today()", "today() is impure"),
    ("core/x.py", "open('x')", "open() is impure"),
    ("core/x.py", "print('x')", "print() is impure"),
    ("core/x.py", "@lru_cache(maxsize=None)\ndef f(x): ...", "a memo has a bound"),
    ("edge/x.py", "f = functools.lru_cache(None)(g)", "a memo has a bound"),
    ("core/x.py", "from . import y", "..y is imported, spell absolute names"),
    ("core/x.py", "__import__('os')", ".dynamically is imported, spell absolute names"),
    ("ports.py", "from proxy.stores import open_store", "ports may not import stores"),
    ("stores/x.py", "from proxy.config.settings import Settings", "stores may not import config"),
    ("stores/x.py", "import aiohttp", "aiohttp is not at home in stores"),
    ("edge/x.py", "from proxy.stores.redis import RedisStore", "edge may not import stores"),
    ("edge/x.py", "from proxy.telemetry import Metrics", "edge may not import telemetry"),
    ("edge/x.py", "import redis.asyncio", "redis is not at home in edge"),
    ("config/x.py", "from proxy.edge import admin", "config may not import edge"),
    ("telemetry.py", "from proxy.config import ConfigError", "telemetry may not import config"),
    ("sandbox/x.py", "from proxy.ports import Call", "sandbox may not import ports"),
    ("app/x.py", "from proxy.cli import main", "app may not import cli"),
    ("cli/x.py", "from proxy.edge.gateway import Gateway", "cli may not import edge"),
    ("cli/x.py", "import uvloop", "uvloop is not at home in cli"),
    ("stores/x.py", "from proxy.app import process", "stores may not import app"),
    ("edge/utils.py", "", "utils has no noun"),
    ("edge/common/x.py", "", "common has no noun"),
    ("attic/x.py", "", "no room is called attic; give it a line in ROOMS"),
]


@pytest.mark.parametrize(("path", "source", "finding"), BROKEN)
def test_a_broken_rule_is_found(path: str, source: str, finding: str) -> None:
    """A rule that cannot fail is a wish."""
    assert findings(PurePath("proxy", path), source) == [finding]


FINE = [
    ("core/x.py", "import json, re\nfrom http import HTTPStatus\nfrom proxy.core.gate import Gate"),
    ("core/x.py", "from functools import lru_cache\n@lru_cache(maxsize=64)\ndef f(x): ..."),
    ("core/x.py", "from datetime import datetime\ndatetime.strptime('x', 'y').timestamp()"),
    ("ports.py", "from proxy.core.tasks import TaskRecord\nasync def f(): ..."),
    ("app/x.py", "import asyncio, uvloop\nfrom proxy.edge import gateway\nfrom proxy import ports"),
    ("edge/x.py", "import aiohttp, yarl, time\nfrom proxy.edge.intake import Intake"),
]


@pytest.mark.parametrize(("path", "source"), FINE)
def test_what_is_allowed_is_left_alone(path: str, source: str) -> None:
    """The rules forbid no more than they say."""
    assert findings(PurePath("proxy", path), source) == []


def declared() -> dict[str, str]:
    """The dependencies of `pyproject.toml`: each name with the comment on its line."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    names = tomllib.loads(text)["project"]["dependencies"]
    reasons = {}
    for name in names:
        (line,) = (line for line in text.splitlines() if f'"{name}"' in line)
        distribution = re.split(r"[^A-Za-z0-9-]", name)[0]
        reasons[distribution] = line.partition("#")[2].strip()
    return reasons


def test_what_is_imported_is_declared_with_a_reason() -> None:
    """Each outside name has its distribution in pyproject, with a comment; none is there unused."""
    outer = {
        name.partition(".")[0] for source in FILES.values() for name in imports(ast.parse(source))
    }
    assert outer >= HOMES.keys()
    used = {distribution for distribution, _ in HOMES.values() if distribution}
    assert declared().keys() == used
    assert all(len(reason.split()) > 1 for reason in declared().values())


def test_rooms_and_homes_are_there() -> None:
    """The tables name no room that is gone, and no name lives where nobody uses it."""
    rooms = {path.parts[1].removesuffix(".py") for path in FILES}
    assert rooms == ROOMS.keys()
    lived_in = {
        (name.partition(".")[0], path.parts[1].removesuffix(".py"))
        for path, source in FILES.items()
        for name in imports(ast.parse(source))
    }
    for name, (_, homes) in HOMES.items():
        assert {(name, home) for home in homes} <= lived_in


def test_long_files_say_why() -> None:
    """A file over 300 lines has a reason and a limit here, and leaves the table when it can."""
    lengths = {str(path): source.count("\n") for path, source in FILES.items()}
    long = {path: length for path, length in lengths.items() if length > LONGEST}
    assert long.keys() == LONGER.keys()
    assert all(length <= LONGER[path][0] for path, length in long.items())
    assert all(reason for _, reason in LONGER.values())

"""The last test of a run: no secret that it used stands in anything that it wrote.

Log lines, bodies of errors, what processes printed, files of stores, dumps of Redis: every test
that makes some adds them to `harness.EVIDENCE`, and the secrets that it used as well.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from harness import EVIDENCE, UPSTREAM_KEY

ROOMS = {"app", "cli", "edge", "sdk", "system"}
"""Folders of tests that leave evidence: when all of them ran, much of it must be here."""

LEAST = {"log lines": 2000, "errors": 200, "SQLite files": 50, "Redis keys": 50, "secrets": 200}
"""Well below what a whole run leaves; far below means that the search searches nothing."""

_SORTS = {
    "log lines": re.compile(rb'^\{.*"event":', re.MULTILINE),
    "errors": re.compile(rb'\A\{.*"request_id":'),
    "SQLite files": re.compile(rb"\ASQLite format 3\0"),
    "Redis keys": re.compile(rb"^dsp:(?:token|task)", re.MULTILINE),
}
_HEAD = 16
_CANDIDATE = re.compile(rb"sk-(?=([\x21-\x7e]{13}))")  # looking ahead: one may begin in another


def leaks(secrets: Iterable[str], written: Sequence[bytes]) -> list[str]:
    """The secrets that stand in what was written, shortened, with what is before them.

    One pass for all that begin as tokens do: there are hundreds, and a hundred megabytes.
    """
    tokens = {secret[:_HEAD].encode() for secret in secrets if _CANDIDATE.match(secret.encode())}
    others = [secret.encode() for secret in secrets if secret[:_HEAD].encode() not in tokens]
    found = []
    for text in written:
        heads = _CANDIDATE.finditer(text)
        places = [head.start() for head in heads if head[0] + head[1] in tokens]
        places += [at for at in map(text.find, others) if at >= 0]
        found += [f"{text[at : at + 8]!r}… after {text[max(0, at - 60) : at]!r}" for at in places]
    return found


def test_a_leak_is_found() -> None:
    """The search finds a token, a key, and whatever else is called a secret, and only those."""
    secrets = {UPSTREAM_KEY, "sk-0123456789abcdefghijklmnop", "hush", "Signature="}
    innocent = [b'{"event":"request"}', b"sk-another-token-altogether", b""]
    assert leaks(secrets, innocent) == []
    for secret in secrets:
        for text in (secret, f"x{secret}y", f'{{"a":"sk-sk-{secret}"}}', f"\n{secret}\n"):
            assert leaks(secrets, [*innocent, text.encode()]), text


@pytest.mark.alone
def test_no_secret_was_written(evidence: Path) -> None:
    """None of the secrets of this run stands in any of its evidence, and there was evidence."""
    EVIDENCE.absorb(evidence)
    assert leaks(EVIDENCE.secrets, EVIDENCE.written) == []
    seen = {
        name: sum(len(sort.findall(text)) for text in EVIDENCE.written)
        for name, sort in _SORTS.items()
    } | {"secrets": len(EVIDENCE.secrets)}
    print(f"searched {sum(map(len, EVIDENCE.written)):,} bytes: {seen}")  # noqa: T201 - for -rP
    if EVIDENCE.rooms >= ROOMS:
        assert not {name: seen[name] for name, least in LEAST.items() if seen[name] < least}

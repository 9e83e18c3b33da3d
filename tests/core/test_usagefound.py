"""Where usage and errors stand in an answer, whether it is parsed or scanned."""

import json

import pytest

from proxy.core.jsonscan import JsonScanner
from proxy.core.usagefound import Found, Told, found_in

CASES: list[tuple[str, Told, bool]] = [
    (
        '{"usage":{"a":1},"output":{"usage":{"b":2}}}',
        {"usage": {"a": 1}, "output": {"usage": {"b": 2}}},
        False,
    ),
    (
        '{"response":{"usage":{"a":[1,{"b":null}]}}}',
        {"response": {"usage": {"a": [1, {"b": None}]}}},
        False,
    ),
    ('{"choices":[{"usage":{"a":1}}]}', {}, False),
    ('{"usage":{"a":1},"usage":7}', {}, False),
    ('{"usage":7,"usage":{"a":1}}', {"usage": {"a": 1}}, False),
    ('{"code":"No","message":"no"}', {}, True),
    ('{"code":null,"error":null,"usage":{}}', {"usage": {}}, False),
    ('{"code":""}', {}, False),
    ('{"code":"Success","message":"well"}', {}, False),
    ('{"code":"200"}', {}, False),
    ('{"response":{"error":{"message":"no"}}}', {}, True),
]


@pytest.mark.parametrize(("text", "told", "is_error"), CASES)
def test_both_ways_find_the_same(text: str, told: Told, is_error: bool) -> None:  # noqa: FBT001 - a table
    """Of names that stand twice the last one counts."""
    scanned = Found()
    JsonScanner(scanned, ()).feed(text.encode())
    assert found_in(json.loads(text)) == scanned.findings == (told, is_error, "")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('{"type":"message_start"}', "message_start"),
        ('{"message":{"type":"message"},"usage":{"type":"x"}}', ""),
        ('{"type":"a","type":"b"}', "b"),
        ('{"type":"a","type":7}', ""),
        ('{"type":{"a":1}}', ""),
    ],
)
def test_kind(text: str, kind: str) -> None:
    """The root's type, where it is a text."""
    scanned = Found()
    JsonScanner(scanned, ()).feed(text.encode())
    assert found_in(json.loads(text)).kind == scanned.findings.kind == kind

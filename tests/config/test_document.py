"""YAML with its lines: every place is found again, every mistake points at one."""

import pytest

from proxy.config import ConfigError
from proxy.config.document import loader_by, read_document

TEXT = """\
# a comment
one: 1
many:
  - a
  - b: x
    c: [1, 2,
        3]
&named again: {inner: yes}
"""

LINES = [
    ((), 2),
    (("one",), 2),
    (("many",), 3),
    (("many", 0), 4),
    (("many", 1), 5),
    (("many", 1, "b"), 5),
    (("many", 1, "c"), 6),
    (("many", 1, "c", 2), 7),
    (("again", "inner"), 8),
    (("many", 1, "missing"), 5),
    (("many", 9, "deep", "down"), 3),
    (("nowhere",), 2),
]


@pytest.mark.parametrize(("place", "line"), LINES)
def test_a_place_is_found_again(place: tuple[str | int, ...], line: int) -> None:
    """The line of a place, or of the nearest one around it that is there."""
    document = read_document("some.yaml", TEXT)
    assert document.line(place) == line
    assert document.at(place) == f"some.yaml:{line}"


def test_data_is_plain() -> None:
    """What is read is what any YAML reader reads."""
    document = read_document("some.yaml", TEXT)
    assert document.data == {
        "one": 1,
        "many": ["a", {"b": "x", "c": [1, 2, 3]}],
        "again": {"inner": True},
    }


def test_without_libyaml_nothing_is_read_otherwise() -> None:
    """A PyYAML that was built without it reads the same data, at the same lines."""
    for text in (TEXT, "", "a: [1, 2.5, null, yes, 'x', \"\\u4f60\"]\nb: |\n  two\n  lines\n"):
        assert read_document("x", text, loader_by(None)) == read_document("x", text)
    with pytest.raises(ConfigError, match="stands twice"):
        read_document("x", "a: 1\na: 2\n", loader_by(None))


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n"])
def test_nothing_is_none(text: str) -> None:
    """An empty file is read; what it should have said is for others to tell."""
    assert read_document("some.yaml", text).data is None


def test_a_name_given_twice_is_told_where() -> None:
    """YAML keeps the last of two, silently; all of them are told, at any depth."""
    with pytest.raises(ConfigError) as refusal:
        read_document("some.yaml", "a: 1\nb: {c: 1, c: 2}\na: 3\n")
    assert refusal.value.problems == [
        "some.yaml:2: c: stands twice, keep one",
        "some.yaml:3: a: stands twice, keep one",
    ]


@pytest.mark.parametrize("nested", ["[", "- ", "{a: "])
def test_nested_without_end(nested: str) -> None:
    """However deep it is nested, it is refused, and the process goes on."""
    with pytest.raises(ConfigError) as caught:
        read_document("x.yaml", nested * 200_000)
    (problem,) = caught.value.problems
    assert problem.startswith("x.yaml:1: ")

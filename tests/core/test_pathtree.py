"""The tree of patterns: literal before capture before rest, and no way round a look-alike."""

import pytest

from proxy.core.pathtree import Node

PATTERNS = ("/a", "/a/{x}", "/a/b", "/a/{x}/c", "/a/{rest**}", "/d/{x**}", "/{x}/e")


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("a", "/a"),
        ("a/b", "/a/b"),
        ("a/z", "/a/{x}"),
        ("a/z/c", "/a/{x}/c"),
        ("a/b/c", "/a/{x}/c"),
        ("a/z/y", "/a/{rest**}"),
        ("z/e", "/{x}/e"),
        ("z", None),
        ("A/b", None),
        ("a/B", None),
        ("a/b.json", None),
        ("D/x", None),
    ],
)
def test_the_most_specific_pattern_is_found(path: str, pattern: str | None) -> None:
    """A look-alike of a literal ends the search, for everything broader too."""
    root: Node[str] = Node()
    for one in PATTERNS:
        root.grown(one).routes["GET"] = one
    found = root.find(tuple(path.split("/")))
    assert (found and found.routes["GET"]) == pattern


def test_what_takes_the_rest_above_a_path() -> None:
    """The last one beside the literals, however far these go."""
    root: Node[str] = Node()
    for one in ("/a/{x**}", "/a/b/c", "/a/b/{x**}"):
        root.grown(one).routes["GET"] = one
    for path, pattern in (("a/b/z", "/a/b/{x**}"), ("a/z", "/a/{x**}"), ("a/b/c/d", "/a/b/{x**}")):
        above = root.rest_above(tuple(path.split("/")))
        assert above is not None
        assert above.routes["GET"] == pattern
    assert root.rest_above(("z",)) is None

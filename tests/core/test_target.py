"""The request target: nothing ambiguous gets in, nothing gets out of `/api/v1`, no byte changes."""

import posixpath
import re
import unicodedata
from urllib.parse import unquote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy.config.routing import PACKAGED, load_routing
from proxy.core.errors import ProxyError, Situation
from proxy.core.target import parse_target, query_values

TABLE = load_routing(PACKAGED, {}).table
TASK = "/api/v1/tasks/"

# What came, its decoded segments, the trailing slash, the query.
SAFE = [
    ("/", (), True, None),
    ("/a", ("a",), False, None),
    ("/a/", ("a",), True, None),
    ("/a?", ("a",), False, ""),
    ("/a/?", ("a",), True, ""),
    ("/a?b=c?d", ("a",), False, "b=c?d"),
    ("/a?../../b//c;d%2f%00", ("a",), False, "../../b//c;d%2f%00"),
    ("/a?next=http://other.example/path", ("a",), False, "next=http://other.example/path"),
    ("/a?q=视频", ("a",), False, "q=视频"),
    ("/%61/b", ("a", "b"), False, None),
    ("/kling%2Dv3/%E8%A7%86%e9%a2%91", ("kling-v3", "视频"), False, None),
    ("/a%20b", ("a b",), False, None),
    ("/.../..a/a..", ("...", "..a", "a.."), False, None),
    ("/-._~!$&'()*+,=:@", ("-._~!$&'()*+,=:@",), False, None),
    ("http://other.example/a/?b", ("a",), True, "b"),
    ("HTTPS://user:secret@other.example:99/a", ("a",), False, None),
    ("http:///a", ("a",), False, None),
]

REFUSED = [
    # No path at all: empty, asterisk-form, authority-form, absolute-form without a path.
    *("", "*", "a", "other.example:443", "http://other.example", "http://other.example?a=b"),
    *("http:/a", "http:a", "ftp://other.example/a", "//other.example/a", "?a=b", "\\a"),
    # Only the very beginning of a target may name a host.
    *("/http://other.example/a", "/api/v1/taskshttp://x/abc", "http://x/http://y/api/v1/tasks"),
    # Dot segments, in every spelling.
    *(f"{TASK}{dots}" for dots in (".", "..", "%2e", "%2E", "%2e%2e", "%2E.", ".%2e", "%2e%2E")),
    *(f"{TASK}{dots}/x" for dots in (".", "..", "%2e", "%2e%2e", "..%20", "%20..", "%E3%80%80.")),
    *("/..", "/.", "/../api/v1/tasks", "/api/../api/v1/tasks", "/api/v1/tasks/x/../"),
    # Dots and slashes of other alphabets, which a best-fit mapping or NFKC turns into ours.
    *(f"{TASK}{dots}" for dots in ("%EF%BC%8E%EF%BC%8E", "%E2%80%A5", "%EF%BC%8E.", "a%EF%BC%8Fb")),
    # Empty segments.
    *("//", "//api/v1/tasks", "/api//v1/tasks", "/api/v1/tasks//", "/api/v1/tasks///x", "/%20/a"),
    # Separators that another server decodes, splits at or cuts off.
    *(f"{TASK}a{mark}b" for mark in ("%2f", "%2F", "%5c", "%5C", "\\", ";", "%3b", "%3B")),
    *(f"{TASK}a{mark}b" for mark in ("%3f", "%3F", "#", "%23", "..;/", ";..%2f", "%ef%bc%9b")),
    # Escapes within escapes, malformed escapes, control characters.
    *(f"{TASK}a{mark}b" for mark in ("%25", "%252e", "%252f", "%25%32%65", "%", "%2g", "%u002e")),
    *(f"{TASK}a{mark}b" for mark in ("%00", "%0d%0a", "%09", "%1f", "%7f", "%C2%85", "\x00")),
    *(f"{TASK}a{mark}b" for mark in (" ", "\t", "\r\n", "\x7f", '"', "<", "^", "`", "{", "|", "[")),
    # What nobody sees: of no width, soft hyphens, marks of direction, ends of lines, private use.
    *(f"{TASK}a{mark}" for mark in ("%e2%80%8b", "%c2%ad", "%e2%80%ae", "%e2%80%a8", "%ee%80%80")),
    *(f"{TASK}{mark}a" for mark in ("%ef%bb%bf", "%e2%81%a0", "%e2%80%a9", "%f3%a0%80%81")),
    # Not ASCII as it came, or not UTF-8 once decoded; overlong forms of `/` and `.`.
    *(f"{TASK}{text}" for text in ("视频", "\udcff", "%ff", "%c0%af", "%c0%ae%c0%ae", "%ed%a0%80")),
]  # fmt: skip

SPLIT_REQUESTS = ["a b", "a\r\nHost: x", "a\x00", "a\x7f", "a#b", "a\udcff", "\t"]


def without_host(text: str) -> str:
    return re.sub(r"\Ahttps?://[^/?#]*", "", text, flags=re.IGNORECASE)


@pytest.mark.parametrize(("text", "segments", "slash", "query"), SAFE)
def test_a_safe_target_is_taken_apart_and_kept(
    text: str, segments: tuple[str, ...], *, slash: bool, query: str | None
) -> None:
    """Segments are decoded for the eye; path, slash and query stay byte for byte what came."""
    target = parse_target(text)
    assert (target.segments, target.slash, target.query) == (segments, slash, query)
    assert target.path == without_host(text).partition("?")[0]


@pytest.mark.parametrize("text", REFUSED)
def test_what_could_be_two_paths_is_none(text: str) -> None:
    """Whatever a second decoder could read as another path is refused as no path of ours."""
    with pytest.raises(ProxyError) as refusal:
        parse_target(text)
    assert refusal.value.situation is Situation.NOT_FOUND


@pytest.mark.parametrize("query", SPLIT_REQUESTS)
def test_a_query_cannot_end_the_request_line(query: str) -> None:
    """Blanks, control characters, fragments and stray bytes in a query never reach upstream."""
    with pytest.raises(ProxyError) as refusal:
        parse_target(f"/a?{query}")
    assert refusal.value.situation is Situation.NOT_FOUND


@pytest.mark.parametrize("text", REFUSED)
def test_a_refusal_says_why_and_repeats_nothing(text: str) -> None:
    """The message names what is wrong with the path and never echoes it."""
    with pytest.raises(ProxyError, match="No such path: it ") as refusal:
        parse_target(text)
    assert len(text) < 3 or text not in refusal.value.message


# Pieces an attacker would put between the segments of a path that is served.
PIECES = [
    *("/", "//", "/.", "/..", "/../", "..", ".", "%2e", "%2E", "%2e%2e", "%252e", "%252e%252e"),
    *("%2f", "%2F", "%252f", "%5c", "\\", ";", "%3b", ";x=/..", "%00", "%25", "%", "%3f", "%23"),
    *("?", "#", "*", ":", "@", "~", "+", "%20", " ", "\t", "%0a", "é", "%c0%af", "．", "／"),
    *("%EF%BC%8E", "%EF%BC%8F", "%E2%80%A5", "%C2%A0", "http://x", "https://x/", "x"),
    *("api", "v1", "tasks", "tokens", "services", "models", "permissions", "cancel"),
]  # fmt: skip
SERVED = [
    *("/api/v1", "/alibailian/api/v1", "/task/bailian", "/task/bailian/x/y"),
    *("/api/v1/tasks/x", "/api/v1/tasks/x/cancel", "/api/v1/models/a/b", "/api/v1/tokens"),
    *("/task/bailian/image2video", "/api/v1/services/aigc/image2image/x", "http://x/api/v1/files"),
]
pieces = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=6).map("".join)
targets = st.builds(
    "{}{}{}".format, st.sampled_from(SERVED), pieces, st.sampled_from(["", "?a=/../"])
)


def seen_by_anybody(path: str) -> str:
    """A path as the most forgiving server reads it: every trick there is, until nothing changes."""
    before = None
    while path != before:
        before = path
        path = unicodedata.normalize("NFKC", unquote(path)).replace("\\", "/")
        path = "/".join(part.partition(";")[0].strip() for part in path.split("/"))
        path = re.split(r"[?#\x00]", path, maxsplit=1)[0]
    return "/" + posixpath.normpath(path).lstrip("/")


# About one random target in eight is served: as many more are tried, and none is thrown away,
# because hypothesis gives up, now and then, on a test that throws most of them away.
TRIES = settings(max_examples=8 * settings().max_examples)


@TRIES
@given(targets)
@example("/api/v1/taskshttp://x/abc")
def test_a_target_is_whole_and_plain(text: str) -> None:
    """For any target that parses: rejoined it is the path that came, and no segment can lie."""
    try:
        target = parse_target(text)
    except ProxyError:
        return
    path, mark, query = without_host(text).partition("?")
    assert target.path == path
    assert target.query == (query if mark else None)
    assert len(target.raw) == len(target.segments)
    for segment in target.segments:
        assert segment.strip() not in {"", ".", ".."}
        assert not re.search(r"[/\\;?#%\x00-\x1f\x7f-\x9f]", segment)


@TRIES
@given(
    targets, st.sampled_from(["GET", "POST", "DELETE"]), st.sampled_from([None, "wan2.2-kf2v-x"])
)
@example("/task/bailian/image2video/", "POST", "wan2.2-kf2v-x")
@example("/api/v1/x/%EF%BC%8E%EF%BC%8E/%EF%BC%8E%EF%BC%8E/%EF%BC%8E%EF%BC%8E/a", "GET", None)
@example("/api/v1/x/..%20/..%20/..%20/a", "GET", None)
def test_nothing_leaves_the_target(text: str, method: str, model: str | None) -> None:
    """However often upstream decodes and normalises, a served target stays under `/api/v1/`."""
    try:
        match = TABLE.match(method, parse_target(text))
    except ProxyError:
        return
    upstream = match.upstream_target(model)
    path, _, query = upstream.partition("?")
    assert seen_by_anybody(path).startswith("/api/v1/")
    assert query == (match.target.query or "")
    assert not re.search(r"[\x00-\x20\x7f#]", upstream)


@given(st.text() | st.text().map("/{}".format))
def test_any_text_is_answered(text: str) -> None:
    """No target raises anything but a `ProxyError`."""
    try:
        parse_target(text)
    except ProxyError as refusal:
        assert refusal.situation is Situation.NOT_FOUND  # noqa: PT017 - most texts are refused


# A query, and the values of `model` in it; None where it must be refused.
QUERIES: list[tuple[str | None, list[str] | None]] = [
    (None, []),
    ("", []),
    ("&&", []),
    ("models=a&my-model=b&x", []),
    ("model=a", ["a"]),
    ("action=getPolicy&model=a/b", ["a/b"]),
    ("model=a%2Fb", ["a/b"]),
    ("model=%E8%A7%86", ["视"]),
    ("mode%6c=a", ["a"]),
    ("model=a+b", ["a b"]),
    ("model=a%2Bb", ["a+b"]),
    ("model=", [""]),
    ("model", [""]),
    ("model==", ["="]),
    ("model=a=b", ["a=b"]),
    ("model=a&model=b", ["a", "b"]),
    ("model=a%26model=b", ["a&model=b"]),
    ("model=a%3Bmodel=b", ["a;model=b"]),
    ("other=%ff&model=a", ["a"]),
    ("action=x;y", []),
    ("Model=a", None),
    ("model=a&MODEL=b", None),
    ("model[]=a", None),
    ("model%5B%5D=a", None),
    ("model=a&model[0]=b", None),
    ("model=a&model%5bx%5d=b", None),
    ("[model]=a", None),
    ("_model=a", None),
    ("mo-del=a", None),
    ("mo%00del=a", None),
    ("model%20=a", None),
    ("+model=a", None),
    ("model%ff=a", None),
    ("%6Dodel%00=a", None),
    ("ｍｏｄｅｌ=a", None),
    ("model=a;x=1", None),
    ("x=1;y&model=a", None),
    ("model=%ff", None),
    ("model=a%00", None),
    ("model=a%E2%80%8B", None),
    ("model=a%0A", None),
    ("model=%C2%A0a", None),
]


@pytest.mark.parametrize(("query", "expected"), QUERIES)
def test_a_queried_model_is_read_in_one_way(query: str | None, expected: list[str] | None) -> None:
    """A parameter is read as any parser would, or refused: look-alikes, `;`, unseen characters."""
    if expected is not None:
        assert query_values(query, "model") == expected
        return
    with pytest.raises(ProxyError, match=r"^query\.model: ") as refusal:
        query_values(query, "model")
    assert refusal.value.situation is Situation.ILLEGAL_INPUT


@given(st.text(), st.sampled_from(["model", "page_no"]))
def test_any_query_is_answered(query: str, name: str) -> None:
    """No query raises anything but a refusal, and what is read can be written to a log."""
    try:
        values = query_values(query, name)
    except ProxyError as refusal:
        assert refusal.situation is Situation.ILLEGAL_INPUT  # noqa: PT017 - many texts are refused
    else:
        assert all(value.isprintable() for value in values)


def test_a_semicolon_hides_no_model() -> None:
    """Some parsers take `;` for `&`: a model behind one is refused, anything else is not read."""
    for query in ("a=1;model=x", "model=x;a=1", "a;model"):
        with pytest.raises(ProxyError):
            query_values(query, "model")
    assert query_values("a=1;b=2", "model") == []

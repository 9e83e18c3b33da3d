"""The scanner: strict grammar, one verdict for any cut, comments blanked in place."""

import json
from collections.abc import Iterable, Iterator
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.core.jsonatoms import MAX_ATOM
from proxy.core.jsonscan import ITEM, MAX_DEPTH, MAX_TRAILING, JsonScanner
from proxy.core.jsontexts import MAX_TEXT, JsonError

Heard = list[tuple[tuple[str, ...], bytes | None]]


class Listener:
    """Asks for everything in the root and in `input`, and writes down what it hears."""

    def __init__(self) -> None:
        self.heard: Heard = []

    def member(self, level: tuple[str, ...], raw_name: bytes | None) -> tuple[str, ...] | None:
        self.heard.append((level, raw_name))
        return None if raw_name is None else (*level, raw_name.decode())

    def value(self, path: tuple[str, ...], raw: bytes | None) -> tuple[str, ...] | None:
        self.heard.append((path, raw))
        if path not in {(), ("input",)}:
            return None
        return (*path, ITEM) if raw == b"[" else path


class Eager(Listener):
    """Asks for whatever there is."""

    def value(self, path: tuple[str, ...], raw: bytes | None) -> tuple[str, ...] | None:
        super().value(path, raw)
        return path if raw in {b"{", b"["} else None


def scan(chunks: Iterable[bytes], asking: type[Listener] = Listener) -> tuple[bytes, str, Heard]:
    """Everything observable about one scan: output, verdict and what the visitor heard."""
    listener = asking()
    scanner = JsonScanner(listener, ())
    out = bytearray()
    try:
        for chunk in chunks:
            out += scanner.feed(chunk)
        scanner.finish()
    except JsonError as error:
        return bytes(out), str(error), listener.heard
    return bytes(out), "clean", listener.heard


def cut(body: bytes, places: Iterable[int]) -> list[bytes]:
    """The body in pieces, cut at each place that lies within it."""
    bounds = [0, *sorted(place % (len(body) + 1) for place in places), len(body)]
    return [body[start:end] for start, end in pairwise(bounds)]


GOOD = [
    b'{"a":[[],{ },[ ],"\\n\\"",-0,{"b":[],"c":"\\/","d":{}},1]}',
    b"{}",
    b' {"a":1} \r\n\t',
    b'{"a":[],"b":{},"c":[{}],"d":[[]]}',
    b'{"a":-0.5e+10,"b":0,"c":10E2,"d":true,"e":false,"f":null}',
    b'{"a":"\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00\\uD83D\\uDE00"}',
    '{"模型":"视频 😀"}'.encode(),
    b'{"":""}',
    b'{"a":"\x7f"}',
    b'{"a":' + b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1) + b"}",
    b'{"a":' + b"1" * MAX_ATOM + b"}",
    b"{}" + b" " * MAX_TRAILING,
    b'{"k":"' + b"x" * 100_000 + b'"}',
    b'{"k":"' + b"\\u4e2d" * 3000 + b'"}',
    b'{"k":"' + b'\\"' * 3000 + b'"}',
]

BAD = [
    (b"", "ends too early"),
    (b" ", "ends too early"),
    (b"[]", "expected a JSON object (byte 0)"),
    (b'"model"', "expected a JSON object (byte 0)"),
    (b"1", "expected a JSON object (byte 0)"),
    (b"\xef\xbb\xbf{}", "expected a JSON object (byte 0)"),
    (b"\xff\xfe{\x00}\x00", "not UTF-8 (byte 0)"),
    (b"{\x00}\x00", "expected a member name or '}' (byte 1)"),
    (b"{", "ends too early"),
    (b'{"a"', "ends too early"),
    (b'{"a":"', "ends too early"),
    (b'{"a":12', "ends too early"),
    (b"{}}", "expected nothing after the end (byte 2)"),
    (b"{}{}", "expected nothing after the end (byte 2)"),
    (b"{},", "expected nothing after the end (byte 2)"),
    (b"{}x", "expected nothing after the end (byte 2)"),
    (b"{,}", "expected a member name or '}' (byte 1)"),
    (b'{"a":1,}', "expected a member name (byte 7)"),
    (b'{"a":1 "b":2}', "expected ',' or '}' (byte 7)"),
    (b'{"a" 1}', "expected ':' (byte 5)"),
    (b'{"a":}', "expected a value (byte 5)"),
    (b'{"a":[1,]}', "expected a value (byte 8)"),
    (b'{"a":[1}', "expected ',' or ']' (byte 7)"),
    (b'{"a":[1:2]}', "expected ',' or ']' (byte 7)"),
    (b"{a:1}", "expected a member name or '}' (byte 1)"),
    (b"{'a':1}", "expected a member name or '}' (byte 1)"),
    (b'{"a":01}', "expected a number, true, false or null (byte 5)"),
    (b'{"a":1.}', "expected a number, true, false or null (byte 5)"),
    (b'{"a":.5}', "expected a value (byte 5)"),
    (b'{"a":+1}', "expected a value (byte 5)"),
    (b'{"a":1e}', "expected a number, true, false or null (byte 5)"),
    (b'{"a":-}', "expected a number, true, false or null (byte 5)"),
    (b'{"a":NaN}', "expected a value (byte 5)"),
    (b'{"a":Infinity}', "expected a value (byte 5)"),
    (b'{"a":True}', "expected a value (byte 5)"),
    (b'{"a":truefalse}', "expected a number, true, false or null (byte 5)"),
    (b'{"a":0x10}', "expected a number, true, false or null (byte 5)"),
    (b'{"a":' + b"1" * (MAX_ATOM + 1) + b"}", "expected a number, true, false or null (byte 5)"),
    (b'{"a":"\n"}', "control character in a string (byte 6)"),
    (b'{"a":"x\x00y"}', "control character in a string (byte 7)"),
    (b'{"a":"\\u00"}', "ends too early or inside a token (byte 6)"),
    (b'{"a":"\\x41 and more"}', "invalid escape or lone surrogate in a string (byte 6)"),
    (b'{"a":"\\ud83d and more"}', "invalid escape or lone surrogate in a string (byte 6)"),
    (b'{"a":"\\ude00\\ud83d\\u0041"}', "invalid escape or lone surrogate in a string (byte 6)"),
    (b'{"a":"\xff"}', "not UTF-8 (byte 6)"),
    (b'{"a":"\xed\xa0\x80"}', "not UTF-8 (byte 6)"),
    (b'{"a":"\xc0\xaf"}', "not UTF-8 (byte 6)"),
    (b'{"a":"\xe4\xb8', "ends too early or inside a token (byte 6)"),
    (b'{"a":12\xff}', "not UTF-8 (byte 7)"),
    ('{"a"：1}'.encode(), "expected ':' (byte 4)"),
    (b"{/}", "expected a member name or '}' (byte 1)"),
    (b"{}/", "ends too early or inside a token (byte 2)"),
    (b"{}/* ", "ends too early or inside a token (byte 5)"),
    (b"{}# comment", "expected nothing after the end (byte 2)"),
    (b'{"a":' + b"[" * MAX_DEPTH, f"nested deeper than {MAX_DEPTH} (byte {MAX_DEPTH + 4})"),
    (b'{"a":' + b"[" * (MAX_DEPTH - 1) + b"[],1", f"nested deeper than {MAX_DEPTH} (byte 516)"),
    (b"{}" + b" " * (MAX_TRAILING + 1), "too much blank space after the end"),
    (b"{}//" + b"x" * MAX_TRAILING, "too much blank space after the end"),
]

COMMENTS = [
    (b'{"a": 1, // "b": 2,\n "c": 3}', b'{"a": 1,           \n "c": 3}'),
    (b'/* x */{"a"/**/:/***/1}//', b'       {"a"    :     1}  '),
    (b'{"a":1}// open end', b'{"a":1}           '),
    (b'{"a":"// no /* comment */"}', b'{"a":"// no /* comment */"}'),
    ("{/* 注释 */}//\r\n".encode(), b"{            }  \r\n"),
    (b'{"a":1/* * / ** */}', b'{"a":1            }'),
    (b'{"a":[1,// one\r2]}', b'{"a":[1,      \r2]}'),
]


@pytest.mark.parametrize("body", GOOD)
def test_strict_json_passes_unchanged(body: bytes) -> None:
    """A document by RFC 8259 comes out byte for byte, whole or a byte at a time."""
    assert scan([body])[:2] == (body, "clean")
    assert scan(cut(body, range(len(body))))[:2] == (body, "clean")
    json.loads(body)


@pytest.mark.parametrize(("body", "verdict"), BAD)
def test_what_two_parsers_could_read_differently_is_refused(body: bytes, verdict: str) -> None:
    """Each offence is named with the offset of its first byte, whole or a byte at a time."""
    whole, pieces = scan([body]), scan(cut(body, range(len(body))))
    assert verdict in whole[1]
    assert pieces[1:] == whole[1:]


@pytest.mark.parametrize(("body", "blanked"), COMMENTS)
def test_comments_become_spaces_of_the_same_length(body: bytes, blanked: bytes) -> None:
    """Comments outside strings are blanked in place; line ends and strings stay."""
    assert scan([body])[:2] == (blanked, "clean")
    assert scan(cut(body, range(len(body))))[:2] == (blanked, "clean")
    json.loads(blanked)


def test_visitor_hears_scalars_and_openings_in_order() -> None:
    """Names and asked-for values are heard in byte order, from watched objects only."""
    body = b'{"model":"a\\/b","n":1,"input":{"x":null,"y":{"z":1}},"l":[{"model":2}]}'
    assert scan([body])[2] == [
        ((), b"{"),
        ((), b"model"),
        (("model",), b'"a\\/b"'),
        ((), b"n"),
        (("n",), b"1"),
        ((), b"input"),
        (("input",), b"{"),
        (("input",), b"x"),
        (("input", "x"), b"null"),
        (("input",), b"y"),
        (("input", "y"), b"{"),
        ((), b"l"),
        (("l",), b"["),
    ]


def test_long_texts_are_not_kept() -> None:
    """A name or string beyond MAX_TEXT is heard as None: memory does not grow with it."""
    at, over = b"k" * MAX_TEXT, b"k" * (MAX_TEXT + 1)
    body = b'{"%b":"%b","%b":1,"s":"%b"}' % (at, at, over, over)
    heard = scan([body])[2]
    assert heard[1:3] == [((), at), ((at.decode(),), b'"%b"' % at)]
    assert heard[3] == ((), None)
    assert heard[-1] == (("s",), None)


def reference(body: bytes) -> bool:
    """The standard library's reading, made strict: what every parser agrees on."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        document = json.loads(body.decode(), parse_constant=refuse)
        json.dumps(document, ensure_ascii=False).encode()  # a lone surrogate has no UTF-8
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict)


FRAGMENTS = st.lists(
    st.sampled_from(
        [
            "{",
            "}",
            "[",
            "]",
            ":",
            ",",
            '"',
            "\\",
            "/",
            "//",
            "/*",
            "*/",
            "*",
            "\n",
            " ",
            "1",
            "-",
            "0",
            ".",
            "e",
            "true",
            "null",
            '"a"',
            '"model"',
            '"input"',
            "\\u00e9",
            "\\ud83d",
            "\\ude00",
            "é",
            "😀",
            "\x00",
            '{"model":"x"}',
            '"a":1,',
        ]
    ),
    max_size=24,
).map("".join)
JSON_TEXT = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)
DOCUMENT = st.builds(
    json.dumps,
    st.dictionaries(st.sampled_from(["model", "input", "a"]), JSON_TEXT),
    ensure_ascii=st.booleans(),
    indent=st.sampled_from([None, 1]),
).map(lambda text: text.encode("utf-8", "surrogatepass"))
BODY = FRAGMENTS.map(str.encode) | DOCUMENT | st.binary(max_size=12)
CUTS = st.lists(st.integers(0, 200), max_size=12)


@given(BODY, CUTS)
@example(b'{"a":12\xff}', [6, 7])
@example(b'{"a":"\\ud83d\\ude00"}', [9, 12])
def test_the_cut_never_matters(body: bytes, places: list[int]) -> None:
    """Output, verdict and everything heard are the same for any chunking of a clean body.

    Of a refused body the output may stop earlier or later, but is a prefix of the same bytes.
    """
    whole, pieces = scan([body]), scan(cut(body, places))
    assert pieces[1:] == whole[1:]
    if whole[1] == "clean":
        assert pieces[0] == whole[0]
        assert len(whole[0]) == len(body)


@given(BODY)
def test_agrees_with_the_strict_reference(body: bytes) -> None:
    """Clean means: the blanked output is JSON to the standard library too, and the reverse."""
    out, verdict, _ = scan([body])
    if verdict == "clean":
        assert reference(out)
    elif b"/" not in body:
        assert not reference(body)


@pytest.mark.parametrize("depth", [MAX_DEPTH - 1, MAX_DEPTH, MAX_DEPTH + 1])
@pytest.mark.parametrize("empty", [b"[]", b"{}"])
def test_whoever_listens_the_depth_is_bounded(depth: int, empty: bytes) -> None:
    """An empty container is one as well, be it heard of at once or opened and closed."""
    within = depth - 2
    body = b'{"a":%b%b,1%b}' % (b"[" * within, empty, b"]" * within)
    whole, pieces = scan([body], Eager), scan(cut(body, range(len(body))), Eager)
    assert pieces[1:] == whole[1:]
    assert ("nested deeper" in whole[1]) == (depth > MAX_DEPTH)


def test_the_items_of_a_watched_array_are_heard() -> None:
    """Each item under one path, whatever it is; an array nobody watches is passed over."""
    number = b"1" * 70  # which no expression takes
    body = b'{"input":[%b,"a",{"b":[2]},[3],[]],"other":[4]}' % number
    item = ("input", ITEM)
    heard = [(item, number), (item, b'"a"'), (item, b"{"), (item, b"["), (item, b"[")]
    for pieces in ([body], cut(body, range(len(body)))):
        out, verdict, told = scan(pieces)
        assert (out, verdict) == (body, "clean")
        assert [one for one in told if one[0][:1] == ("input",)] == [(("input",), b"["), *heard]
        assert told[-1] == (("other",), b"[")


def edges() -> Iterator[bytes]:
    """Bodies on the edges of what the expressions of `core.jsonruns` take at once."""
    yield from (b'{"a":"%b","n":1}' % (b"x" * size) for size in (63, 64, 65, 127, 128, 129))
    yield from (b'{"%b":1,"input":[]}' % (b"k" * size) for size in (63, 64, 65, 128, 129))
    yield from (b'{"%b":1,"input":[]}' % (rb"\u4f60" * count) for count in (7, 8, 9, 200))
    yield from (b'{"%b":"y"}' % (rb"\ud83d\ude00" + b"k" * size) for size in (64, 1012, 1013))
    yield from (b'{"a"%b:[1%b,2]}' % (b" " * size, b"\n" * size) for size in (63, 64, 65))
    yield from (b'{"a":[%b0],"b":{}}' % (b"1," * count) for count in (63, 64, 65, 255, 256, 257))
    yield from (b'{"a":[[%b0]]}' % (b"1," * count) for count in (63, 64, 65))
    yield from (b'{"a":[%b0.1e5]}' % (b"1" * size) for size in (47, 48, 63, 64, 65))
    yield from (b'{"input":[%b,%b,{}]}' % (b"1" * size, b"2" * size) for size in (64, 65, 66))
    yield from (b'{"input":["%b",[],"%b"]}' % (b"x" * size, b"y" * size) for size in (64, 65, 200))
    yield from (b'{"a":"%b"}' % (rb"\n\u4f60x" * count) for count in (127, 128, 129))
    for depth in (255, 256, 257, 509, 510, 511, 512):
        for inner in (b"", b"1", b"[]", b"{}", b'{"x":[]}', b'"y",[[],1]', b"[[[]]]"):
            yield b'{"a":%b%b%b,"z":[1]}' % (b"[" * depth, inner, b"]" * depth)
        yield b'{"a":%b1%b}' % (b'{"b":' * depth, b"}" * depth)
    wrong = (b"[1}", b"{]", b"[[[1]}]", b'{"b":[1}]', b'{"b":}', b"[,]", b"[1,]", b'["b":1]')
    without = (b"[[[[1]]] 2]", b'[[["%b"]] 2]' % (b"x" * 200), b'{"b":{"c":{"d":{}}} "e":1}')
    yield from (b'{"a":%b,"c":1}' % one for one in (*wrong, *without))
    yield from (b'{"input":%b,"c":1}' % one for one in wrong)
    yield from (b'{"a":%b}}' % one for one in (b"[[1]]", b"[[1]]]", b'{"b":[1]}'))


@pytest.mark.parametrize("body", list(edges()))
def test_what_is_taken_at_once_is_what_is_taken_token_by_token(body: bytes) -> None:
    """Byte by byte no expression fits, and the tables alone decide; the visitor hears the same."""
    whole, pieces = scan([body]), scan(cut(body, range(len(body))))
    assert pieces[1:] == whole[1:]
    for start in (2, 5, 7, 11):
        assert scan(cut(body, range(start, len(body), 16)))[1:] == whole[1:]

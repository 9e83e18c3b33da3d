"""The gate: what comes out, what is refused, and that nothing complete comes out unapproved."""

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import nullcontext
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.core.errors import ProxyError, Situation
from proxy.core.gate import Gate, Heard
from proxy.core.jsonscan import Path
from proxy.core.places import places_of

MODEL: Path = ("model",)
TARGET: Path = ("input", "target_model")


Hears = Callable[[Heard], None]


def gate_of(
    judges: Mapping[Path, Hears], optional: Collection[Path] = (), texts: Collection[Path] = ()
) -> Gate:
    """A gate with a judge of its own for each place."""
    return Gate(places_of(judges, optional, texts), lambda path, told: judges[path](told))


def only(*names: str) -> Hears:
    """A judge that lets these names pass and tells the refusals apart."""

    def judge(name: Heard) -> None:
        if not isinstance(name, str) or not name:
            raise ProxyError(Situation.EMPTY_MODEL, "empty")
        if name not in names:
            raise ProxyError(Situation.MODEL_NOT_FOUND, "not found")

    return judge


def run(chunks: Iterable[bytes], *places: Path) -> tuple[bytes, Situation | None]:
    """What left for upstream, as the edge does it: nothing before `judged`; and the verdict."""
    gate = gate_of({place: only("ok", "a/b", "视频") for place in places or (MODEL,)})
    spool = bytearray()
    sent = bytearray()
    try:
        for chunk in chunks:
            spool += gate.feed(chunk)
            if gate.judged:
                sent += spool
                spool.clear()
        sent += spool + gate.finish()
    except ProxyError as error:
        return bytes(sent), error.situation
    return bytes(sent), None


def cut(body: bytes, places: Iterable[int]) -> list[bytes]:
    bounds = [0, *sorted(place % (len(body) + 1) for place in places), len(body)]
    return [body[start:end] for start, end in pairwise(bounds)]


ALLOWED = [
    b'{"model":"ok"}',
    b'{"input":{"model":"bad"},"model":"ok","parameters":{"model":"bad"}}',
    b'{"model":"a\\/b"}',
    b'{"model":"\\u006f\\u006b"}',
    '{"model":"视频","input":{"prompt":"中文"}}'.encode(),
    b' { "model" : "ok" , // "duration": 5,\n "input" : "opaque" } \n',
    b'{"model":"ok","models":1,"model_name":"bad","my model":2}',
    b'{"model":"ok","parameters":[],"parameters":{"size":"1*1","size":"2*2"}}',
]

REFUSED = [
    (b'{"model":"bad"}', Situation.MODEL_NOT_FOUND),
    (b'{"model":"OK"}', Situation.MODEL_NOT_FOUND),
    (b'{"model":" ok"}', Situation.MODEL_NOT_FOUND),
    (b'{"model":"bad",,,', Situation.MODEL_NOT_FOUND),
    (b'{"model":""}', Situation.EMPTY_MODEL),
    (b'{"model":null}', Situation.EMPTY_MODEL),
    (b'{"model":1}', Situation.EMPTY_MODEL),
    (b'{"model":["ok"]}', Situation.EMPTY_MODEL),
    (b'{"model":{"model":"ok"}}', Situation.EMPTY_MODEL),
    (b"{}", Situation.EMPTY_MODEL),
    (b'{"input":{"model":"ok"}}', Situation.EMPTY_MODEL),
    (b"", Situation.ILLEGAL_INPUT),
    (b"[]", Situation.ILLEGAL_INPUT),
    (b'{"model":"ok","model":"ok"}', Situation.ILLEGAL_INPUT),
    (b'{"model":"ok","input":{},"model":"bad"}', Situation.ILLEGAL_INPUT),
    (b'{"model":"ok","Model":"ok"}', Situation.ILLEGAL_INPUT),
    (b'{"MODEL":"ok"}', Situation.ILLEGAL_INPUT),
    (b'{"mod\\u0065l":"ok"}', Situation.ILLEGAL_INPUT),
    (b'{"model":"ok","mod\\u0065l":"bad"}', Situation.ILLEGAL_INPUT),
    (b'{"model":"ok","model\\u0000":"bad"}', Situation.ILLEGAL_INPUT),
    (b'{"model":"ok","mo_del":"bad"}', Situation.ILLEGAL_INPUT),
    (b'{"model":"ok","model ":"bad"}', Situation.ILLEGAL_INPUT),
    ('{"model":"ok","ｍｏｄｅｌ":"bad"}'.encode(), Situation.ILLEGAL_INPUT),
    ('{"model":"ok","mo\u200bdel":"bad"}'.encode(), Situation.ILLEGAL_INPUT),
    (b'{"model":"ok\\u0000"}', Situation.ILLEGAL_INPUT),
    ('{"model":"ok\u200b"}'.encode(), Situation.ILLEGAL_INPUT),
    (b'{"model":"' + b"x" * 2000 + b'"}', Situation.ILLEGAL_INPUT),
    (b'{"model":"ok","' + b"x" * 2000 + b'":1}', Situation.ILLEGAL_INPUT),
    (b'{"model":"ok"}x', Situation.ILLEGAL_INPUT),
    (b'{"model":"ok"}{"model":"bad"}', Situation.ILLEGAL_INPUT),
    (b'{"model":"ok","input":"\xed\xa0\x80"}', Situation.ILLEGAL_INPUT),
    (b'\xef\xbb\xbf{"model":"ok"}', Situation.ILLEGAL_INPUT),
    ('{"model":"ok"}'.encode("utf-16"), Situation.ILLEGAL_INPUT),
]


@pytest.mark.parametrize("body", ALLOWED)
def test_an_allowed_body_comes_out_whole(body: bytes) -> None:
    """Property 2: no refusal means every byte came out, for any cut."""
    out, verdict = run([body])
    assert verdict is None
    assert len(out) == len(body)
    assert run(cut(body, range(len(body)))) == (out, None)


@pytest.mark.parametrize(("body", "situation"), REFUSED)
def test_every_refusal(body: bytes, situation: Situation) -> None:
    """A model that may not run, or may be read in two ways, is refused, for any cut."""
    assert run([body])[1] is situation
    assert run(cut(body, range(len(body))))[1] is situation


def test_customization_is_judged_twice() -> None:
    """With two places both are judged, and neither can be hidden behind a double or a string."""
    places = (MODEL, TARGET)
    good = b'{"model":"ok","input":{"target_model":"a/b"}}'
    assert run([good], *places) == (good, None)
    for body, situation in [
        (b'{"model":"ok","input":{"target_model":"bad"}}', Situation.MODEL_NOT_FOUND),
        (b'{"model":"ok","input":{}}', Situation.EMPTY_MODEL),
        (b'{"model":"ok"}', Situation.EMPTY_MODEL),
        (b'{"model":"ok","input":"x"}', Situation.ILLEGAL_INPUT),
        (b'{"model":"ok","input":[{"target_model":"ok"}]}', Situation.ILLEGAL_INPUT),
        (b'{"model":"ok","input":{"target_model":"ok"},"input":{}}', Situation.ILLEGAL_INPUT),
        (b'{"model":"ok","input":{"targetModel":"ok"}}', Situation.ILLEGAL_INPUT),
        (
            b'{"model":"ok","input":{"target_model":"ok","target_model":"ok"}}',
            Situation.ILLEGAL_INPUT,
        ),
    ]:
        assert run([body], *places)[1] is situation, body


def test_nothing_leaves_before_the_verdict_nor_the_end_before_the_last_byte() -> None:
    """The judged flag rises with the model, and the closing brace waits for `finish`."""
    gate = gate_of({MODEL: only("ok")})
    judged = []
    for chunk in (b'{"input":{},"model":"o', b'k","x":{}'):
        assert gate.feed(chunk) == chunk
        judged.append(gate.judged)
    assert judged == [False, True]
    assert gate.feed(b"} \n") == b""
    assert gate.feed(b" ") == b""
    assert gate.finish() == b"} \n "


def test_a_second_model_in_the_last_bytes_is_still_refused() -> None:
    """What left by then is no complete document."""
    body = b'{"model":"ok","input":"' + b"x" * 100_000 + b'","model":"bad"}'
    sent, verdict = run(cut(body, range(0, len(body), 4096)))
    assert verdict is Situation.ILLEGAL_INPUT
    assert len(sent) > 90_000
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        json.loads(sent)


EXTEND: Path = ("parameters", "prompt_extend_model")


@pytest.mark.parametrize(
    ("parameters", "situation"),
    [
        (b"{}", None),
        (b"null", None),
        (b'{"prompt_extend_model":null}', None),
        (b'{"prompt_extend_model":"ok","duration":5}', None),
        (b'{"prompt_extend_model":"bad"}', Situation.MODEL_NOT_FOUND),
        (b'{"prompt_extend_model":""}', Situation.EMPTY_MODEL),
        (b'{"prompt_extend_model":7}', Situation.EMPTY_MODEL),
        (b'{"promptExtendModel":"ok"}', Situation.ILLEGAL_INPUT),
        (b'{"prompt_extend_model":"ok","prompt_extend_model":"ok"}', Situation.ILLEGAL_INPUT),
        (b'"x"', Situation.ILLEGAL_INPUT),
        (b'{},"parameters":{}', Situation.ILLEGAL_INPUT),
    ],
)
def test_an_optional_place_may_be_empty_and_is_judged_otherwise(
    parameters: bytes, situation: Situation | None
) -> None:
    """Nothing waits for it, and nothing complete leaves that names a model it may not."""
    body = b'{"model":"ok","parameters":%b}' % parameters
    gate = gate_of({MODEL: only("ok"), EXTEND: only("ok")}, optional=[EXTEND])
    sent = gate.feed(body[:13])
    assert gate.judged
    with pytest.raises(ProxyError) if situation else nullcontext() as refusal:
        sent += gate.feed(body[13:]) + gate.finish()
    assert refusal is None or refusal.value.situation is situation
    assert situation or sent == body


TOOL: Path = ("tools", "[]", "model")
STORE: Path = ("tools", "[]", "search", "store")


@pytest.mark.parametrize(
    ("tools", "situation"),
    [
        (b"[]", None),
        (b"null", None),
        (b"[null,{},{}]", None),
        (b'[{"model":"ok"},{"model":"a/b"},{"x":[{"model":"bad"}],"model":null}]', None),
        (b'[{"search":{"store":"ok"}},{"search":null},{"search":{"store":"ok"}}]', None),
        (b'[{"model":"ok"},{"model":"bad"}]', Situation.MODEL_NOT_FOUND),
        (b'[{},{},{"x":{"model":"ok"},"model":"bad"}]', Situation.MODEL_NOT_FOUND),
        (b'[{"search":{"store":"bad"}}]', Situation.MODEL_NOT_FOUND),
        (b'[{"model":["ok"]}]', Situation.EMPTY_MODEL),
        (b'[{"model":true}]', Situation.EMPTY_MODEL),
        (b'[{"model":"ok","model":"ok"}]', Situation.ILLEGAL_INPUT),
        (b'[{"search":{},"search":{}}]', Situation.ILLEGAL_INPUT),
        (b'[{"model":"ok"},{"Model":"ok"}]', Situation.ILLEGAL_INPUT),
        (b'[{"search":[{"store":"ok"}]}]', Situation.ILLEGAL_INPUT),
        (b'[[{"model":"ok"}]]', Situation.ILLEGAL_INPUT),
        (b'["{}"]', Situation.ILLEGAL_INPUT),
        (b'{"model":"ok"}', Situation.ILLEGAL_INPUT),
        (b'{"[]":{"model":"bad"}}', Situation.ILLEGAL_INPUT),
        (b'"[]"', Situation.ILLEGAL_INPUT),
        (b'[],"tools":[]', Situation.ILLEGAL_INPUT),
    ],
)
def test_every_item_of_an_array_is_judged(tools: bytes, situation: Situation | None) -> None:
    """Each item has names of its own; what is no array of objects cannot hide one."""
    body = b'{"model":"ok","tools":%b}' % tools
    for pieces in ([body], cut(body, range(len(body)))):
        judges = {place: only("ok", "a/b") for place in (MODEL, TOOL, STORE)}
        gate = gate_of(judges, optional=[TOOL, STORE])
        with pytest.raises(ProxyError) if situation else nullcontext() as refusal:
            out = [gate.feed(piece) for piece in pieces]
            assert b"".join([*out, gate.finish()]) == body
        assert refusal is None or refusal.value.situation is situation


FILE: Path = ("input", "[]", "content", "[]", "file", "id")
TEXTS: list[Path] = [("input",), ("input", "[]", "content"), (*FILE[:-1],)]


@pytest.mark.parametrize(
    ("given", "situation"),
    [
        (b'"hello"', None),
        (b'"%b"' % (b"x" * 5000), None),
        (b'[{"content":"hello"},{"content":[{"file":"https://a"},{"file":{"url":"x"}}]}]', None),
        (b'[{"content":[{"file":{"id":"ok"}}]}]', None),
        (b'[{"content":"x"},{"content":[{},{"file":{"id":"bad"}}]}]', Situation.MODEL_NOT_FOUND),
        (b'[{"content":[{"file":{"id":"ok"}},"x"]}]', Situation.ILLEGAL_INPUT),
        (b'["hello"]', Situation.ILLEGAL_INPUT),
        (b'{"content":"x"}', Situation.ILLEGAL_INPUT),
        (b'[{"content":{"file":"x"}}]', Situation.ILLEGAL_INPUT),
        (b'[{"content":[{"file":["x"]}]}]', Situation.ILLEGAL_INPUT),
        (b"7", Situation.ILLEGAL_INPUT),
        (b'"x","input":[{"content":[{"file":{"id":"bad"}}]}]', Situation.ILLEGAL_INPUT),
    ],
)
def test_a_text_may_stand_where_the_route_says_so(
    given: bytes, situation: Situation | None
) -> None:
    """A text of any length holds no place; everything else still must be what leads to it."""
    body = b'{"model":"ok","input":%b}' % given
    for pieces in ([body], cut(body, range(len(body)))):
        gate = gate_of({MODEL: only("ok"), FILE: only("ok")}, optional=[FILE], texts=TEXTS)
        with pytest.raises(ProxyError) if situation else nullcontext() as refusal:
            out = [gate.feed(piece) for piece in pieces]
            assert b"".join([*out, gate.finish()]) == body
        assert refusal is None or refusal.value.situation is situation


def test_what_a_judge_hears() -> None:
    """A string, a truth value, and of anything else that it is there."""
    told: list[Heard] = []
    for value in (b'"x"', b"true", b"false", b"7", b"null", b"[1]", b'{"a":"y"}', b'""'):
        gate = gate_of({MODEL: told.append})
        gate.feed(b'{"model":%b}' % value)
        gate.finish()
    gate_of({MODEL: told.append}).feed(b"{}")
    assert told == ["x", True, False, "", "", "", "", ""]


def test_a_refusal_names_the_place() -> None:
    """As people write it, for clients that show it."""
    gate = gate_of({TOOL: only("ok")}, optional=[TOOL])
    with pytest.raises(ProxyError, match=r"^tools\[\]\.model: given twice\.$") as refusal:
        gate.feed(b'{"tools":[{"model":"ok","model":"ok"}]}')
    assert refusal.value.param == "tools[].model"


def test_price_inputs_are_noted_but_never_judged() -> None:
    """What `core.claims` listens for is kept, beside places that are judged or none of both."""
    number: Path = ("parameters", "n")
    gate = gate_of({MODEL: only("ok"), number: lambda _: None}, optional=[number])
    gate.feed(
        b'{"model":"ok","parameters":{"duration":5,"size":"1280*720","seed":1,'
        b'"duration":"10","n":3,"stream":true}}'
    )
    gate.finish()
    assert gate.noted == {"duration": "", "size": '"1280*720"', "n": "3", "stream": "true"}


NAME = st.sampled_from(
    ['"model"', '"Model"', '"mod\\u0065l"', '"input"', '"x"', '"mo-del"', '"parameters"']
)
LEAF = st.sampled_from(['"ok"', '"bad"', '""', "null", "1", "{}", '[{"model":"bad"}]', '"a\\/b"'])
NESTED = LEAF | st.lists(st.tuples(NAME, LEAF), max_size=3).map(
    lambda members: "{" + ",".join(f"{name}:{leaf}" for name, leaf in members) + "}"
)
BLANK = st.sampled_from(["", "", " ", "\n", "// c\n", "/* */", "/"])
MEMBER = st.tuples(BLANK, NAME, BLANK, NESTED, BLANK).map(
    lambda parts: f"{parts[0]}{parts[1]}{parts[2]}:{parts[3]}{parts[4]}"
)
BODY = (
    st.tuples(
        BLANK, st.lists(MEMBER, max_size=4), st.sampled_from(["}", "", "}}", '}{"model":"bad"}'])
    )
    .map(lambda parts: parts[0] + "{" + ",".join(parts[1]) + parts[2])
    .map(str.encode)
)


def models_of(document: bytes) -> list[object] | None:
    """Every value any sane parser might take for the root's model; None when incomplete."""
    try:
        pairs = json.loads(document, object_pairs_hook=lambda pairs: pairs)
    except ValueError:
        return None
    root = pairs if isinstance(pairs, list) else []
    return [value for name, value in root if name.replace("-", "").lower() == "model"]


@given(BODY, st.lists(st.integers(0, 120), max_size=10) | st.just(list(range(120))))
@example(b'{"model":"ok"}}', [14])
@example(b'{"model":"ok"}', [13])
def test_the_three_properties(body: bytes, places: list[int]) -> None:
    """Prefix; whole when allowed; and no complete document out with any but one allowed model."""
    sent, verdict = run(cut(body, places))
    blanked, whole_verdict = run([body])
    assert verdict is whole_verdict
    if verdict is None:
        assert sent == blanked
        assert len(sent) == len(body)
    complete = models_of(sent)
    if complete is not None:
        assert verdict is None
        assert len(complete) == 1
        assert complete[0] in {"ok", "a/b"}
    assert all(out == came or out == ord(" ") for out, came in zip(sent, body, strict=False))


TOOLS = st.lists(NESTED, max_size=4).map(lambda items: f"[{','.join(items)}]") | LEAF
WITH_TOOLS = st.tuples(TOOLS, BLANK).map(
    lambda parts: f'{{"model":"ok","tools":{parts[0]}{parts[1]}}}'.encode()
)


def tool_models(document: bytes) -> list[object]:
    """Every value any sane parser might take for the model of a tool."""
    root = dict(json.loads(document, object_pairs_hook=lambda pairs: pairs))
    tools = root["tools"] if isinstance(root["tools"], list) else []
    members = [one for tool in tools if isinstance(tool, list) for one in tool]
    named = [one for one in members if isinstance(one, tuple)]
    return [value for name, value in named if name.replace("-", "").lower() == "model"]


@given(WITH_TOOLS, st.lists(st.integers(0, 120), max_size=10) | st.just(list(range(120))))
def test_no_tool_gets_through_with_another_model(body: bytes, places: list[int]) -> None:
    """Whatever stands in the array, and however it is cut: allowed means each model is."""
    verdicts: list[Situation | None] = []
    for pieces in ([body], cut(body, places)):
        gate = gate_of({MODEL: only("ok"), TOOL: only("ok", "a/b")}, optional=[TOOL])
        try:
            out = b"".join([*map(gate.feed, pieces), gate.finish()])
        except ProxyError as error:
            verdicts.append(error.situation)
        else:
            verdicts.append(None)
            assert set(map(repr, tool_models(out))) <= {"'ok'", "'a/b'", "None"}
    assert verdicts[0] is verdicts[1]


@pytest.mark.parametrize("order", [("app_id", "appId"), ("appId", "app_id")])
def test_two_spellings_may_both_be_demanded(order: tuple[str, str]) -> None:
    """A name that is judged itself is no look-alike of another one, and still given once only."""
    heard: list[Heard] = []
    demands: dict[Path, Hears] = {(name,): heard.append for name in ("app_id", "appId")}
    gate = gate_of(demands, demands)
    body = json.dumps({name: name for name in order}).encode()
    assert gate.feed(body) + gate.finish() == body
    assert heard == list(order)
    twice = gate_of(demands, demands)
    with pytest.raises(ProxyError):
        twice.feed(b'{"appId":"a","appId":"b"}')

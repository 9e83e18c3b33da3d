"""`core.claims`: what a body says about its price, and what of it is worth nothing."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.asking import FILES, NAMES, TOOLS, UNREADABLE, VIDEOS
from proxy.core.dialects import DIALECTS, NATIVE, Dialect
from proxy.core.gate import Gate
from proxy.core.places import places_of

EVERYTHING = dict.fromkeys((*NAMES, TOOLS), UNREADABLE)


CHAT = DIALECTS["/compatible-mode/v1/chat/completions"]
RESPONSES = DIALECTS["/compatible-mode/v1/responses"]


def noted(body: str, dialect: Dialect = NATIVE, step: int = 10**6) -> dict[str, str]:
    """What the gate notes of a body that arrives in pieces."""
    gate = Gate(places_of([("model",)], dialect=dialect), lambda *_: None)
    data = body.encode()
    for at in range(0, len(data), step):
        gate.feed(data[at : at + step])
    gate.finish()
    return dict(gate.noted)


def native(members: str) -> str:
    return f'{{"model":"m","parameters":{{{members}}}}}'


def test_scalars_are_kept_as_written() -> None:
    """Whoever reads them later judges them; what is not asked about its price is left out."""
    body = native('"duration":"10","n":2.0,"stream":true,"size":null,"seed":1')
    assert noted(body) == {"duration": '"10"', "n": "2.0", "stream": "true", "size": "null"}
    assert noted('{"model":"m"}') == noted('{"model":"m","parameters":null}') == {}


@pytest.mark.parametrize(
    "members",
    [
        '"duration":2,"duration":15',
        '"duration":2,"Duration":15',
        '"Duration":15,"duration":2',
        '"dur_ation":2',
        '"DURATION":2',
        '"dur\\u0061tion":2',
        '"\uff44uration":2',
        '"duration":[2]',
        '"duration":{"a":2}',
        f'"duration":"{"2" * 2000}"',
        '"duration":2,"duration":2,"duration":2',
        '"duration":null,"duration":2',
    ],
)
def test_what_can_be_read_in_two_ways_cannot_be_read(members: str) -> None:
    """Twice, in another spelling, escaped, too long, or not a scalar: it is there, and nothing."""
    assert noted(native(members)) == {"duration": UNREADABLE}


@pytest.mark.parametrize(
    "body",
    [
        '{"model":"m","parameters":{"duration":2},"parameters":{"duration":15}}',
        '{"model":"m","Parameters":{"duration":15},"parameters":{"duration":2}}',
        '{"model":"m","parameters":{"duration":2},"para_meters":{"duration":15}}',
        '{"model":"m","parameters":"{}"}',
        '{"model":"m","parameters":[{"duration":2}]}',
        native(f'"duration":2,"{"_" * 2000}":1'),
    ],
)
def test_doubt_about_all_of_them(body: str) -> None:
    """Where nobody can say which `parameters` count, none of them does."""
    assert noted(body) == EVERYTHING


MEDIA = [
    ("", None),
    ('{"type":"first_frame","url":"x"},{"type":"reference_image"}', None),
    ('{"type":"reference_video"}', "1"),
    ('{"type":"reference_video"},{"type":"first_frame"},{"type":"video"}', "2"),
    ('{"url":"x"},"y",[]', UNREADABLE),
    ('{"url":"x"},{"type":7},{"type":null},{"type":"never-heard-of"}', "4"),
    ('{"type":"first_frame","type":"video"}', UNREADABLE),
    ('{"type":"first_frame","Type":"video"}', UNREADABLE),
    (f'{{"{"_" * 2000}":"video","type":"first_frame"}}', UNREADABLE),
]


@pytest.mark.parametrize(("media", "videos"), MEDIA)
def test_videos_given_are_counted(media: str, videos: str | None) -> None:
    """All media but those that surely are none, or have no length that is billed."""
    body = f'{{"model":"m","input":{{"prompt":"a","media":[{media}]}}}}'
    assert noted(body).get(VIDEOS) == videos


OLDER = [
    ('"reference_video_urls":["a","b"]', VIDEOS, "2"),
    ('"reference_urls":["a"],"media":[{"type":"video"}]', VIDEOS, "2"),
    ('"video_url":"a"', VIDEOS, "1"),
    ('"video_url":null,"reference_video_urls":null', VIDEOS, None),
    ('"video_url":["a","b"]', VIDEOS, UNREADABLE),
    ('"reference_video_urls":"a"', VIDEOS, UNREADABLE),
    ('"video_url":"a","Video_Url":"b"', VIDEOS, UNREADABLE),
    ('"file_urls":["a","b","c"]', FILES, "3"),
    ('"file_urls":[]', FILES, None),
    ('"file_urls":"a"', FILES, UNREADABLE),
    ('"file_urls":["a"],"fileUrls":["b","c"]', FILES, UNREADABLE),
]


@pytest.mark.parametrize(("members", "name", "count"), OLDER)
def test_older_bodies_and_recordings_are_counted(
    members: str, name: str, count: str | None
) -> None:
    """Each link of a list is one; doubt about one kind of thing is none about another."""
    told = noted(f'{{"model":"m","input":{{{members}}}}}')
    assert told == ({} if count is None else {name: count})


TOOLSETS = [
    ('[{"type":"function","function":{"name":"f"}},{"type":"custom"}]', None),
    ('[{"name":"f","input_schema":{}}]', None),
    ('[{"type":"web_search"}]', "1"),
    ('[{"type":"function"},{"type":"mcp"},{"type":"code_interpreter"}]', "2"),
    ('[{"type":"function","type":"web_search"}]', UNREADABLE),
    ('{"type":"web_search"}', UNREADABLE),
    ("null", None),
]


@pytest.mark.parametrize(("tools", "count"), TOOLSETS)
@pytest.mark.parametrize("dialect", [NATIVE, CHAT, RESPONSES])
def test_tools_that_upstream_runs_are_counted(
    tools: str, count: str | None, dialect: Dialect
) -> None:
    """They read the web or files; a function is the client's, and its results are in the body."""
    body = native(f'"tools":{tools}') if dialect is NATIVE else f'{{"model":"m","tools":{tools}}}'
    assert noted(body, dialect) == ({} if count is None else {TOOLS: count})


@pytest.mark.parametrize(
    "body",
    [
        '{"model":"m","input":{"media":[],"media":[{"type":"video"}]}}',
        '{"model":"m","input":{"Media":[{"type":"video"}]}}',
        '{"model":"m","input":{"media":{"type":"video"}}}',
    ],
)
def test_doubt_about_the_videos_given(body: str) -> None:
    """They may be there, so they count as if nobody could read them."""
    assert noted(body) == {VIDEOS: UNREADABLE}


@pytest.mark.parametrize(
    "body",
    [
        '{"model":"m","input":{},"input":{"media":[{"type":"video"}]}}',
        '{"model":"m","Input":{"media":[{"type":"video"}]}}',
    ],
)
def test_doubt_about_all_that_is_given(body: str) -> None:
    """Nobody can say which `input` counts, so it may give anything."""
    assert noted(body) == {VIDEOS: UNREADABLE, FILES: UNREADABLE}


def test_openais_inputs_stand_at_the_root() -> None:
    """And only there; `parameters` means nothing to them, nor the root to native ones."""
    body = '{"model":"m","max_tokens":5,"n":2,"stream":true,"parameters":{"n":1},"input":{"n":3}}'
    assert noted(body, CHAT) == {"max_tokens": "5", "n": "2", "stream": "true"}
    assert noted(body) == {"n": "1"}
    assert noted('{"model":"m","n":1,"N":9}', CHAT) == {"n": UNREADABLE}


def test_what_an_endpoint_does_not_heed_bounds_nothing() -> None:
    """It is there, for it may raise what is held; what it says is not believed."""
    body = '{"model":"m","max_tokens":1,"max_output_tokens":2,"enable_thinking":false,"n":null}'
    said = {"max_tokens": "1", "enable_thinking": "false", "n": "null"}
    assert noted(body, CHAT) == {**said, "max_output_tokens": UNREADABLE}
    unheeded = {"max_tokens": UNREADABLE, "enable_thinking": UNREADABLE, "n": "null"}
    assert noted(body, RESPONSES) == {**unheeded, "max_output_tokens": "2"}
    members = '"max_tokens":1,"max_completion_tokens":2'
    assert noted(native(members)) == {"max_tokens": "1", "max_completion_tokens": UNREADABLE}


JSON = st.recursive(
    st.none() | st.integers(0, 99) | st.sampled_from(["video", "first_frame", "720P"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["media", "type", "duration", "Duration", "n", "size", "x"]), inner
        )
    ),
)


@given(JSON, JSON, st.integers(1, 7))
def test_cuts_do_not_matter(given_: object, parameters: object, step: int) -> None:
    """The same is noted however the bytes were cut."""
    body = json.dumps({"model": "m", "input": given_, "parameters": parameters})
    assert noted(body, step=step) == noted(body)

"""How a request is understood."""

import pytest

from proxy.sandbox.answers import RefusalError
from proxy.sandbox.ask import Ask, account_of, body_of, fingerprint, skim_model
from proxy.sandbox.record import PARSED_BODY, ReceivedRequest


def _received(body: bytes = b"", headers: dict[str, str] | None = None) -> ReceivedRequest:
    entry = ReceivedRequest("POST", "/", tuple((headers or {}).items()))
    entry.feed(body)
    return entry


def test_the_account_is_the_key() -> None:
    """Spaces around the key and the case of the scheme do not matter."""
    assert (
        account_of(_received(headers={"authorization": "BEARER  sk-one "}), {"sk-one"}) == "sk-one"
    )
    with pytest.raises(RefusalError):
        account_of(_received(headers={"authorization": "Bearer sk-One"}), {"sk-one"})


def test_fingerprints_look_like_account_ids() -> None:
    """Sixteen digits, the same for the same key, not the key."""
    assert fingerprint("sk-one") == fingerprint("sk-one") != fingerprint("sk-two")
    assert len(fingerprint("sk-one")) == 16
    assert fingerprint("sk-one").isdecimal()


def test_deep_json_is_refused_not_fatal() -> None:
    """Nesting beyond the parser's means is illegal input."""
    with pytest.raises(RefusalError) as caught:
        body_of(_received(b'{"a":' * 100_000))
    assert caught.value.code == "BadRequest.IllegalInput"


@pytest.mark.parametrize("body", [b'{"model" : "m/1",', b',"model":\n"m/1"}'])
def test_a_huge_body_is_skimmed(body: bytes) -> None:
    """The model is found near the beginning or near the end."""
    padding = b" " * PARSED_BODY
    for whole in (body + padding, padding + body):
        assert body_of(_received(whole)) == {"model": "m/1", "input": {}}
    assert skim_model(_received(padding + b" ")) is None


def test_numbers_in_a_query() -> None:
    """Anything but a positive number reads as the default."""
    query = {"a": ["7"], "b": ["-7"], "c": ["x"], "d": ["0"], "e": ["²"]}
    ask = Ask("sk", "id", 0.0, "GET", "models", query, _received())
    assert [ask.number(name, 3) for name in "abcdef"] == [7, 3, 3, 1, 3, 3]


ACCEPTS = [
    ({"accept": "text/event-stream"}, True),
    ({"accept": "application/json, text/event-stream;q=0.9"}, True),
    ({"x-dashscope-sse": "enable"}, True),
    ({"x-dashscope-sse": "disable", "accept": "*/*"}, False),
]


@pytest.mark.parametrize(("headers", "expected"), ACCEPTS)
def test_streaming(headers: dict[str, str], expected: bool) -> None:  # noqa: FBT001 - a column of the table
    """Either header asks for SSE."""
    ask = Ask("sk", "id", 0.0, "POST", "x", {}, _received(headers=headers))
    assert ask.streaming is expected

"""The bytes of answers."""

from proxy.sandbox.answers import RefusalError, dumps, native, refused, stream

REFUSAL = RefusalError(400, "DataInspectionFailed", "no")


def test_native() -> None:
    """A plain answer is one compact object that ends in the request id."""
    answer = native({"output": {"text": "你"}}, "r-1")
    assert answer.pieces == ('{"output":{"text":"你"},"request_id":"r-1"}'.encode(),)


def test_refused() -> None:
    """A refusal is code, message and request id, and what its family adds."""
    expected = b'{"code":"DataInspectionFailed","message":"no","request_id":"r-1"}'
    assert (refused(REFUSAL, "r-1").status, refused(REFUSAL, "r-1").pieces) == (400, (expected,))
    more = RefusalError(404, "ModelNotFound", "no", {"success": False})
    assert refused(more, "r-1").pieces[0].endswith(b',"success":false}')


def test_frames_byte_for_byte() -> None:
    """No space after the colons, a blank line at the end, the error last, the status 200."""
    answer = stream([{"output": {}}], "r-1", REFUSAL)
    assert (answer.status, answer.content_type) == (200, "text/event-stream;charset=UTF-8")
    assert answer.pieces == (
        b'id:1\nevent:result\n:HTTP_STATUS/200\ndata:{"output":{},"request_id":"r-1"}\n\n',
        (
            b"id:2\nevent:error\n:HTTP_STATUS/400\n"
            b'data:{"code":"DataInspectionFailed","message":"no","request_id":"r-1"}\n\n'
        ),
    )


def test_lone_surrogates_cannot_break_an_answer() -> None:
    """JSON may carry half a character; UTF-8 may not."""
    assert dumps({"text": "\ud800"}) == b'{"text":"?"}'

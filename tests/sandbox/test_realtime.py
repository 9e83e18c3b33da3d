"""A realtime session as the sandbox plays it."""

import base64
import json

from proxy.sandbox.realtime import Realtime


class Session:
    """A session without its socket."""

    def __init__(self) -> None:
        self.said: list[dict[str, object]] = []
        self.realtime = Realtime(self._keep, "qwen-omni")

    async def _keep(self, message: str | bytes) -> None:
        self.said.append(json.loads(message))

    async def tell(self, kind: str, **what: object) -> list[dict[str, object]]:
        """What is answered to an event."""
        before = len(self.said)
        await self.realtime.heard(json.dumps({"type": kind, **what}))
        return self.said[before:]


async def test_a_session_from_greeting_to_end() -> None:
    """Created with its model, updated as asked, finished when asked."""
    session = Session()
    await session.realtime.begin()
    assert session.said[0]["type"] == "session.created"
    (updated,) = await session.tell("session.update", session={"voice": "x"})
    assert isinstance(updated["session"], dict)
    assert (updated["session"]["voice"], updated["session"]["model"]) == ("x", "qwen-omni")
    assert not session.realtime.is_over
    assert [one["type"] for one in await session.tell("session.finish")] == ["session.finished"]
    assert session.realtime.is_over


async def spoken(session: Session) -> bytes:
    """An answer's sound."""
    told = await session.tell("response.create")
    kinds = [str(one["type"]) for one in told]
    assert (kinds[0], kinds[-1]) == ("response.created", "response.done")
    deltas = [str(one["delta"]) for one in told if one["type"] == "response.audio.delta"]
    assert len(deltas) == 2
    return b"".join(map(base64.b64decode, deltas))


async def test_the_answer_is_made_of_the_input() -> None:
    """The same sound in, the same sound out; after an answer the input is empty again."""
    session, other = Session(), Session()
    for one in (session, other):
        assert await one.tell("input_audio_buffer.append", audio="AAAA") == []
        assert (await one.tell("input_audio_buffer.commit"))[0]["item_id"]
    first = await spoken(session)
    assert first == await spoken(other)
    assert await spoken(session) != first


async def test_text_that_is_committed_is_spoken() -> None:
    """A synthesis in a session answers without `response.create`."""
    session = Session()
    await session.tell("input_text_buffer.append", text="hello")
    told = await session.tell("input_text_buffer.commit")
    assert told[-1]["type"] == "response.done"


async def test_nonsense_is_answered_with_an_error() -> None:
    """An unknown event and text that is no event; the session goes on."""
    session = Session()
    assert (await session.tell("unheard.of"))[0]["type"] == "error"
    for text in ("nonsense", "[]", "{}", b"\xff\xff"):
        await session.realtime.heard(text)
        assert session.said[-1]["type"] == "error"
    assert not session.realtime.is_over

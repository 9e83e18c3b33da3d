"""What frames are judged by. What they are judged for is in `core/test_frames.py`."""

import pytest

from proxy.config.routing import PACKAGED, load_routing
from proxy.core.errors import ProxyError, Situation
from proxy.core.frames import FrameReader
from proxy.core.policy import Grant
from proxy.core.routes import Websocket
from proxy.edge.rules import Rules, read_frame
from proxy.ports import Message

ROUTES = load_routing(PACKAGED, {}).table.routes
FRAMES = next(route for route in ROUTES if route.websocket is Websocket.FRAMES)
TEXT = b'{"header":{"action":"run-task","task_id":"t"},"payload":{"model":"%s"}}'


async def test_the_grant_of_the_moment_judges() -> None:
    """It is looked up for each frame: what was allowed a moment ago may be so no more."""
    grants = [Grant("g", "caller", "t", patterns) for patterns in (("good-*",), ("other-*",))]
    looked: list[Grant] = []

    async def regrant() -> Grant:
        looked.append(grants[len(looked)])
        return looked[-1]

    rules = Rules(FRAMES, regrant)
    frame = await read_frame(FrameReader(FRAMES), Message(TEXT % b"good-1", is_text=True))
    assert await rules.judge(frame) == (grants[0], "good-1")
    with pytest.raises(ProxyError) as caught:
        await rules.judge(frame)
    assert caught.value.situation is Situation.MODEL_NOT_FOUND


async def test_what_cannot_be_read_is_refused() -> None:
    """Before anything is looked up."""
    with pytest.raises(ProxyError) as caught:
        await read_frame(FrameReader(FRAMES), Message(b"{", is_text=True))
    assert caught.value.situation is Situation.ILLEGAL_INPUT

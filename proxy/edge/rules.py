"""What the frames of a client are judged by, as long as its WebSocket is open."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from proxy.core.frames import Frame, FrameReader, judge_frame
from proxy.core.policy import Grant
from proxy.core.routes import Route
from proxy.edge.intake import judged_fairly
from proxy.ports import Message

Regrant = Callable[[], Awaitable[Grant]]
"""The caller's grant as it is now. Raises `ProxyError`."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The route's places, and the grant as it is now."""

    route: Route
    regrant: Regrant

    async def judge(self, frame: Frame) -> tuple[Grant, str | None]:
        """The grant that lets a frame pass, and the model it is about. Raises `ProxyError`."""
        grant = await self.regrant()
        return grant, judge_frame(self.route, frame, grant)


async def read_frame(reader: FrameReader, message: Message) -> Frame:
    """The frame in a message. Raises `ProxyError`."""
    return reader.finish(await judged_fairly(reader.gate, message.data))

"""The two kinds of conversation on a WebSocket, and what the caller's grant has to say in them.

The grant is looked up again whenever a frame is judged: a token that was revoked, or that has
expired, begins nothing more.
"""

from collections.abc import Awaitable, Callable, Iterable

from proxy.core.accounts import Account
from proxy.core.answers import AnswerUnreadableError, read_json
from proxy.core.errors import ProxyError, Situation
from proxy.core.frames import (
    ENDINGS,
    Frame,
    FrameReader,
    error_event,
    event_of,
    judge_frame,
    must_be_judged,
    no_such_task,
    task_failed,
)
from proxy.core.headers import value_of
from proxy.core.livetasks import LiveTasks
from proxy.core.policy import Grant
from proxy.core.routes import Route
from proxy.edge.intake import judged_fairly
from proxy.edge.relay import STOPPING, VANISHED, Ending, Relay, both, upstream_ended
from proxy.ports import Closed, HandshakeRefusedError, Message, Peer, Telemetry, Visit

POLICY_VIOLATION = 1008
UNREADABLE = both(POLICY_VIOLATION, "a text frame could not be read")

Regrant = Callable[[], Awaitable[Grant]]
Choose = Callable[[str | None, Grant, Iterable[str]], Account]
Dial = Callable[[Account], Awaitable[Peer]]
"""Opens a leg to an account. Raises what `Upstream.connect` does."""


class SessionRelay(Relay):
    """A session about one model: an event that names another one is answered with an error."""

    def __init__(
        self,
        client: Peer,
        visit: Visit,
        telemetry: Telemetry,
        idle: float,
        route: Route,
        regrant: Regrant,
    ) -> None:
        super().__init__(client, visit, telemetry, idle)
        self._route = route
        self._regrant = regrant

    async def heard(self, message: Message) -> None:
        """See `Relay.heard`."""
        reader = FrameReader(self._route)
        try:
            judged = await self._judged(reader, message)
        except ProxyError as error:
            await self._down(Message(error_event(error, reader.event_id), is_text=True))
            return
        for leg in list(self._legs):
            await self._up(leg, judged)

    async def _judged(self, reader: FrameReader, message: Message) -> Message:
        """What may go up. Raises `ProxyError`.

        The protocol is JSON: bytes are read as the text that upstream may take them for.
        """
        frame = await _read(reader, message)
        judge_frame(self._route, frame, await self._regrant())
        return Message(frame.text, message.is_text)


class TaskRelay(Relay):
    """Tasks, each with a model of its own; one that is refused fails alone."""

    def __init__(  # noqa: PLR0913, PLR0917 - what any conversation needs, and where tasks run
        self,
        client: Peer,
        visit: Visit,
        telemetry: Telemetry,
        idle: float,
        route: Route,
        regrant: Regrant,
        choose: Choose,
        dial: Dial,
    ) -> None:
        super().__init__(client, visit, telemetry, idle)
        self._route = route
        self._regrant = regrant
        self._choose = choose
        self._dial = dial
        self._at: dict[str, Peer] = {}
        self._tasks: LiveTasks[Peer] = LiveTasks()

    def use(self, account: Account, leg: Peer) -> None:
        """Run the tasks of an account on this leg from now on."""
        self._at[account.name] = leg
        self.attend(leg)

    @property
    def is_busy(self) -> bool:
        """See `Relay.is_busy`."""
        return len(self._tasks) > 0

    async def heard(self, message: Message) -> None:
        """See `Relay.heard`. Bytes belong to the task that began last."""
        if not message.is_text:
            leg = self._tasks.latest()
            if leg is not None:
                await self._up(leg, message)
            return
        reader = FrameReader(self._route)
        try:
            frame = await _read(reader, message)
            leg = await (self._begin(frame) if frame.begins else self._go_on(frame))
        except HandshakeRefusedError as refused:
            await self._fail(reader.task_id, *_told_by(refused))
        except ProxyError as error:
            await self._fail(reader.task_id, error.situation.code, error.message)
            if not reader.task_id:
                self.end(UNREADABLE)
        else:
            if leg is not None:
                await self._up(leg, Message(frame.text, is_text=True))

    async def told(self, leg: Peer, message: Message) -> None:
        """See `Relay.told`. Of a task that was refused here, the client hears nothing more."""
        event, task_id = event_of(message.data) if message.is_text else ("", "")
        if task_id and self._tasks.is_known(task_id) and self._tasks.leg_of(task_id) is None:
            return
        if event in ENDINGS:
            self._tasks.end(task_id)
        await super().told(leg, message)
        if self._stopping and not self.is_busy:
            self.end(STOPPING)

    async def lost(self, leg: Peer, closed: Closed) -> Ending | None:
        """See `Relay.lost`. What ran there has failed; other legs live on."""
        if self._legs.pop(leg, None) is None:
            return None
        self._at = {name: other for name, other in self._at.items() if other is not leg}
        failed = self._tasks.lose(leg)
        if closed.code == VANISHED or self._legs:
            for task_id in failed:
                await self._fail(task_id, Situation.BAD_GATEWAY.code, "Upstream broke off.")
        return None if self._legs else upstream_ended(closed)

    async def _begin(self, frame: Frame) -> Peer:
        """The leg of a new task. Raises `ProxyError`, and what a dial raises."""
        _demand_task_id(frame)
        grant = await self._regrant()
        model = judge_frame(self._route, frame, grant)
        if self._stopping:
            raise ProxyError(Situation.STOPPING, "The proxy is being stopped; connect again.")
        account = self._choose(model, grant, [name for _, name in frame.named])
        if account.name not in self._at:
            self.use(account, await self._dial(account))
        leg = self._at[account.name]
        self._tasks.begin(frame.task_id, leg)
        visit = self._visit
        visit.model = visit.model or model or ""
        self._telemetry.event(
            "socket_task",
            request_id=visit.request_id,
            task_id=frame.task_id,
            token=visit.token,
            tenant=visit.tenant,
            model=model,
            account=account.name,
        )
        return leg

    async def _go_on(self, frame: Frame) -> Peer | None:
        """The leg of a task that runs; None for one that failed here. Raises `ProxyError`."""
        _demand_task_id(frame)
        if not self._tasks.is_known(frame.task_id):
            raise no_such_task()
        if must_be_judged(self._route, frame):
            judge_frame(self._route, frame, await self._regrant())
        return self._tasks.leg_of(frame.task_id)

    async def _fail(self, task_id: str, code: str, message: str) -> None:
        """Tell the client that a task failed, and let nothing more of it through."""
        if task_id:
            self._tasks.refuse(task_id)
        self._telemetry.event(
            "socket_task_refused",
            request_id=self._visit.request_id,
            task_id=task_id,
            token=self._visit.token,
            tenant=self._visit.tenant,
            code=code,
        )
        await self._down(Message(task_failed(code, message, task_id), is_text=True))


async def _read(reader: FrameReader, message: Message) -> Frame:
    """The frame in a message. Raises `ProxyError`."""
    return reader.finish(await judged_fairly(reader.gate, message.data))


def _demand_task_id(frame: Frame) -> None:
    if not frame.task_id:
        raise ProxyError(
            Situation.ILLEGAL_INPUT, "header.task_id: missing, empty or no string; name the task."
        )


def _told_by(refused: HandshakeRefusedError) -> tuple[str, str]:
    """Code and message of upstream's answer to a handshake, or ours where it has none."""
    try:
        told = read_json(refused.body, value_of(refused.headers, "content-encoding"))
    except AnswerUnreadableError:
        told = None
    found = told if isinstance(told, dict) else {}
    code, message = found.get("code"), found.get("message")
    if isinstance(code, str) and code and isinstance(message, str):
        return code, message
    status = f"Upstream refused the WebSocket with status {refused.status}."
    return Situation.BAD_GATEWAY.code, status

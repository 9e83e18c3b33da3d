"""Tasks on a WebSocket, and what the caller's grant and limits have to say in them.

The grant is looked up again whenever something is judged: a token that was revoked, or that has
expired, begins nothing more, and goes on with nothing that spends.
"""

from proxy.core.closing import POLICY_VIOLATION, VANISHED
from proxy.core.errors import ProxyError, Situation
from proxy.core.events import ENDINGS, FINISHED, NO_ANSWERS, NO_TASK, task_event
from proxy.core.frames import (
    FINISH,
    Frame,
    FrameReader,
    demand_task,
    finish_task,
    must_be_judged,
    price_inputs,
    sent_text,
    task_failed,
)
from proxy.core.livetasks import LiveTasks
from proxy.edge.legs import Leg, Legs
from proxy.edge.relay import STOPPING, Ending, Relay, both, upstream_ended
from proxy.edge.rules import Rules, read_frame
from proxy.edge.socket_tickets import SocketTickets, Start
from proxy.ports import Closed, Message, Peer, Telemetry, Visit

UNREADABLE = both(POLICY_VIOLATION, "too many text frames could not be read")

MOST_UNREADABLE = 16
"""Frames without a readable task that one socket may send."""

MOST_TOLD = 100
"""Refusals of one socket that have an event each; a client that does not listen sends millions."""

ASKED_EVERY = 1.0
"""Seconds between two looks at the grant while bytes come: there may be hundreds a second."""


class TaskRelay(Relay):
    """Tasks, each with a model of its own; one that is refused fails alone."""

    def __init__(
        self,
        client: Peer,
        visit: Visit,
        telemetry: Telemetry,
        idle: float,
        rules: Rules,
        ways: Legs,
        tickets: SocketTickets,
    ) -> None:
        super().__init__(client, visit, telemetry, idle)
        self._rules = rules
        self._ways = ways
        self._tickets = tickets
        self._tasks: LiveTasks[Leg] = LiveTasks()
        self._asked = self._loop.time()
        self._unreadable = 0
        self._refused = 0

    @property
    def is_busy(self) -> bool:
        """See `Relay.is_busy`."""
        return len(self._tasks) > 0

    async def heard(self, message: Message) -> None:
        """See `Relay.heard`."""
        if not message.is_text:
            await self._heard_bytes(message)
            return
        reader = FrameReader(self._rules.route)
        try:
            frame = await read_frame(reader, message)
            demand_task(frame, self._tasks.is_known)
            leg = await (self._begin(frame) if frame.begins else self._go_on(frame))
        except ProxyError as error:
            await self._refuse(reader, error)
        else:
            if leg is not None:
                self._tickets.sent(frame.task_id, sent_text(frame.text))
                await self._up(leg, Message(frame.text, is_text=True))

    async def told(self, leg: Leg, message: Message) -> None:
        """See `Relay.told`. Of a task that failed here, the client hears nothing more."""
        event = task_event(message.data) if message.is_text else NO_TASK
        self._tickets.tell(event.task_id, event.payload)
        if event.name in ENDINGS:
            self._tasks.end(event.task_id)
            end = self._tickets.finish if event.name == FINISHED else self._tickets.fail
            end(event.task_id)
        is_refused = self._tasks.is_refused(event.task_id)
        if not is_refused and (message.is_text or self._tasks.is_heard(leg)):
            await super().told(leg, message)
            if event.name not in NO_ANSWERS:
                of = [event.task_id] if message.is_text else self._tasks.at(leg)
                self._tickets.relayed(of)
        self._end_if_done()

    async def lost(self, leg: Leg, closed: Closed) -> Ending | None:
        """See `Relay.lost`. What ran there has failed; other legs live on."""
        if leg not in self._legs:
            return None
        self.drop(leg, closed)
        self._ways.forget(leg)
        lost = self._tasks.lose(leg)
        for task_id in lost:
            self._tickets.leave(task_id)
        others = bool(self._legs) or not leg.has_opened
        if closed.code == VANISHED or others:
            for task_id in lost:
                self._note("socket_task_lost", task_id, code=leg.why[0])
                await self._down(Message(task_failed(*leg.why, task_id), is_text=True))
        self._end_if_done()
        return None if others else upstream_ended(closed)

    async def _heard_bytes(self, message: Message) -> None:
        """Pass bytes on to the task they belong to, if its caller may still go on with it."""
        task_id = self._tasks.latest()
        if task_id is None:
            return
        try:
            if self._loop.time() - self._asked >= ASKED_EVERY:
                await self._may_go_on()
        except ProxyError as error:
            await self._fail(task_id, error)
            return
        leg = self._tasks.leg_of(task_id)
        if leg is not None:
            await self._up(leg, message)

    async def _begin(self, frame: Frame) -> Leg:
        """The leg of a new task. Raises `ProxyError`."""
        grant, model = await self._rules.judge(frame)
        if self._stopping:
            raise ProxyError(Situation.STOPPING, "The proxy is being stopped; connect again.")
        self._tasks.demand_free(frame.task_id)
        inputs, size = price_inputs(frame.text)
        await self._tickets.begin(frame.task_id, Start(grant, "", model or "", inputs, size))
        try:
            account, leg = self._ways.of(model, grant, [name for _, name in frame.named])
        except ProxyError:
            self._tickets.fail(frame.task_id)
            raise
        self._tickets.go_to(frame.task_id, account)
        self._tasks.begin(frame.task_id, leg)
        if leg not in self._legs:
            self.attend(leg)
        self._visit.model = self._visit.model or model or ""
        self._visit.account = self._visit.account or account
        self._note("socket_task", frame.task_id, model=model, account=account)
        return leg

    async def _go_on(self, frame: Frame) -> Leg | None:
        """The leg of a task that runs; None for one that failed here. Raises `ProxyError`.

        Who may not go on with a task may finish it, in our words where theirs need judging.
        """
        leg = self._tasks.leg_of(frame.task_id)
        if leg is None:
            return None
        try:
            if must_be_judged(self._rules.route, frame):
                await self._rules.judge(frame)
            elif frame.action != FINISH:
                await self._may_go_on()
        except ProxyError as error:
            if frame.action != FINISH or error.situation is not Situation.INVALID_TOKEN:
                raise
            await self._up(leg, Message(finish_task(frame.task_id), is_text=True))
            return None
        return leg

    async def _may_go_on(self) -> None:
        """Raise `ProxyError` if the token is revoked. An outage of the store revokes nothing."""
        self._asked = self._loop.time()
        try:
            await self._rules.regrant()
        except ProxyError as error:
            if error.situation is Situation.INVALID_TOKEN:
                raise

    async def _refuse(self, reader: FrameReader, error: ProxyError) -> None:
        """Answer a frame that may not pass."""
        if reader.may_begin:
            self._tasks.refuse_start()
        await self._fail(reader.task_id, error)
        if not reader.task_id:
            self._unreadable += 1
            if self._unreadable > MOST_UNREADABLE:
                self.end(UNREADABLE)

    async def _fail(self, task_id: str, error: ProxyError) -> None:
        """Tell the client that a task failed, let nothing more of it through, and end it there."""
        leg = self._tasks.refuse(task_id) if task_id else None
        self._refused += 1
        if self._refused <= MOST_TOLD:
            self._note("socket_task_refused", task_id, code=error.situation.code)
        if leg is not None:
            await self._up(leg, Message(finish_task(task_id), is_text=True))
        told = task_failed(error.situation.code, error.message, task_id)
        await self._down(Message(told, is_text=True))
        self._end_if_done()

    def _end_if_done(self) -> None:
        if self._stopping and not self.is_busy:
            self.end(STOPPING)

    def _note(self, name: str, task_id: str, **facts: object) -> None:
        visit = self._visit
        whose = {"request_id": visit.request_id, "token": visit.token, "tenant": visit.tenant}
        self._telemetry.event(name, task_id=task_id, **whose, **facts)

"""What runs on one socket: each row of the table in `edge.socket_tickets`."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal

import pytest
from edge.rig import Recorder

from proxy.core.errors import ProxyError, Situation
from proxy.core.limits import Limits
from proxy.core.money import NANOS
from proxy.core.outcomes import Bounds
from proxy.core.policy import Grant
from proxy.core.prices import Price, PriceList
from proxy.edge.metering import Meter
from proxy.edge.socket_tickets import REMEMBERED, SocketTickets, Start
from proxy.ports import Visit
from proxy.ports.ledger import Standing
from proxy.stores.memory import MemoryStore

VOICE = Price(("voice",), per_1k_characters=Decimal(1000), bounds=Bounds(characters=10))
GRANT = Grant(
    *("tok_1", "alice", "studio", ("*",)),
    limits=Limits(budget_total=25 * NANOS, concurrent_streams=1, requests_per_minute=3),
)
START = Start(GRANT, "main", "voice")
SESSION_MODEL = "voice"


@dataclass
class Socket:
    """One socket's tickets, with the meter and the ledger behind them."""

    tickets: SocketTickets
    meter: Meter
    store: MemoryStore
    telemetry: Recorder

    async def standing(self, what: str = "money") -> Standing:
        await self.meter.drained()
        period = "total" if what == "money" else ""
        (found,) = await self.store.standings([("token:tok_1", what, period)])
        return found

    @property
    def bills(self) -> list[tuple[str, int]]:
        return [(one.id, one.amount // NANOS) for one in self.telemetry.records]


@pytest.fixture
async def socket() -> AsyncIterator[Socket]:
    store, telemetry = MemoryStore(), Recorder()
    await store.open()
    meter = Meter(store, PriceList("CNY", prices=(VOICE,)), telemetry)
    await meter.start()
    yield Socket(SocketTickets(meter, Visit("r", 0.0)), meter, store, telemetry)
    await meter.stop()


def used(characters: int) -> dict[str, object]:
    return {"usage": {"characters": characters}}


ENDS = [
    ("finish", [used(1), used(3)], [3]),
    ("finish", [used(3), {"usage": None}], [3]),
    ("finish", [{"usage": None}], [10]),
    ("fail", [used(3)], []),
    ("leave", [used(2)], [2]),
    ("leave", [{}], []),
]


@pytest.mark.parametrize(("end", "told", "bills"), ENDS)
async def test_each_end(
    socket: Socket, end: str, told: list[dict[str, object]], bills: list[int]
) -> None:
    """What it told last is charged, else what was held; a failure costs nothing.

    Nor does what was left before a piece of its answer came.
    """
    await socket.tickets.begin("a", START)
    for one in told:
        socket.tickets.tell("a", one)
    for _ in range(2):
        getattr(socket.tickets, end)("a")
    assert await socket.standing() == Standing(0, sum(bills) * NANOS)
    assert socket.bills == [("r:a", amount) for amount in bills]


async def test_the_dearest_is_held_while_it_runs(socket: Socket) -> None:
    """Two of ten fit into 25; a third does when one has ended for less."""
    for name in "ab":
        await socket.tickets.begin(name, START)
    assert await socket.standing() == Standing(20 * NANOS, 0)
    with pytest.raises(ProxyError) as caught:
        await socket.tickets.begin("c", START)
    assert caught.value.situation is Situation.BUDGET_SPENT
    assert "c" not in socket.tickets
    socket.tickets.tell("a", used(4))
    socket.tickets.finish("a")
    assert await socket.standing() == Standing(10 * NANOS, 4 * NANOS)
    await socket.tickets.begin("c", START)
    socket.tickets.close()
    assert await socket.standing() == Standing(0, 4 * NANOS)
    assert socket.bills == [("r:a", 4)]


async def test_a_name_of_what_runs(socket: Socket) -> None:
    """What is begun by the name of what runs frees nothing: each is held for until it is over."""
    for _ in range(2):
        await socket.tickets.begin("a", START)
    with pytest.raises(ProxyError):
        await socket.tickets.begin("a", START)
    socket.tickets.tell("a", used(4))
    assert await socket.standing() == Standing(20 * NANOS, 0)
    socket.tickets.fail("a")
    assert await socket.standing() == Standing(10 * NANOS, 0)
    socket.tickets.finish("a")
    assert await socket.standing() == Standing(0, 4 * NANOS)


async def test_who_leaves_in_the_middle_of_an_answer(socket: Socket) -> None:
    """Pays for it by the request, as far as it was sent; who had nothing of it pays nothing."""
    for name, sent in (("a", 3), ("b", 4)):
        await socket.tickets.begin(name, START)
        socket.tickets.sent(name, sent)
    socket.tickets.sent("unknown", 5)
    socket.tickets.relayed(["a", "unknown"])
    socket.tickets.close()
    assert await socket.standing() == Standing(0, 3 * NANOS)
    assert socket.bills == [("r:a", 3)]


async def test_two_of_one_name_that_nobody_hears_the_end_of(socket: Socket) -> None:
    """Both ran: both are paid for."""
    for _ in range(2):
        await socket.tickets.begin("a", START)
        socket.tickets.sent("a", 2)
    socket.tickets.relayed(["a"])
    socket.tickets.close()
    assert await socket.standing() == Standing(0, 4 * NANOS)


async def test_a_session_holds_its_place(socket: Socket) -> None:
    """One stream and one request of it all; its responses are neither."""
    told = dict(await socket.tickets.open(GRANT, SESSION_MODEL))
    assert told["x-ratelimit-remaining-streams"] == "0"
    assert told["x-ratelimit-remaining-requests"] == "2"
    for name in "ab":
        await socket.tickets.begin(name, START)
        socket.tickets.fail(name)
        await socket.meter.drained()
    another = SocketTickets(socket.meter, Visit("s", 0.0))
    with pytest.raises(ProxyError) as caught:
        await another.open(GRANT, SESSION_MODEL)
    assert caught.value.situation is Situation.RATE_LIMITED
    another.close()
    assert await socket.standing("streams") == Standing(1, 0)
    socket.tickets.close()
    assert await socket.standing("streams") == Standing(0, 0)
    assert dict(await another.open(GRANT, None))["x-ratelimit-remaining-streams"] == "0"


async def test_no_id_is_given_twice(socket: Socket) -> None:
    """However names are chosen, also beyond those that are remembered."""
    free = Start(Grant("tok_1", "alice", "studio", ("*",)), "main", "voice")
    names = ["a", "a", "2:a", "3:a", "a", ""]
    names += [f"n{number}" for number in range(REMEMBERED)] * 2
    for name in names:
        socket.tickets.note(name, free)
        socket.tickets.finish(name)
    await socket.meter.drained()
    ids = [identity for identity, _ in socket.bills]
    assert len(set(ids)) == len(ids) == len(names)
    assert ids[0] == "r:a"

"""Single flight: one question for all who ask it at the same time."""

import asyncio

import pytest
from edge.rig import eventually

from proxy.edge.flights import Flights


class Oracle:
    """Answers when it is let, and says how often it was asked and left."""

    def __init__(self) -> None:
        self.asked = 0
        self.left = 0
        self.kept: list[str] = []
        self.answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def ask(self) -> str:
        self.asked += 1
        try:
            return await asyncio.shield(self.answer)
        except asyncio.CancelledError:
            self.left += 1
            raise


def polling(
    flights: Flights[str, str], oracle: Oracle, number: int, key: str = "k"
) -> list[asyncio.Task[tuple[str, bool]]]:
    return [
        asyncio.create_task(flights.join(key, oracle.ask, oracle.kept.append))
        for _ in range(number)
    ]


async def test_one_question_for_all() -> None:
    """All get the answer, one of them asked, and it is kept once."""
    flights, oracle = Flights[str, str](), Oracle()
    polls = polling(flights, oracle, 500)
    await eventually(lambda: oracle.asked)
    oracle.answer.set_result("yes")
    heard = await asyncio.gather(*polls)
    assert {answer for answer, _ in heard} == {"yes"}
    assert sum(not joined for _, joined in heard) == 1
    assert (oracle.asked, oracle.kept, len(flights)) == (1, ["yes"], 0)


async def test_who_leaves_hurts_nobody() -> None:
    """Not even the one who asked."""
    flights, oracle = Flights[str, str](), Oracle()
    first, *others = polling(flights, oracle, 5)
    await eventually(lambda: oracle.asked)
    first.cancel()
    others.pop().cancel()
    await asyncio.wait([first])
    oracle.answer.set_result("yes")
    assert [answer for answer, _ in await asyncio.gather(*others)] == ["yes"] * 3
    assert (oracle.left, oracle.kept) == (0, ["yes"])


async def test_when_all_have_left() -> None:
    """The question is taken back before the last one is gone; the next one asks anew."""
    flights, oracle = Flights[str, str](), Oracle()
    polls = polling(flights, oracle, 3)
    await eventually(lambda: oracle.asked)
    for poll in polls:
        poll.cancel()
    await asyncio.wait(polls)
    assert (oracle.left, len(flights), oracle.kept) == (1, 0, [])
    (again,) = polling(flights, oracle, 1)
    oracle.answer.set_result("yes")
    assert await again == ("yes", False)
    assert oracle.asked == 2


async def test_what_was_forgotten_is_not_kept() -> None:
    """Who waits gets it; who comes later asks anew, and only that answer is kept."""
    flights, early, late = Flights[str, str](), Oracle(), Oracle()
    (before,) = polling(flights, early, 1)
    await eventually(lambda: early.asked)
    flights.forget("other")
    flights.forget("k")
    (after,) = polling(flights, late, 1)
    await eventually(lambda: late.asked)
    late.answer.set_result("new")
    assert await after == ("new", False)
    early.answer.set_result("old")
    assert await before == ("old", False)
    assert (early.kept, late.kept) == ([], ["new"])


async def test_a_failure_is_everybodys() -> None:
    """All hear of it, and it is not kept."""
    flights, oracle = Flights[str, str](), Oracle()
    polls = polling(flights, oracle, 3)
    oracle.answer.set_exception(ValueError("no"))
    for poll in polls:
        with pytest.raises(ValueError, match="no"):
            await poll
    assert (oracle.asked, oracle.kept, len(flights)) == (1, [], 0)


async def test_keys_are_questions_of_their_own() -> None:
    """Another key does not wait for this one."""
    flights, slow, quick = Flights[str, str](), Oracle(), Oracle()
    (waiting,) = polling(flights, slow, 1, "a")
    (done,) = polling(flights, quick, 1, "b")
    quick.answer.set_result("yes")
    assert await done == ("yes", False)
    slow.answer.set_result("at last")
    assert await waiting == ("at last", False)

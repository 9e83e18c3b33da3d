"""One timer for many waits."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from proxy.edge.transport.deadlines import Deadline


@dataclass
class Timer:
    at: float
    callback: Callable[[], None]
    is_cancelled: bool = False

    def cancel(self) -> None:
        self.is_cancelled = True


@dataclass
class Clock:
    """A loop's time and timers, in a test's hand."""

    now: float = 0.0
    timers: list[Timer] = field(default_factory=list)
    passed: list[float] = field(default_factory=list)

    def time(self) -> float:
        return self.now

    def call_at(self, at: float, callback: Callable[[], None]) -> Timer:
        self.timers.append(Timer(at, callback))
        return self.timers[-1]

    def move(self, now: float) -> None:
        """Let time pass, and call what is due."""
        self.now = now
        for timer in [one for one in self.timers if one.at <= now and not one.is_cancelled]:
            timer.cancel()
            timer.callback()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def deadline(clock: Clock) -> Deadline:
    return Deadline(clock, lambda: clock.passed.append(clock.now))  # type: ignore[arg-type]  # all it needs of a loop


def test_it_passes_once_and_in_time(clock: Clock, deadline: Deadline) -> None:
    """When the seconds are over, and not again."""
    deadline.set(5)
    clock.move(4.9)
    assert clock.passed == []
    clock.move(5)
    clock.move(50)
    assert clock.passed == [5]


def test_moving_it_takes_no_new_timer(clock: Clock, deadline: Deadline) -> None:
    """A thousand bytes, one timer: it looks at what was set last."""
    for second in range(1000):
        clock.now = second / 1000
        deadline.set(5)
    assert len(clock.timers) == 1
    clock.move(5)
    assert clock.passed == []
    clock.move(5.999)
    assert clock.passed == [5.999]
    assert len(clock.timers) == 2


def test_it_is_put_off_by_what_it_was_set_to(clock: Clock, deadline: Deadline) -> None:
    """From then on, without a timer of its own; and not at all once it was cleared."""
    deadline.set(5)
    for second in range(1, 5):
        clock.move(second)
        deadline.put_off()
    clock.move(8.9)
    assert clock.passed == []
    clock.move(9)
    assert clock.passed == [9]
    deadline.set(5)
    deadline.clear()
    deadline.put_off()
    clock.move(50)
    assert clock.passed == [9]


def test_an_earlier_one_takes_its_place(clock: Clock, deadline: Deadline) -> None:
    """A call that is less patient than the one before is not kept waiting."""
    deadline.set(300)
    deadline.set(5)
    clock.move(5)
    assert clock.passed == [5]
    assert all(timer.is_cancelled for timer in clock.timers)


def test_cleared_it_never_passes(clock: Clock, deadline: Deadline) -> None:
    """And it can be set again."""
    deadline.set(5)
    deadline.clear()
    clock.move(6)
    assert clock.passed == []
    deadline.set(5)
    clock.move(11)
    assert clock.passed == [11]


def test_stopped_it_leaves_no_timer(clock: Clock, deadline: Deadline) -> None:
    """A timer holds its connection, and that is gone."""
    deadline.set(5)
    deadline.stop()
    deadline.stop()
    assert all(timer.is_cancelled for timer in clock.timers)
    clock.move(6)
    assert clock.passed == []

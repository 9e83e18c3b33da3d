"""The tasks of one socket."""

import pytest

from proxy.core.errors import ProxyError, Situation
from proxy.core.livetasks import REMEMBERED, LiveTasks


def test_a_task_runs_until_it_ends() -> None:
    """What has ended is still known, and its frames still find their way."""
    tasks: LiveTasks[str] = LiveTasks()
    tasks.begin("a", "leg")
    assert (len(tasks), tasks.leg_of("a"), tasks.is_known("b")) == (1, "leg", False)
    tasks.end("a")
    tasks.end("never began")
    assert (len(tasks), tasks.leg_of("a"), tasks.is_known("a")) == (0, "leg", True)


def test_bytes_go_to_the_latest_that_runs() -> None:
    """The one that began last; when it ends, the one before."""
    tasks: LiveTasks[str] = LiveTasks()
    tasks.begin("a", "one")
    tasks.begin("b", "two")
    assert tasks.latest() == "b"
    tasks.begin("a", "one")
    assert tasks.latest() == "a"
    tasks.end("a")
    assert tasks.latest() == "b"
    tasks.end("b")
    assert tasks.latest() is None


def test_bytes_for_a_task_that_failed_reach_no_other() -> None:
    """Refused at its start, in its midst or lost: nothing until the next one begins."""
    for how in ("at its start", "in its midst", "lost"):
        tasks: LiveTasks[str] = LiveTasks()
        tasks.begin("a", "one")
        tasks.begin("b", "two")
        if how == "at its start":
            tasks.refuse_start()
        elif how == "lost":
            tasks.lose("two")
        else:
            tasks.refuse("b")
        assert tasks.latest() is None
        tasks.refuse("stranger")
        assert tasks.latest() is None
        tasks.begin("c", "one")
        assert tasks.latest() == "c"
        tasks.refuse("a")
        assert tasks.latest() == "c"


def test_a_task_that_failed_here_runs_on_until_it_ends_there() -> None:
    """It counts, its name is taken, and its sound is nobody's; who lost nothing has nothing so."""
    tasks: LiveTasks[str] = LiveTasks()
    tasks.begin("a", "leg")
    assert tasks.refuse("a") == "leg"
    assert tasks.refuse("a") is None
    assert (len(tasks), tasks.is_heard("leg"), tasks.is_heard("other")) == (1, False, True)
    with pytest.raises(ProxyError) as caught:
        tasks.begin("a", "leg")
    assert caught.value.situation is Situation.ILLEGAL_INPUT
    tasks.begin("b", "leg")
    assert tasks.is_heard("leg")
    tasks.end("a")
    tasks.end("b")
    assert (len(tasks), tasks.is_heard("leg")) == (0, True)
    tasks.begin("a", "leg")
    tasks.refuse("a")
    assert (tasks.lose("leg"), len(tasks)) == ([], 0)


def test_a_refused_task_has_no_leg() -> None:
    """What follows for it goes nowhere; begun anew, it runs like any other."""
    tasks: LiveTasks[str] = LiveTasks()
    tasks.refuse("a")
    assert (tasks.is_known("a"), tasks.leg_of("a"), len(tasks)) == (True, None, 0)
    tasks.begin("a", "leg")
    assert (tasks.leg_of("a"), len(tasks)) == ("leg", 1)


def test_a_lost_leg_takes_its_tasks_along() -> None:
    """Those that ran are told, oldest first; others are left alone."""
    tasks: LiveTasks[str] = LiveTasks()
    for task_id, leg in (("a", "lost"), ("b", "kept"), ("c", "lost"), ("d", "lost")):
        tasks.begin(task_id, leg)
    tasks.end("c")
    assert tasks.lose("lost") == ["a", "d"]
    assert [tasks.leg_of(one) for one in "abcd"] == [None, "kept", None, None]
    assert (len(tasks), tasks.latest()) == (1, None)


def test_memory_is_bounded() -> None:
    """Of those that do not run any more, the oldest are forgotten; too many at once are refused."""
    tasks: LiveTasks[str] = LiveTasks()
    tasks.begin("first", "leg")
    for number in range(3 * REMEMBERED):
        tasks.refuse(f"refused {number}")
    assert tasks.is_known("first")
    assert not tasks.is_known("refused 0")
    for number in range(REMEMBERED - 1):
        tasks.begin(str(number), "leg")
    with pytest.raises(ProxyError) as caught:
        tasks.begin("one more", "leg")
    assert caught.value.situation is Situation.RATE_LIMITED
    tasks.begin("first", "leg")  # not one more

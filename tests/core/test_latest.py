"""The bounded memory of small facts."""

from proxy.core.latest import Latest


def test_the_last_noted_are_remembered() -> None:
    """Noting again makes it the youngest; looking does not."""
    latest: Latest[str, int] = Latest(3)
    for number, key in enumerate("abca"):
        latest.note(key, number)
    assert latest.get("b", -1) == 1
    latest.note("d", 4)
    assert [key in latest for key in "abcd"] == [True, False, True, True]
    assert [latest.get(key, -1) for key in "abcd"] == [3, -1, 2, 4]
    assert len(latest) == 3

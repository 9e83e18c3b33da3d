"""The bounded memory of small facts."""

from proxy.core.notes import Notes


def test_the_last_noted_are_remembered() -> None:
    """Noting again makes it the youngest; looking does not."""
    notes: Notes[str, int] = Notes(3)
    for number, key in enumerate("abca"):
        notes.note(key, number)
    assert notes.get("b", -1) == 1
    notes.note("d", 4)
    assert [key in notes for key in "abcd"] == [True, False, True, True]
    assert [notes.get(key, -1) for key in "abcd"] == [3, -1, 2, 4]
    assert len(notes) == 3

"""`core.spelling`: names that somebody may take for the same."""

import pytest

from proxy.core.spelling import Name, fold, name_of


@pytest.mark.parametrize(
    "name",
    [
        *("duration", "Duration", "DURATION", "dur_ation", "dura-tion", " duration "),
        *("\uff44\uff55ration", "dur\u200bation", "dur\u00adation"),
    ],
)
def test_spellings_of_one_name(name: str) -> None:
    """Case, separators, blanks, width and what nobody sees make no other name."""
    assert fold(name) == "duration"


def test_other_names_stay_other_names() -> None:
    """A letter more is another name."""
    assert len({fold(name) for name in ("duration", "durations", "uration", "n", "")}) == 5


def test_names_in_documents() -> None:
    """An escape says the same as the character, and is not the plain way to say it."""
    assert name_of(b"Model") == Name("Model", "model", is_plain=True)
    assert name_of(b"m\\u006fdel") == Name("model", "model", is_plain=False)
    assert name_of("視頻".encode()) == Name("視頻", "視頻", is_plain=True)

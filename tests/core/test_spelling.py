"""`core.spelling`: names that somebody may take for the same."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.spelling import fold, folded


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
    """An escape says the same as the character."""
    assert folded(b"Mo_del") == folded(b"m\\u006fdel") == "model"
    assert folded("視頻".encode()) == "視頻"
    assert folded(rb"\u89c6") == "视"


@given(st.text(st.characters(max_codepoint=127)) | st.text())
def test_a_name_is_folded_as_the_text_it_says(name: str) -> None:
    """However it is written down, and however fast: plain ASCII takes another way."""
    for ascii_only in (True, False):
        raw = json.dumps(name, ensure_ascii=ascii_only).encode(errors="surrogatepass")[1:-1]
        assert folded(raw) == fold(name)

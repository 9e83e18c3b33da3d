"""Words that steer, and where they are looked for."""

from typing import Any

import pytest

from proxy.sandbox.prompts import doom, prompt_of, strings

PROMPTS: list[tuple[dict[str, Any], str]] = [
    ({"prompt": "a"}, "a"),
    ({"messages": [{"content": "a"}, {"content": "b"}]}, "b"),
    ({"messages": [{"content": [{"image": "i"}, {"text": "a"}, {"text": "b"}]}]}, "a b"),
    ({"messages": []}, ""),
    ({"prompt": 3, "messages": ["x"]}, ""),
    ({}, ""),
]


@pytest.mark.parametrize(("given", "said"), PROMPTS)
def test_prompt_of(given: dict[str, Any], said: str) -> None:
    """The prompt, else the text of the last message, else nothing."""
    assert prompt_of(given) == said


def test_words_are_found_anywhere_in_the_input() -> None:
    """A word counts in any string at any depth, not in keys."""
    found = doom({"media": [{"url": "http://x/sandbox:inspect.png"}]})
    assert found is not None
    assert found.code == "DataInspectionFailed"
    assert doom({"sandbox:fail": "harmless"}) is None


def test_strings_come_in_document_order_at_any_depth() -> None:
    """Depth is no limit: the walk does not recurse."""
    deep: Any = "core"
    for _ in range(100_000):
        deep = [deep]
    assert list(strings({"a": "1", "b": ["2", {"c": "3"}], "d": deep})) == ["1", "2", "3", "core"]

"""Words in a prompt that steer the outcome, so that a test needs no knob to see a failure.

| word in any string of `input` | a task | a plain call | a stream |
|---|---|---|---|
| `sandbox:fail`    | ends FAILED, InternalError.Algo    | 500 | one result frame, then error |
| `sandbox:inspect` | ends FAILED, DataInspectionFailed  | 400 | one result frame, then error |
| `sandbox:partial` | SUCCEEDED, last image failed       | -   | -                            |

`sandbox:partial` counts in the prompt only. In `file_urls` each file fares by its own words.
"""

from collections.abc import Iterator

from proxy.sandbox.answers import Payload, RefusalError

FAIL = "sandbox:fail"
INSPECT = "sandbox:inspect"
PARTIAL = "sandbox:partial"

DOOMS: dict[str, tuple[int, str, str]] = {
    FAIL: (500, "InternalError.Algo", "An error occurred in algorithm process."),
    INSPECT: (400, "DataInspectionFailed", "Input data may contain inappropriate content."),
}


PIECE = 6
"""Characters in one streamed delta: small enough that any answer has several frames."""

ECHOED = 200
"""Characters of the prompt that are said back: a growing stream is quadratic in them."""


def echo(prompt: str) -> str:
    """What the sandbox says to a prompt, in every protocol."""
    return f"The sandbox heard: {prompt[:ECHOED]}"


def pieces(said: str) -> Iterator[str]:
    """A text as it streams."""
    return (said[start : start + PIECE] for start in range(0, len(said), PIECE))


def doom(given: object) -> RefusalError | None:
    """The failure its own words ask for, or None."""
    for word, failure in DOOMS.items():
        if says(given, word):
            return RefusalError(*failure)
    return None


def says(given: object, word: str) -> bool:
    """Whether any string inside `given` contains the word."""
    return any(word in text for text in strings(given))


def strings(given: object) -> Iterator[str]:
    """Every string value inside a JSON value, in document order; keys are not looked at."""
    left = [given]  # a stack, not recursion: JSON may be nested deeper than Python's calls
    while left:
        value = left.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            left.extend(reversed(value.values()))
        elif isinstance(value, list):
            left.extend(reversed(value))


def prompt_of(given: Payload) -> str:
    """What the user said: `prompt`, or the text of the last message, or nothing."""
    if isinstance(given.get("prompt"), str):
        return str(given["prompt"])
    messages = given.get("messages")
    if not (isinstance(messages, list) and messages and isinstance(messages[-1], dict)):
        return ""
    return _text(messages[-1].get("content"))


def _text(content: object) -> str:
    """Content is a string, or a list of parts of which some have `text`."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return " ".join(
        str(part["text"]) for part in parts if isinstance(part, dict) and "text" in part
    )

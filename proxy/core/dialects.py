"""How an endpoint is told what decides a price: where in the body, and under which names.

A name that an endpoint does not heed bounds nothing there: `max_output_tokens` is OpenAI's
Responses', and chat completions go on as if it were not there.
"""

from typing import NamedTuple

from proxy.core.jsonscan import Path

PARAMETERS: Path = ("parameters",)
"""Where DashScope's own endpoints read it. OpenAI's and Anthropic's do at the root."""


class Dialect(NamedTuple):
    """Inputs stand `at` a place, and those of names in `heeds` may be believed."""

    at: Path
    heeds: frozenset[str]


NATIVE = Dialect(
    PARAMETERS,
    frozenset(
        {
            *("duration", "resolution", "size", "n", "max_images", "series_amount"),
            *("max_tokens", "enable_thinking", "thinking_budget", "stream"),
        }
    ),
)

UNHEEDING = Dialect((), frozenset({"stream"}))
"""Of an endpoint that nobody knows; to believe that it streams lowers nothing."""

DIALECTS = {
    "/compatible-mode/v1/chat/completions": Dialect(
        (),
        frozenset(
            {
                *("max_tokens", "max_completion_tokens", "n", "stream"),
                *("enable_thinking", "thinking_budget"),
            }
        ),
    ),
    "/compatible-mode/v1/completions": Dialect((), frozenset({"max_tokens", "n", "stream"})),
    "/compatible-mode/v1/responses": Dialect((), frozenset({"max_output_tokens", "stream"})),
    "/apps/anthropic/v1/messages": Dialect((), frozenset({"max_tokens", "stream"})),
}
"""Those of endpoints that are not DashScope's own, by their path on upstream."""

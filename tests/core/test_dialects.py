"""`core.dialects`: which names an endpoint heeds."""

import pytest

from proxy.config.document import read_document
from proxy.config.routing import PACKAGED, parse_routing
from proxy.core.asking import NAMES, THINKING, TOKEN_LIMITS
from proxy.core.dialects import DIALECTS, NATIVE, UNHEEDING
from proxy.core.target import parse_target

STOPS = {"enable_thinking", "thinking_budget"}
TABLE = parse_routing(read_document("routes.yaml", PACKAGED.read_text("utf-8")), {}).table


def test_only_names_that_are_listened_to_are_heeded() -> None:
    """A name that nobody notes could not be believed."""
    for dialect in (NATIVE, UNHEEDING, *DIALECTS.values()):
        assert dialect.heeds <= NAMES


@pytest.mark.parametrize(
    ("path", "limits", "thoughts"),
    [
        ("/api/v1/services/aigc/text-generation/generation", {"max_tokens"}, STOPS),
        (
            "/compatible-mode/v1/chat/completions",
            {"max_tokens", "max_completion_tokens"},
            STOPS,
        ),
        ("/compatible-mode/v1/completions", {"max_tokens"}, set()),
        ("/compatible-mode/v1/responses", {"max_output_tokens"}, set()),
        ("/compatible-mode/v1/embeddings", set(), set()),
        ("/apps/anthropic/v1/messages", {"max_tokens"}, set()),
        ("/alibailian/apps/anthropic/v1/messages", {"max_tokens"}, set()),
    ],
)
def test_each_endpoint_has_limits_of_its_own(
    path: str, limits: set[str], thoughts: set[str]
) -> None:
    """What bounds the answer on one is nothing to another."""
    heeds = TABLE.match("POST", parse_target(path)).route.dialect.heeds
    assert heeds.intersection(TOKEN_LIMITS) == limits
    assert heeds.intersection(THINKING) == thoughts

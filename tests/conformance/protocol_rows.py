"""Operations in the protocols of OpenAI and Anthropic, by their own clients."""

from collections.abc import Mapping, Sequence

from conformance.clients import ANTHROPIC, ANTHROPIC_AIO, OPENAI, OPENAI_AIO
from conformance.operations import Answers, Operation, Place, Run
from sdk import anthropic_calls, openai_calls
from sdk.protocols import Call, MakeClient, outcome

from proxy.core.policy import ACCOUNT, INFERENCE

# OpenAI's list has no pages, so that the proxy asks for the same; its header can be compared.
_LISTED: Mapping[str, Sequence[str]] = {"models": ["own-models"]}
_LISTED_ALIKE: Mapping[str, Sequence[str]] = {"models": ["own-models", "own-question"]}
_WHOLE_ACCOUNT = openai_calls.WHOLE_ACCOUNT


def _made(make: MakeClient, call: Call) -> Run:
    async def run(at: Place) -> Answers:
        return [await outcome(make, at.url, at.key, call)]

    return run


def _rows(
    calls: Mapping[str, Call],
    makes: Mapping[str, MakeClient],
    differs: Mapping[str, Sequence[str]],
) -> dict[str, Operation]:
    return {
        name: Operation(
            {client: _made(make, call) for client, make in makes.items()},
            scopes=(INFERENCE, ACCOUNT) if name in _WHOLE_ACCOUNT else (),
            differs=differs.get(name, ()),
        )
        for name, call in calls.items()
    }


def _named(protocol: str, rows: Mapping[str, Operation]) -> dict[str, Operation]:
    return {f"{protocol}: {name}": row for name, row in rows.items()}


PROTOCOLS: Mapping[str, Operation] = {
    **_named(
        "openai",
        _rows(
            openai_calls.CALLS,
            {
                OPENAI: openai_calls.CLIENTS["sync"],
                OPENAI_AIO: openai_calls.CLIENTS["async"],
            },
            _LISTED_ALIKE,
        ),
    ),
    **_named(
        "anthropic",
        _rows(
            anthropic_calls.CALLS,
            {
                ANTHROPIC: anthropic_calls.CLIENTS["sync"],
                ANTHROPIC_AIO: anthropic_calls.CLIENTS["async"],
            },
            _LISTED,
        ),
    ),
}

"""The façades' OpenAPI document against the running proxy, by a property-based tester.

Deterministic and bounded: the same examples in every run, some hundred of them.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from harness import Stand, standing
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy
from schemathesis import Case, GenerationMode
from schemathesis.checks import positive_data_acceptance
from schemathesis.schemas import APIOperation

from proxy.config.routing import PACKAGED, load_routing
from proxy.core.retelling import FACADES
from proxy.core.unified import FIELDS

ROOT = Path(__file__).parents[2]
SCHEMA = schemathesis.openapi.from_path(str(ROOT / "docs/facades.openapi.yaml"))
SUBMITS = ["/video/v1/generations", "/v1/video/generations"]
POLLS = ["/video/v1/tasks/{task_id}", "/v1/video/generations/{task_id}"]

ENDS = {
    POLLS[0]: {"a cat": ["running", "success"], "sandbox:fail": ["running", "failed"]},
    POLLS[1]: {"a cat": ["processing", "completed"], "sandbox:fail": ["processing", "failed"]},
}
"""Prompts, and what two polls of their tasks are told."""

EXAMPLES = 100
"""For each operation and kind of request."""

steady = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],  # what it finds is small; shrinking takes minutes
    database=None,
    suppress_health_check=list(HealthCheck),
)


def operation(path: str, method: str) -> APIOperation[Any, Any, Any, Any]:
    return SCHEMA[path][method]


async def holding(
    stand: Stand, strategy: SearchStrategy[Any], check: Callable[[Case[Any], Any], None]
) -> Counter[int]:
    """Send every example of a strategy; what comes back is as documented, and passes `check`.

    A request that is valid by its shape alone may still be one that its model cannot take.
    """
    token, statuses = await stand.token(), Counter[int]()

    @steady
    @given(strategy)
    def run(case: Case[Any]) -> None:
        answer = case.call_and_validate(
            base_url=stand.url,
            headers={"Authorization": f"Bearer {token}"},
            excluded_checks=[positive_data_acceptance],
        )
        assert answer.status_code < 500
        statuses[answer.status_code] += 1
        check(case, answer.json())

    await asyncio.to_thread(run)
    return statuses


MISSING = {"prompt", "width", "height", "upstream_options.function"}
"""Fields that a refusal may ask for; any other that it names was sent."""


def stands_in(document: object, param: str) -> bool:
    """Whether there is something at the place that a refusal names: `image[0].type`.

    What stands there may itself have a dot in its name.
    """
    if isinstance(document, list):
        number, _, rest = param.removeprefix("[").partition("]")
        return int(number) < len(document) and (
            not rest or stands_in(document[int(number)], rest.removeprefix("."))
        )
    if not isinstance(document, dict):
        return False
    fitting = [name for name in document if param.startswith(name)]
    return param in document or any(
        stands_in(document[name], param[len(name) :].removeprefix(".")) for name in fitting
    )


def error_of(told: dict[str, Any]) -> dict[str, Any]:
    """What a refusal says, in either façade's shape."""
    inner: dict[str, Any] = told.get("error") or told
    return inner


@pytest.mark.parametrize("path", SUBMITS)
async def test_valid_requests(path: str) -> None:
    """They make tasks, or are refused by the name of the field that the model cannot take."""

    def check(case: Case[Any], told: dict[str, Any]) -> None:
        if "task_id" not in told:
            error = error_of(told)
            if error["code"] == "IdempotencyKeyReused":
                return
            assert stands_in(case.body, error["param"]) or error["param"] in MISSING
            assert error["message"].startswith(f"{error['param']}: ")

    async with standing() as stand:
        strategy = operation(path, "POST").as_strategy(GenerationMode.POSITIVE)
        statuses = await holding(stand, strategy, check)
        made = len(stand.sandbox.tasks)
    assert statuses.keys() <= {200, 400, 422}, "422 is another body with a key used before"
    assert statuses[200] >= EXAMPLES // 10
    assert made


@pytest.mark.parametrize("path", SUBMITS)
async def test_invalid_requests(path: str) -> None:
    """They are refused in the documented shape, and make no task; the field at fault is named."""

    def check(case: Case[Any], told: dict[str, Any]) -> None:
        error = error_of(told)
        assert error["message"]
        is_about_a_field = error["code"] != "InvalidApiKey" and isinstance(case.body, dict)
        if is_about_a_field and not error["message"].startswith("The body "):
            assert error["message"].startswith(f"{error['param']}: ")

    async with standing() as stand:
        strategy = operation(path, "POST").as_strategy(GenerationMode.NEGATIVE, headers={})
        statuses = await holding(stand, strategy, check)
        assert not stand.sandbox.tasks
    assert statuses.keys() <= {400, 401, 413, 415}
    assert statuses[400] >= EXAMPLES // 2


@pytest.mark.parametrize("path", POLLS)
async def test_polls(path: str) -> None:
    """Any id is answered as documented: that of a task in each of its states, and no task's."""

    def check(case: Case[Any], told: dict[str, Any]) -> None:
        assert error_of(told)["code"] == "task_not_exist", case

    async with standing() as stand:
        strategy = operation(path, "GET").as_strategy(GenerationMode.POSITIVE)
        assert (await holding(stand, strategy, check)).keys() == {400}
        token = await stand.token()
        for prompt, states in ENDS[path].items():
            body = {"model": "wan2.6-t2v", "prompt": prompt}
            task_id = (await stand.ask("POST", SUBMITS[0], token, body)).json()["task_id"]
            case = operation(path, "GET").Case(path_parameters={"task_id": task_id})
            answers = [await asyncio.to_thread(polled, stand, case, token) for _ in states]
            assert [told.get("task_status") or told["status"] for told in answers] == states


def polled(stand: Stand, case: Case[Any], token: str) -> dict[str, Any]:
    """A task's state, as documented."""
    fields = {"Authorization": f"Bearer {token}"}
    told: dict[str, Any] = case.call_and_validate(base_url=stand.url, headers=fields).json()
    return told


@pytest.mark.parametrize("path", SUBMITS)
async def test_the_examples(path: str) -> None:
    """What the document shows makes a task."""
    content = SCHEMA.raw_schema["components"]["requestBodies"]["Video"]["content"]
    examples = content["application/json"]["examples"]
    async with standing() as stand:
        token = await stand.token()
        for example in examples.values():
            assert (await stand.ask("POST", path, token, example["value"])).status == 200
        assert len(stand.sandbox.tasks) == len(examples) == 2


def test_the_document_has_every_route() -> None:
    """Each façade of the packaged table is in it, and every field that is read."""
    routes = [one for one in load_routing(PACKAGED, {}).table.routes if one.envelope in FACADES]
    told = {(method.upper(), path) for path in SCHEMA for method in SCHEMA[path]}
    assert told == {(method, one.pattern) for one in routes for method in one.methods}
    assert SCHEMA.raw_schema["components"]["schemas"]["Video"]["properties"].keys() == set(FIELDS)

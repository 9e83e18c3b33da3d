"""What the end of a task or a call costs: each row of the table in `proxy.core.charging`."""

from dataclasses import replace
from decimal import Decimal

import pytest

from proxy.core.charging import Fare, call_record, is_over, task_record
from proxy.core.freshness import LIFE
from proxy.core.money import NANOS
from proxy.core.outcomes import Bounds
from proxy.core.policy import Grant
from proxy.core.prices import Price, PriceList, Tier
from proxy.core.settlement import Basis, Kind
from proxy.core.tasks import TaskRecord
from proxy.core.usage import NOTHING_USED, Used

SECONDS = Price(
    ("wan*",),
    per_second=(Tier(720, Decimal("0.6")), Tier(None, Decimal(1))),
)
CHEAP = Price(("wan*",), until="2026-01-01", per_call=Decimal(1))
PRICES = PriceList("CNY", prices=(CHEAP, SECONDS))
AT = 1_790_000_000.0
TASK = TaskRecord("t1", "a", "g1", "main", "wan2.6-t2v", AT, "up-1", hold="h1")
DONE = {"output": {"task_status": "SUCCEEDED"}, "usage": {"duration": 5, "SR": 720}}


def test_a_task_that_succeeded() -> None:
    """It costs what it used, at the price of the day on which it was made."""
    record = task_record(TASK, "SUCCEEDED", DONE, PRICES, AT + 60)
    assert (record.id, record.kind, record.status) == ("t1", Kind.TASK, "SUCCEEDED")
    assert (record.tenant, record.token, record.account) == ("a", "g1", "main")
    assert (record.created, record.ended) == (AT, AT + 60)
    assert (record.request_id, record.hold) == ("up-1", "h1")
    assert record.used == Used(seconds=Decimal(5), lines=720)
    assert (record.amount, record.currency, record.basis) == (3 * NANOS, "CNY", Basis.USAGE)


@pytest.mark.parametrize("status", ["FAILED", "CANCELED", "UNKNOWN"])
def test_a_task_that_ended_otherwise_costs_nothing(status: str) -> None:
    """Whatever its answer says was used."""
    record = task_record(TASK, status, DONE, PRICES, AT)
    assert (record.status, record.amount, record.basis) == (status, 0, Basis.NOTHING)
    assert (record.used, record.hold) == (NOTHING_USED, "h1")


@pytest.mark.parametrize("answer", [None, {}, {"usage": 7}, {"usage": {"image_count": 1}}])
def test_a_success_that_does_not_tell_what_has_a_price(answer: object) -> None:
    """It costs the dearest that it could have been: five seconds of the dearest tier."""
    record = task_record(TASK, "SUCCEEDED", answer, PRICES, AT)
    assert (record.amount, record.basis) == (5 * NANOS, Basis.REQUEST)


def test_without_a_price_nothing_is_charged() -> None:
    """What was used is told all the same."""
    record = task_record(TASK, "SUCCEEDED", DONE, PriceList("CNY"), AT)
    assert (record.amount, record.currency, record.basis) == (0, "", Basis.NOTHING)
    assert record.used.seconds == 5


def test_a_call() -> None:
    """It is known by the proxy's id of the request, and counts for the day of its fare."""
    fare = Fare("wan-x", AT, {}, SECONDS)
    charge = fare.charge({"usage": {"duration": 2, "SR": 1080}})
    record = call_record(
        "r1",
        Grant("g1", "name", "a", ("*",)),
        fare,
        charge,
        account="main",
        currency="CNY",
        ended=AT + 1,
        upstream_id="up-2",
        hold="r1",
    )
    assert (record.id, record.kind, record.created) == ("r1", Kind.CALL, AT)
    assert (record.amount, record.basis, record.hold) == (2 * NANOS, Basis.USAGE, "r1")


@pytest.mark.parametrize(
    ("status", "age", "over"),
    [
        ("SUCCEEDED", 0, True),
        ("FAILED", 0, True),
        ("CANCELED", 0, True),
        ("PENDING", LIFE, False),
        ("RUNNING", LIFE, False),
        ("UNKNOWN", 60, False),
        ("UNKNOWN", LIFE, True),
    ],
)
def test_when_a_task_is_over(status: str, age: float, over: bool) -> None:  # noqa: FBT001 - a table
    """UNKNOWN is believed when upstream has forgotten the task, and not before."""
    assert is_over(status, age) is over


TOKENS = Price(
    ("*",),
    per_1k_input_tokens=Decimal(1),
    per_1k_output_tokens=Decimal(10),
    bounds=Bounds(output_tokens=100),
)
TOLD = {"usage": {"input_tokens": 7, "output_tokens": 1}}
FEW, MANY = Used(input_tokens=7, output_tokens=1), Used(input_tokens=7, output_tokens=100)


@pytest.mark.parametrize(
    ("price", "unfinished", "by", "basis"),
    [
        (TOKENS, (), FEW, Basis.USAGE),
        (TOKENS, ("output_tokens",), MANY, Basis.REQUEST),
        (replace(TOKENS, per_1k_output_tokens=None), ("output_tokens",), FEW, Basis.USAGE),
    ],
)
def test_a_number_that_is_not_the_last_word(
    price: Price, unfinished: tuple[str, ...], by: Used, basis: Basis
) -> None:
    """What was reserved for it is charged, where it has a price; what was told is written down."""
    charge = Fare("qwen-plus", AT, {}, price, 50).charge(TOLD, unfinished)
    assert charge == (FEW, price.cost(by), basis)


def test_more_was_told_than_was_reserved() -> None:
    """Then that is charged."""
    told = {"usage": {"input_tokens": 7, "output_tokens": 900}}
    charge = Fare("qwen-plus", AT, {}, TOKENS, 50).charge(told, ("output_tokens",))
    assert charge.amount == TOKENS.cost(Used(input_tokens=7, output_tokens=900))


@pytest.mark.parametrize("size", [40, None])
def test_a_task_remembers_the_size_of_its_request(size: int | None) -> None:
    """It is charged what was reserved for it, where its answer does not say more."""
    price = Price(("*",), per_1k_characters=Decimal(1))
    fare = Fare("m", AT, {"n": "1"}, price, size)
    inputs = fare.remembered(fare.inputs)
    task = TaskRecord("t1", "a", "g1", "main", "m", AT, inputs=inputs)
    record = task_record(task, "SUCCEEDED", {}, PriceList("CNY", prices=(price,)), AT + 9)
    assert (record.amount, record.basis) == (fare.dearest, Basis.REQUEST)
    assert fare.dearest == (200 * NANOS if size is None else NANOS * 40 // 1000)

"""`config.prices`, beyond the golden files: amounts are exact, and the shipped example works."""

import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config import ConfigError
from proxy.config.document import read_document
from proxy.config.prices import DEAREST
from proxy.config.routing import PACKAGED, parse_routing
from proxy.core.prices import NO_PRICES, PriceList

HEAD = "version: 1\nroutes: []\ncurrency: CNY\nprices:\n"


def read(text: str) -> PriceList:
    return parse_routing(read_document("routes.yaml", text), {}).prices


@given(st.decimals(0, DEAREST, places=9), st.sampled_from(["", '"']))
def test_amounts_are_what_stands_in_the_file(amount: Decimal, quote: str) -> None:
    """To the last decimal, whether YAML reads a number or a text."""
    (price,) = read(f"{HEAD}  - {{models: a, per_call: {quote}{amount:f}{quote}}}\n").prices
    assert price.per_call == amount


@given(st.text(st.sampled_from("*ab-"), min_size=1), st.text(st.sampled_from("ab-"), min_size=1))
def test_an_entry_that_is_refused_would_never_be_found(pattern: str, model: str) -> None:
    """Whatever a pattern stands for: if it is called unreachable, the entry before has it all."""
    earlier, later = ("a*b*", pattern)
    text = HEAD + "".join(f'  - {{models: "{one}", per_call: 1}}\n' for one in (earlier, later))
    try:
        prices = read(text).prices
    except ConfigError as error:
        assert "is priced at routes.yaml:5 already" in str(error)  # noqa: PT017 - both ways are right
        kept = read(f'{HEAD}  - {{models: "{later}", per_call: 1}}\n')
        before = read(f'{HEAD}  - {{models: "{earlier}", per_call: 1}}\n')
        assert before.find(model, 0) is not None or kept.find(model, 0) is None
    else:
        assert len(prices) == 2


def test_the_example_in_the_packaged_file_works_as_it_stands() -> None:
    """Whoever takes the marks off has prices; the file as shipped has none."""
    text = PACKAGED.read_text("utf-8")
    assert read(text) == NO_PRICES
    example = re.search(r"^# currency: CNY\n(?:#.*\n)+", text, re.MULTILINE)
    assert example
    prices = read(text.replace(example[0], re.sub(r"(?m)^# ", "", example[0])))
    assert prices.is_required
    assert prices.currency == "CNY"
    assert prices.find("wan2.7-t2v", 1_800_000_000) is prices.prices[0]


@pytest.mark.parametrize("value", ["2026-11-20", '"2026-11-20"'])
def test_days_are_dates_or_texts(value: str) -> None:
    """YAML makes dates of them unless somebody quotes them."""
    (price,) = read(f"{HEAD}  - {{models: a, per_call: 1, from: {value}}}\n").prices
    assert price.since == "2026-11-20"

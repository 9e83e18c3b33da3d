"""Parameters of a listing: read in one way, or refused by name."""

import pytest

from proxy.core.errors import ProxyError, Situation
from proxy.core.paging import misread, number, only, parse_page


def test_a_page_is_never_huge() -> None:
    """More than a hundred is a hundred; leading zeros are people's."""
    assert parse_page("page_no=007&page_size=101") == (7, 100)
    assert parse_page("page_size=999999999") == (1, 100)
    assert parse_page(None) == (1, 10)


@pytest.mark.parametrize(
    ("query", "value"), [(None, None), ("a=", None), ("a", None), ("b=1", None), ("a=x%20y", "x y")]
)
def test_a_parameter_is_its_one_value(query: str | None, value: str | None) -> None:
    """Absent and empty are one."""
    assert only(query, "a") == value


@pytest.mark.parametrize("query", ["a=1&a=1", "A=1", "a[]=1", "a=%00"])
def test_a_parameter_is_read_in_one_way(query: str) -> None:
    """Whatever another parser could read otherwise is refused."""
    with pytest.raises(ProxyError, match=r"^query\.a: ") as refusal:
        only(query, "a")
    assert refusal.value.situation is Situation.ILLEGAL_INPUT


@pytest.mark.parametrize(("text", "value"), [("1", 1), ("0001", 1), ("999999999", 999_999_999)])
def test_a_number_is_from_one_on(text: str, value: int) -> None:
    """Up to nine digits, and three zeros of people's before them; without one, the default."""
    assert number(f"a={text}", "a", 7) == value
    assert number(None, "a", 7) == 7


@pytest.mark.parametrize("text", ["0", "00001", "1000000000", "1" * 5000, "000000001", "-1", "1."])
def test_no_number_is_refused(text: str) -> None:
    """However long: nothing is turned into a number that was not bounded before."""
    with pytest.raises(ProxyError) as refusal:
        number(f"a={text}", "a", 7)
    assert refusal.value.param == "a"
    assert refusal.value.message == misread("a", "must be a number from 1 on").message

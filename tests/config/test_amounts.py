"""Numbers of things, as the environment has them."""

from collections.abc import Callable

import pytest

from proxy.config.amounts import rate_of, size_of, sockets_of, workers_of


@pytest.mark.parametrize(
    ("read", "text", "amount"),
    [(size_of, "1KiB", 1024), (workers_of, "3", 3), (sockets_of, "64", 64), (rate_of, "0.5", 0.5)],
)
def test_what_is_a_number_is_read(
    read: Callable[[object], object], text: str, amount: float
) -> None:
    """Each in its own unit."""
    assert read(text) == amount


@pytest.mark.parametrize("read", [size_of, workers_of, sockets_of, rate_of])
def test_what_is_none_is_shown_with_what_would_be_right(read: Callable[[object], object]) -> None:
    """The message quotes what was written, and says what to write."""
    with pytest.raises(ValueError, match=r"'many' .*number"):
        read("many")

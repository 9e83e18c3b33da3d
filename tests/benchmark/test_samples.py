"""What rounds are made into: medians, spreads, ratios."""

import pytest

from bench.samples import Figures, Samples, Spread, interleaved, number


def samples(**series: list[float]) -> Samples:
    made = Samples()
    for name, values in series.items():
        for value in values:
            made.add(name, {"cpu": value})
    return made


def test_a_spread_of_few_is_a_median_and_the_ends() -> None:
    """Whatever the order; of an even count the mean of the middle two."""
    assert Spread.of([3, 1, 2]) == Spread(2, 1, 3)
    assert Spread.of([4.0, 1, 2, 3]) == Spread(2.5, 1, 4)


@pytest.mark.parametrize(("count", "least"), [(1, 1), (5, 1), (6, 1), (8, 1), (9, 2), (12, 3)])
def test_a_round_that_was_disturbed_moves_no_end(count: int, least: int) -> None:
    """Of nine values and more; what a table of the sign test says for one in twenty."""
    values = [*range(1, count), 1000]
    found = Spread.of(values)
    assert (found.least, found.most) == (values[least - 1], values[-least])


def test_a_ratio_is_of_the_same_round() -> None:
    """A round that was slow for both is no outlier of their ratio."""
    found = samples(own=[20, 200, 30], base=[10, 100, 10]).ratio("cpu", "own", "base")
    assert found == Spread(2, 2, 3)


def test_what_is_added_is_told_in_units_of_what_the_base_adds() -> None:
    """Over the ground, which both have to pay."""
    found = samples(direct=[9, 10, 11], base=[14, 12, 16], own=[22, 18, 26])
    assert found.added("cpu", "own", "base", "direct") == Spread(3, 2, 4)


@pytest.mark.parametrize("base", [[9], [10], [11, 9, 12]])
def test_a_base_that_adds_nothing_is_no_unit(base: list[float]) -> None:
    """Noise may make it as fast as no relay at all, or faster: no ratio of that."""
    found = samples(direct=[10, 10, 10], base=base, own=[16])
    with pytest.raises(ValueError, match="base adds nothing"):
        found.added("cpu", "own", "base", "direct")


@pytest.mark.parametrize(("warm", "counted"), [(1, [1, 2]), (0, [0, 1])])
def test_contestants_take_turns(warm: int, counted: list[int]) -> None:
    """Round by round, the first ones for nothing."""
    turns: list[str] = []

    def measure(name: str) -> Figures:
        turns.append(name)
        return {"turn": (len(turns) - 1) // 2}

    found = interleaved([("A", "a"), ("B", "b")], measure, 2, warm=warm)
    assert turns == ["a", "b"] * (2 + warm)
    assert found.series("A", "turn") == found.series("B", "turn") == counted


@pytest.mark.parametrize(
    ("value", "text"), [(1234.5, "1,234"), (99.96, "100"), (12.34, "12.3"), (0.01234, "0.0123")]
)
def test_numbers_are_short(value: float, text: str) -> None:
    """Three digits, and all of those before the point."""
    assert number(value) == text

"""What rounds brought: each contestant's figures in turn, their medians and their ratios.

Contestants take turns round by round, so that whatever else the machine does in a minute meets
all of them; the first round warms up and counts for nothing, where there is something to warm.
"""

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TypeVar

Contestant = TypeVar("Contestant")

Figures = Mapping[str, float]
"""What one contestant did in one round, by name: `cpu`, `rps`, `p50` and so on."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A median of rounds, and between what it would lie if there were any number of them.

    That is so 19 times of 20, whatever disturbs single rounds: of nine values the second least and
    the second most (the interval of the sign test). Of fewer than six the least and the most are
    not far enough apart for that, and all there is.
    """

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        """Of at least one value."""
        ordered = sorted(values)
        beyond = _beyond(len(ordered))
        return cls(statistics.median(ordered), ordered[beyond], ordered[-1 - beyond])

    def told(self, unit: str = "") -> str:
        """For people: the median, its unit, and in brackets between what it lies."""
        middle, least, most = map(number, (self.median, self.least, self.most))
        return f"{middle} {unit}".rstrip() + f" ({least} to {most})"


DOUBT = 1 / 20


def _beyond(count: int) -> int:
    """How many of so many values may lie beyond either end.

    A value is below the true median or above it like a coin that is thrown.
    """
    fewer = accumulate(math.comb(count, side) / (1 << count) for side in range(count))
    return max(sum(chance <= DOUBT / 2 for chance in fewer) - 1, 0)


def number(value: float) -> str:
    """As many digits as mean something: two or three."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"  # noqa: PLR2004 - three digits


@dataclass(frozen=True, slots=True)
class Samples:
    """Figures by contestant, in the order of the rounds."""

    by_name: dict[str, list[Figures]] = field(default_factory=dict)

    def add(self, name: str, figures: Figures) -> None:
        """One contestant's round."""
        self.by_name.setdefault(name, []).append(figures)

    def series(self, name: str, figure: str) -> list[float]:
        """One figure of a contestant, round by round."""
        return [one[figure] for one in self.by_name[name]]

    def spread(self, name: str, figure: str) -> Spread:
        """One figure of a contestant."""
        return Spread.of(self.series(name, figure))

    def ratio(self, figure: str, name: str, base: str) -> Spread:
        """How many times the base's figure a contestant's is: each round by itself.

        What disturbs a round disturbs both, and is no part of their ratio.
        """
        pairs = zip(self.series(name, figure), self.series(base, figure), strict=True)
        return Spread.of(own / other for own, other in pairs)

    def added(self, figure: str, name: str, base: str, ground: str) -> Spread:
        """How many times what the base adds to the ground's figure a contestant adds to it.

        Of medians, because differences of single rounds may be nothing, or less. The spread is
        that of the contestant's median. What the base adds must be more than noise, or there is
        no unit: `ValueError` where both medians may be the same.
        """
        below, beside, own = (self.spread(one, figure) for one in (ground, base, name))
        if beside.least <= below.most:
            raise ValueError(f"{base} adds nothing to {figure} of {ground} that can be told")
        floor, unit = below.median, beside.median - below.median
        return Spread(*((value - floor) / unit for value in (own.median, own.least, own.most)))


def interleaved(
    contestants: Sequence[tuple[str, Contestant]],
    measure: Callable[[Contestant], Figures],
    rounds: int,
    *,
    warm: int = 1,
) -> Samples:
    """So many rounds of everybody, after those that warm up."""
    samples = Samples()
    for turn in range(warm + rounds):
        for name, contestant in contestants:
            figures = measure(contestant)
            if turn >= warm:
                samples.add(name, figures)
    return samples

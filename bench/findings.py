"""What is told: a target, what was found of it, and whether that is enough."""

from dataclasses import dataclass, field

from bench.samples import Samples, Spread, number

NOT_MEASURABLE = "not measurable here"

UNCLEAR = "unclear"
"""The target lies where the median may lie, see `Spread`."""


@dataclass(frozen=True, slots=True)
class Target:
    """A limit and its unit, as in "2.5 × nginx" or "32 KiB". Most are upper ones."""

    limit: float
    unit: str
    is_least: bool = False

    def __str__(self) -> str:
        return f"{'≥' if self.is_least else '≤'} {self.limit:g} {self.unit}"

    def is_met(self, value: float) -> bool:
        """Whether a value is good enough."""
        return value >= self.limit if self.is_least else value <= self.limit


@dataclass(frozen=True, slots=True)
class Finding:
    """A row of the table. Without a target it is only told; without a value, not measurable."""

    subject: str
    value: Spread | None
    target: Target | None = None
    unit: str = ""
    note: str = ""

    @property
    def is_met(self) -> bool | None:
        """Whether the target is met wherever the median may lie, or nowhere there.

        None where neither is so, where there is no target, or nothing to tell it by.
        """
        if self.target is None or self.value is None:
            return None
        least, most = map(self.target.is_met, (self.value.least, self.value.most))
        return least if least == most else None

    @property
    def verdict(self) -> str:
        """For people."""
        if self.value is None:
            return NOT_MEASURABLE
        undecided = UNCLEAR if self.target else ""
        return {True: "yes", False: "**no**", None: undecided}[self.is_met]

    @property
    def middle(self) -> str:
        """The median and its unit."""
        unit = self.target.unit if self.target else self.unit
        return f"{number(self.value.median)} {unit}" if self.value else ""

    @property
    def measured(self) -> str:
        """The median, its unit, and between what it lies."""
        if self.value is None:
            return ""
        return self.value.told(self.target.unit if self.target else self.unit)

    def told(self) -> dict[str, object]:
        """For JSON."""
        value, target = self.value, self.target
        return {
            "subject": self.subject,
            "target": str(target) if target else None,
            "limit": target.limit if target else None,
            "unit": target.unit if target else self.unit,
            "median": value.median if value else None,
            "least": value.least if value else None,
            "most": value.most if value else None,
            "met": self.is_met,
            "note": self.note,
        }


@dataclass(frozen=True, slots=True)
class Section:
    """What one measurement brought: everybody's figures, and what follows from them."""

    title: str
    findings: list[Finding]
    samples: Samples = field(default_factory=Samples)

    def told(self) -> dict[str, object]:
        """For JSON: every round of everybody."""
        return {
            "title": self.title,
            "findings": [one.told() for one in self.findings],
            "rounds": self.samples.by_name,
        }


def added(samples: Samples, figure: str, name: str, subject: str, target: Target) -> Finding:
    """What a contestant adds to what comes directly, in units of what nginx adds to it.

    Where nginx adds nothing that can be told from noise, there is nothing to compare with.
    """
    direct, beside, own = (samples.spread(one, figure).median for one in ("direct", "nginx", name))
    note = f"adds {own - direct:.3g} ms, nginx {beside - direct:.3g}"
    try:
        value = samples.added(figure, name, "nginx", "direct")
    except ValueError:
        return Finding(subject, None, target, note=note)
    return Finding(subject, value, target, note=note)


def floor(samples: Samples, name: str, what: str) -> Finding:
    """What a contestant without any policy takes, in units of what nginx does; no target."""
    ratio = samples.ratio("cpu", name, "nginx")
    note = f"{samples.spread(name, 'cpu').median:.0f} us"
    return Finding(f"{name}, {what}", ratio, unit="× nginx", note=note)

"""How long and where everything is measured."""

from dataclasses import dataclass, field

from bench.machine import Cores, cores


@dataclass(frozen=True, slots=True)
class Effort:
    """Rounds of everybody, and seconds for each of them in a round.

    Many short ones: a machine that has something else to do spoils one, and the median of the
    others stands.
    """

    rounds: int = 9
    seconds: float = 1.0
    cores: Cores = field(default_factory=cores)

"""How long and where everything is measured."""

from dataclasses import dataclass, field

from bench.machine import Cores, cores


@dataclass(frozen=True, slots=True)
class Effort:
    """Rounds of everybody, and seconds for each of them in a round."""

    rounds: int = 3
    seconds: float = 2.0
    cores: Cores = field(default_factory=cores)

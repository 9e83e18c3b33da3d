"""Which upstream account serves a call: a pure function of model, tenant and health.

Tasks, uploads (`oss://` keys) and results belong to the account that made them, so the choice
must not wander: the same tenant and model meet the same account in every replica for as long
as the account is healthy (weighted rendezvous hashing). Polls do not choose, they return to
the account in the task's record.
"""

import hashlib
import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace

from proxy.core.errors import ProxyError, Situation
from proxy.core.policy import matches

POLLS_PER_SECOND = 20.0
"""What upstream allows a whole account (protocol section 7)."""


@dataclass(frozen=True, slots=True)
class Account:
    """One upstream account: where it lives and what it may run.

    `url` is the root (`https://dashscope.aliyuncs.com`), without `/api/v1`. `key` is the secret
    sent upstream and stays out of every `repr`. `models` are patterns as in a grant. `weight`
    is this account's share among those that serve the model; 0 takes no new work, but its
    tasks can still be polled. `polls_per_second` is how often it may be asked about tasks,
    `connections` how many calls may be under way to it, None for as many as come. `credentials`
    are the fields that say all this to upstream.
    """

    name: str
    url: str
    key: str = field(repr=False)
    workspace: str | None = None
    models: tuple[str, ...] = ("*",)
    weight: float = 1.0
    polls_per_second: float = POLLS_PER_SECOND
    connections: int | None = None
    credentials: tuple[tuple[str, str], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        fields = [("Authorization", f"Bearer {self.key}")]
        if self.workspace:
            fields.append(("X-DashScope-WorkSpace", self.workspace))
        object.__setattr__(self, "credentials", tuple(fields))  # once, not for every call


def choose(
    accounts: Sequence[Account],
    model: str | None,
    tenant: str,
    unhealthy: Collection[str] = (),
    also: Collection[str] = (),
) -> Account:
    """The account for a new call; `model` is None where the call names none.

    `also` are other models it names, which the account must serve as well.

    Raises `ProxyError`: `MODEL_NOT_FOUND` when no account is bound to the model (the same words
    as a model that is not allowed), `MODEL_UNAVAILABLE` when every bound one is in `unhealthy`.
    A single candidate is always tried: refusing on its behalf helps nobody.
    """
    bound = [one for one in accounts if one.weight > 0 and _serves(one, model, also)]
    if not bound:
        raise model_not_found()
    if len(bound) == 1:
        return bound[0]
    healthy = [account for account in bound if account.name not in unhealthy]
    if not healthy:
        raise ProxyError(
            Situation.MODEL_UNAVAILABLE, "No upstream account is healthy for this model; try again."
        )
    return max(healthy, key=lambda account: _rank(account, f"{tenant}\0{model or ''}"))


def shared(accounts: Iterable[Account], processes: int) -> tuple[Account, ...]:
    """The accounts as one of several processes may use them, each its part of what is limited."""
    return tuple(
        replace(
            account,
            polls_per_second=account.polls_per_second / processes,
            connections=account.connections and max(1, account.connections // processes),
        )
        for account in accounts
    )


def model_not_found(field: str = "model") -> ProxyError:
    """One answer for three causes, so that nobody learns which models exist."""
    return ProxyError(
        Situation.MODEL_NOT_FOUND,
        f"{field}: the model does not exist or this token may not use it.",
        param=field,
    )


def _serves(account: Account, model: str | None, also: Collection[str]) -> bool:
    """Whether an account is bound to all these models.

    Every call asks, mostly of one model that is told twice: a set of them, and a generator over
    it, took three times as long.
    """
    if model is not None and not matches(account.models, model):
        return False
    for name in also:  # noqa: SIM110 - see above
        if name != model and not matches(account.models, name):
            return False
    return True


def _rank(account: Account, key: str) -> float:
    """Weighted rendezvous score: the highest wins, shares follow the weights."""
    digest = hashlib.sha256(f"{account.name}\0{key}".encode()).digest()
    uniform = ((int.from_bytes(digest[:8], "big") >> 11) + 0.5) / 2**53  # exact, and never 1
    return -account.weight / math.log(uniform)

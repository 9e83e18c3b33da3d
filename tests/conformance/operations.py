"""What an operation is, and where its client stands."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from dashscope import AsyncClient, Client

from proxy.core.limits import NO_LIMITS, Limits


@dataclass(frozen=True)
class Place:
    """Where a client is pointed. `base` is the path its SDK would have in its base URL.

    `alias` says whether short routes and aliases exist there, which upstream itself does not know.
    """

    root: str
    base: str
    key: str
    photo: Path
    alias: bool

    @property
    def url(self) -> str:
        return self.root + self.base

    @property
    def client(self) -> Any:  # noqa: ANN401 - the SDK is not typed for us
        return Client(api_key=self.key, base_url=self.url)

    @property
    def async_client(self) -> Any:  # noqa: ANN401 - the SDK is not typed for us
        return AsyncClient(api_key=self.key, base_url=self.url)


Answers: TypeAlias = Iterable[object]
Run: TypeAlias = Callable[[Place], Answers | Awaitable[Answers]]
"""Does it once; what comes back are plain values, SDK objects or exceptions."""


@dataclass(frozen=True)
class Operation:
    """One row: who can do it, and how.

    `gists` is what should come of it by client, a line for people. `faults` are put in force in
    the sandbox, `env` in the proxy. `scopes`, `models` and `limits` are the token's. `differs`
    names the differences that must occur, `extra` more of them by client.
    """

    clients: Mapping[str, Run]
    gists: Mapping[str, str] = field(default_factory=dict)
    faults: Sequence[Mapping[str, Any]] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    scopes: Sequence[str] = ()
    models: Sequence[str] = ()
    limits: Limits = NO_LIMITS
    differs: Sequence[str] = ()
    extra: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def stated(self, client: str) -> set[str]:
        """The differences that must occur with this client."""
        return {*self.differs, *self.extra.get(client, ())}

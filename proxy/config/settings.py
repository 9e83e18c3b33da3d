"""The environment -> `Settings`. Flags of the command line are laid over it by name."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from ipaddress import AddressValueError, IPv6Address
from pathlib import Path
from typing import Annotated, Literal, TypeAlias, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from proxy.config import ConfigError
from proxy.config.amounts import rate_of, size_of, sockets_of, workers_of
from proxy.config.proxies import proxies_of
from proxy.config.routing import PACKAGED, Routing, checked_key, key_from_file, load_routing
from proxy.core.accounts import POLLS_PER_SECOND, Account
from proxy.core.addresses import NOBODY, TrustedProxies
from proxy.core.holds import LEASE
from proxy.core.settlement import FIRST_LOOK

_Read = TypeVar("_Read")

ACCOUNT_NAME = "default"
"""Name of the one account given by variables. It stands in task records, so it never changes."""

_LAST_PORT = 2**16 - 1
_MOST_SECONDS = 24 * 60 * 60


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen: a host and port (0 picks a free one), or a Unix socket's path."""

    host: str = ""
    port: int = 0
    path: str | None = None

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _addresses(value: object) -> object:
    return tuple(map(_address, value.split(","))) if isinstance(value, str) else value


def _address(text: str) -> Address:
    text = text.strip()
    if text.startswith("unix:/"):
        return Address(path=text.removeprefix("unix:"))
    found = re.fullmatch(r"(?:\[([^\s\[\]/]+)\]|([^\s:\[\]/]+)):([0-9]{1,5})", text)
    if not found or int(found[3]) > _LAST_PORT or (found[1] and not _is_ipv6(found[1])):
        raise ValueError(f"{text!r} is no address; write host:port, [ipv6]:port or unix:/path")
    return Address(host=found[1] or found[2], port=int(found[3]))


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except AddressValueError:
        return False
    return True


def _root_url(url: str) -> str:
    if not re.fullmatch(r"https?://[^/?#@\s]+/?", url):  # not shown: it may hold a password
        raise ValueError("is no root URL; write https://host, without path or credentials")
    return url.rstrip("/")


def _header_value(text: str) -> str:
    if not re.fullmatch(r"[\x21-\x7e]*", text):
        raise ValueError(f"{text!r} must be one word in ASCII")
    return text


Addresses = Annotated[tuple[Address, ...], BeforeValidator(_addresses)]
Size = Annotated[int, BeforeValidator(size_of)]
Seconds = Annotated[float, Field(ge=0, le=_MOST_SECONDS, allow_inf_nan=False)]


class Environment(BaseModel):
    """Every variable: its name, default and meaning. `check` and the README print this table."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    api_key: str = Field(
        "", alias="DASHSCOPE_API_KEY", repr=False, description="key of the upstream account"
    )
    api_key_file: str = Field(
        "", alias="DASHSCOPE_API_KEY_FILE", description="a file that holds the key instead"
    )
    upstream: Annotated[str, AfterValidator(_root_url)] = Field(
        "https://dashscope.aliyuncs.com",
        alias="PROXY_UPSTREAM",
        description="root URL of that account",
    )
    workspace: Annotated[str, AfterValidator(_header_value)] = Field(
        "", alias="PROXY_WORKSPACE", description="its workspace, sent as `X-DashScope-WorkSpace`"
    )
    listen: Addresses = Field(
        (Address("127.0.0.1", 8080),),
        alias="PROXY_LISTEN",
        description="`host:port`, `unix:/path`, comma-separated list",
    )
    admin_listen: Addresses = Field(
        (Address("127.0.0.1", 9090),),
        alias="PROXY_ADMIN_LISTEN",
        description="`/healthz`, `/readyz`, `/metrics`, `/usage`; same forms, never public",
    )
    store: str = Field(
        "",
        alias="PROXY_STORE",
        repr=False,
        description="`redis://…`, `rediss://…`, `redis+sentinel://…`, `redis+cluster://…`, "
        "`sqlite:///path`, `memory:`; default: a SQLite file in the user's state directory",
    )
    store_prefix: str = Field(
        "dsp:", alias="PROXY_STORE_PREFIX", description="what every Redis key begins with"
    )
    outbox: str = Field(
        "",
        alias="PROXY_OUTBOX",
        description="with Redis: directory for the owners of tasks made while it is down; must "
        "survive a restart; default: the user's state directory",
    )
    routes: str = Field(
        "", alias="PROXY_ROUTES", description="route table and accounts; default: the packaged one"
    )
    workers: Annotated[int, BeforeValidator(workers_of)] = Field(
        1, alias="PROXY_WORKERS", description="processes sharing the listening port; `auto` = cores"
    )
    max_body: Size = Field(
        128 * 1024**2,
        alias="PROXY_MAX_BODY",
        description="largest request body; a plain number is bytes",
    )
    max_message: Size = Field(
        16 * 1024**2,
        alias="PROXY_MAX_MESSAGE",
        description="largest message on a WebSocket, either way; a plain number is bytes",
    )
    socket_idle: Annotated[Seconds, Field(gt=0)] = Field(
        300,
        alias="PROXY_SOCKET_IDLE",
        description="seconds without a message either way after which a WebSocket is closed",
    )
    max_sockets: Annotated[int, BeforeValidator(sockets_of)] = Field(
        256, alias="PROXY_MAX_SOCKETS", description="WebSockets of one token open at a process"
    )
    spool: Size = Field(
        1024**3,
        alias="PROXY_SPOOL",
        description="temporary space for bodies whose `model` comes late, all together",
    )
    drain: Seconds = Field(
        30, alias="PROXY_DRAIN", description="seconds that SIGTERM lets running requests finish"
    )
    connect_timeout: Seconds = Field(
        10, alias="PROXY_CONNECT_TIMEOUT", description="seconds to reach upstream"
    )
    read_timeout: Seconds = Field(
        330,
        alias="PROXY_READ_TIMEOUT",
        description="seconds of silence from upstream (its own limit: 300); streams have no other",
    )
    body_timeout: Seconds = Field(
        60,
        alias="PROXY_BODY_TIMEOUT",
        description="seconds of silence from a client that is sending",
    )
    write_timeout: Seconds = Field(
        300,
        alias="PROXY_WRITE_TIMEOUT",
        description="seconds for which a client may take nothing of its answer",
    )
    poll_hold: Seconds = Field(
        1, alias="PROXY_POLL_HOLD", description="seconds that a task's state is said again, unasked"
    )
    polls_per_second: Annotated[float, BeforeValidator(rate_of)] = Field(
        POLLS_PER_SECOND,
        alias="PROXY_POLLS_PER_SECOND",
        description="task queries a second to that account, from all `PROXY_WORKERS` together",
    )
    staleness: Seconds = Field(
        300, alias="PROXY_STALENESS", description="seconds that known tokens outlive a store outage"
    )
    trusted_proxies: Annotated[TrustedProxies, BeforeValidator(proxies_of)] = Field(
        NOBODY,
        alias="PROXY_TRUSTED_PROXIES",
        description="networks whose `X-Forwarded-For` is believed (for `allow_ips`), and `unix` "
        "for whoever connects to a Unix socket; comma-separated list",
    )
    lease: Annotated[Seconds, Field(gt=0)] = Field(
        LEASE,
        alias="PROXY_LEASE",
        description="seconds until limits and budgets that a dead process held count no more",
    )
    first_look: Annotated[Seconds, Field(gt=0)] = Field(
        FIRST_LOOK,
        alias="PROXY_FIRST_LOOK",
        description="seconds until a task that nobody polls to its end is looked at here",
    )
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", alias="PROXY_LOG", description="`json`, `console`, or `auto`: console on a terminal"
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a process needs to know, read once: the variables and what they point at."""

    env: Environment
    store: str = field(repr=False)  # its URL may hold a password
    routing: Routing
    accounts: tuple[Account, ...]
    outbox: Path


RoutingReader: TypeAlias = Callable[[Path, Mapping[str, str]], Routing]


def load_settings(
    variables: Mapping[str, str], read_routing: RoutingReader = load_routing
) -> Settings:
    """Read the variables and the files they name. Raises `ConfigError` with all problems.

    `read_routing` reads the route table; whoever starts many proxies may have read it already.

    An empty variable counts as unset, as shells and compose files pass them. `accounts` is
    empty when neither a key nor `upstreams:` is given; whether that is a mistake depends on
    the command.
    """
    given = {name: value for name, value in variables.items() if value}
    routes = Path(given.get("PROXY_ROUTES") or PACKAGED)
    problems: list[str] = []
    env = _collect(partial(_environment, given), problems)
    routing = _collect(partial(read_routing, routes, given), problems)
    lists_accounts = routing is not None and bool(routing.accounts)
    key = None if lists_accounts else _collect(partial(_key, given), problems)
    if problems or env is None or routing is None:
        raise ConfigError(problems)
    accounts = routing.accounts
    if key:
        workspace, pace = env.workspace or None, env.polls_per_second
        accounts = (Account(ACCOUNT_NAME, env.upstream, key, workspace, polls_per_second=pace),)
    state = _state_directory(given)
    store = env.store or f"sqlite:///{state / 'proxy.db'}"
    outbox = Path(env.outbox) if env.outbox else state
    return Settings(env, store, routing, accounts, outbox)


def _collect(read: Callable[[], _Read], problems: list[str]) -> _Read | None:
    """What was read, or None and the reasons among the problems: the others are read anyway."""
    try:
        return read()
    except ConfigError as error:
        problems += error.problems
        return None


def _environment(given: Mapping[str, str]) -> Environment:
    try:
        return Environment.model_validate(given)
    except ValidationError as error:
        raise ConfigError([_told(detail) for detail in error.errors()]) from error


def _told(detail: ErrorDetails) -> str:
    context = detail.get("ctx", {})
    least = "above 0, up" if "gt" in context else "from 0"
    expected = context.get("expected", f"seconds, {least} to {_MOST_SECONDS}")
    return f"{detail['loc'][0]}: {context.get('error') or f'must be {expected}'}"


def _key(given: Mapping[str, str]) -> str | None:
    """The key of the account given by variables, the zero-configuration case, or none."""
    if "DASHSCOPE_API_KEY" in given:
        return checked_key(given["DASHSCOPE_API_KEY"], "DASHSCOPE_API_KEY", "the variable")
    if "DASHSCOPE_API_KEY_FILE" in given:
        return key_from_file(given["DASHSCOPE_API_KEY_FILE"], "DASHSCOPE_API_KEY_FILE")
    return None


def _state_directory(variables: Mapping[str, str]) -> Path:
    """Where the embedded store and the outbox live: systemd's choice, XDG's, or the usual place."""
    if "STATE_DIRECTORY" in variables:
        return Path(variables["STATE_DIRECTORY"].split(":")[0])
    base = variables.get("XDG_STATE_HOME") or f"{variables.get('HOME', '.')}/.local/state"
    return Path(base) / "dashscope-proxy"

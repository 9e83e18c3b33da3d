"""Where Redis is, read from one URL. Pure: it imports no redis and opens nothing.

    redis://[[user]:password@]host[:6379][/db]           one server
    rediss://…                                           the same over TLS
    unix://[[user]:password@]/path/to.sock[?db=1]        one server on this machine
    redis+sentinel://[…@]host[:26379],host…/MASTER[/db]  the master that Sentinel names
    redis+cluster://[…@]host[:6379],host…                Redis Cluster, found from any node

`rediss+sentinel` and `rediss+cluster` speak TLS. Options follow `?`: see `OPTIONS`. User and
password are percent-encoded; those before `@` are Redis's, Sentinel's own are options.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

REDIS_PORT = 6379
SENTINEL_PORT = 26379

OPTIONS = frozenset(
    {
        "db",  # number of the database, where the path does not say it
        "ssl_ca_certs",  # file of certificates to trust
        "ssl_certfile",  # our own certificate, and its key
        "ssl_keyfile",
        "ssl_cert_reqs",  # `none` trusts anybody: for a laboratory only
        "sentinel_username",
        "sentinel_password",
    }
)


class Mode(Enum):
    """How the servers behind one URL hang together."""

    SINGLE = "single"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


_SCHEMES = {
    "redis": (Mode.SINGLE, False),
    "rediss": (Mode.SINGLE, True),
    "unix": (Mode.SINGLE, False),
    "redis+sentinel": (Mode.SENTINEL, False),
    "rediss+sentinel": (Mode.SENTINEL, True),
    "redis+cluster": (Mode.CLUSTER, False),
    "rediss+cluster": (Mode.CLUSTER, True),
}


@dataclass(frozen=True, slots=True)
class Address:
    """A URL understood. Secrets stay out of its `repr`."""

    mode: Mode
    hosts: tuple[tuple[str, int], ...] = ()
    socket: str | None = None
    master: str = ""
    db: int = 0
    tls: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    options: Mapping[str, str] = field(default_factory=dict, repr=False)


def parse_redis_url(url: str) -> Address:
    """Understand a URL.

    Raises `ValueError` saying what is wrong. It repeats no part but the scheme: with a password
    that should have been percent-encoded, any other part may be a piece of the password.
    """
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES:
        msg = f"scheme {parts.scheme!r} is not one of {', '.join(sorted(_SCHEMES))}"
        raise ValueError(msg)
    mode, tls = _SCHEMES[parts.scheme]
    options = _options(parts.query)
    secrets, _, places = parts.netloc.rpartition("@")
    username, _, password = secrets.partition(":")
    socket, master, db = _path(parts, mode)
    return Address(
        mode=mode,
        hosts=() if socket else _hosts(places, mode),
        socket=socket,
        master=master,
        db=_database(options.get("db", "") or db, mode),
        tls=tls,
        username=unquote(username) or None,
        password=unquote(password) or None,
        options=options,
    )


def _options(query: str) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    if options.keys() - OPTIONS:
        msg = f"an option after `?` is not one of {', '.join(sorted(OPTIONS))}"
        raise ValueError(msg)
    return options


def _path(parts: SplitResult, mode: Mode) -> tuple[str | None, str, str]:
    """Socket path, master name and database, as far as the path says them."""
    if parts.scheme == "unix":
        if len(parts.path) < len("/x"):
            msg = "a unix URL needs the path of a socket: unix:///run/redis.sock"
            raise ValueError(msg)
        return unquote(parts.path), "", ""
    if mode is Mode.SENTINEL:
        master, _, db = parts.path.strip("/").partition("/")
        if not master:
            msg = "a sentinel URL needs the master's name: redis+sentinel://host:26379/mymaster"
            raise ValueError(msg)
        return None, unquote(master), db
    return None, "", parts.path.strip("/")


def _database(text: str, mode: Mode) -> int:
    if not text:
        return 0
    if not text.isdecimal():
        msg = "the database after the last `/` is not a number"
        raise ValueError(msg)
    if mode is Mode.CLUSTER and int(text):
        msg = "Redis Cluster has only database 0"
        raise ValueError(msg)
    return int(text)


def _hosts(places: str, mode: Mode) -> tuple[tuple[str, int], ...]:
    port = SENTINEL_PORT if mode is Mode.SENTINEL else REDIS_PORT
    hosts = tuple(_host(place, port) for place in places.split(","))
    if mode is Mode.SINGLE and len(hosts) > 1:
        msg = "several hosts need redis+sentinel:// or redis+cluster://"
        raise ValueError(msg)
    return hosts


def _host(place: str, default: int) -> tuple[str, int]:
    parts = urlsplit(f"//{place}")
    try:
        port = parts.port or default
    except ValueError:
        msg = "a port is not a number from 1 to 65535"
        raise ValueError(msg) from None
    if not parts.hostname:
        msg = "host is missing: write redis://host:6379"
        raise ValueError(msg)
    return parts.hostname, port

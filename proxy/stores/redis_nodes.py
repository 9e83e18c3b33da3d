"""Which Redis servers to talk to: one, the master that Sentinel names, or a cluster's primaries.

One object per session. A session pins its primaries: what is read comes from the same servers
whose pushes are heard, otherwise a grant could be remembered whose change nobody reports. When
the primaries change, the session ends and the next one starts from scratch.
"""

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

from redis.asyncio import Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.maint_notifications import MaintNotificationsConfig

from proxy.stores.redis_batch import Courier, Words
from proxy.stores.redis_slots import Slots, link_to
from proxy.stores.redis_url import Address, Mode

Client: TypeAlias = Redis | RedisCluster

SOCKET_TIMEOUT = 1.0
"""Seconds for a connection or an answer; above it a healthy Redis is as good as gone."""


class Nodes(Protocol):
    """The servers of one session. What it raises is redis's own, for `redis_session`."""

    @property
    def client(self) -> Client:
        """Where commands go, after `primaries`."""
        ...

    async def primaries(self) -> list[AbstractConnection]:
        """One connection for each primary, not connected yet, belonging to the caller."""
        ...

    async def send(self, commands: Sequence[Words]) -> list[object]:
        """Answers of scripts that leave together, `ResponseError`s among them.

        Each has a key, by which a cluster knows where it belongs. It may be repeated by itself,
        and so must be harmless when it is.
        """
        ...

    def is_current(self) -> bool:
        """Whether the client still reads from those primaries and no others. No I/O."""
        ...

    async def have_moved(self) -> bool:
        """Ask around whether the primaries are others by now. Raises when nobody can tell."""
        ...

    async def close(self) -> None:
        """Disconnect the client."""
        ...


def nodes_at(address: Address) -> Nodes:
    """The servers at an address. No I/O yet."""
    match address.mode:
        case Mode.SINGLE:
            return _Single(address)
        case Mode.SENTINEL:
            return _Sentinels(address)
        case Mode.CLUSTER:
            return _Cluster(address)


class _Single:
    def __init__(self, address: Address) -> None:
        place: dict[str, Any] = {"unix_socket_path": address.socket}
        if address.hosts:
            place = dict(zip(("host", "port"), address.hosts[0], strict=True))
        self.client: Redis = _server(address, **place)
        self._courier = Courier(_link(self.client))

    async def primaries(self) -> list[AbstractConnection]:
        await _demand_primary(self.client)
        await self._courier.connect()
        return [_link(self.client)]

    async def send(self, commands: Sequence[Words]) -> list[object]:
        return await self._courier.send(commands)

    def is_current(self) -> bool:
        return True

    async def have_moved(self) -> bool:
        # The primary of yesterday goes on answering over the connections it has; a new session
        # asks the name again who it is.
        try:
            return not await _is_primary(self.client)
        except (RedisConnectionError, RedisTimeoutError):
            return False  # whether it lives at all is for the listening connection to tell

    async def close(self) -> None:
        await self._courier.close()
        await self.client.aclose()


class _Sentinels:
    """The client is pinned to the master's address.

    redis-py's own Sentinel pool would go on reading from an old master over the connections it
    already has.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        settings = _sentinel_settings(address)
        self._sentinel = Sentinel(address.hosts, sentinel_kwargs=settings)  # type: ignore[no-untyped-call]
        self._master: tuple[str, int] | None = None
        self._client: Redis | None = None
        self._courier: Courier | None = None

    @property
    def client(self) -> Client:
        assert self._client is not None, "primaries() comes first"  # noqa: S101  # our own order
        return self._client

    async def primaries(self) -> list[AbstractConnection]:
        self._master = await self._sentinel.discover_master(self._address.master)
        host, port = self._master
        self._client = _server(self._address, host=host, port=port)
        self._courier = Courier(_link(self._client))
        await _demand_primary(self._client)
        await self._courier.connect()
        return [_link(self._client)]

    async def send(self, commands: Sequence[Words]) -> list[object]:
        assert self._courier is not None, "primaries() comes first"  # noqa: S101  # our own order
        return await self._courier.send(commands)

    def is_current(self) -> bool:
        return True

    async def have_moved(self) -> bool:
        try:
            master: tuple[str, int] = await self._sentinel.discover_master(self._address.master)
        except (RedisConnectionError, RedisTimeoutError):
            return False  # no Sentinel can tell, which says nothing about the master
        return master != self._master

    async def close(self) -> None:
        if self._courier is not None:
            await self._courier.close()
        if self._client is not None:
            await self._client.aclose()
        await self._sentinel.aclose()


class _Cluster:
    def __init__(self, address: Address) -> None:
        self.client: RedisCluster = RedisCluster(
            startup_nodes=[ClusterNode(host, port) for host, port in address.hosts],
            **_settings(address),
        )
        self._slots: Slots | None = None

    async def primaries(self) -> list[AbstractConnection]:
        await self.client.initialize()
        self._slots = Slots(self.client)
        return [link_to(node) for node in self.client.get_primaries()]

    async def send(self, commands: Sequence[Words]) -> list[object]:
        assert self._slots is not None, "primaries() comes first"  # noqa: S101  # our own order
        return await self._slots.send(commands)

    def is_current(self) -> bool:
        names = {node.name for node in self.client.get_primaries()}
        return self._slots is not None and self._slots.names == names

    async def have_moved(self) -> bool:
        # Redis Cluster pushes no change of its map, so somebody has to ask: an isolated primary
        # answers PING as if nothing had happened while the others elect its successor.
        await self.client.nodes_manager.initialize()
        return not self.is_current()

    async def close(self) -> None:
        if self._slots is not None:
            await self._slots.close()
        await self.client.aclose()
        # After an error that takes the client for not yet initialized, and closes nothing.
        for table in ("nodes_cache", "startup_nodes"):
            await self.client.nodes_manager.aclose(table)


async def _demand_primary(client: Redis) -> None:
    """Raises `RedisConnectionError` for a replica: what is written has to be read again."""
    if not await _is_primary(client):
        msg = "the server is a replica, which takes no writes"
        raise RedisConnectionError(msg)


async def _is_primary(client: Redis) -> bool:
    """Whether the server takes itself for a primary; yes when it may or can not tell."""
    try:
        role, *_ = await client.role()
    except ResponseError:
        return True
    return bool(role != b"slave")


def _server(address: Address, **place: Any) -> Redis:  # noqa: ANN401  # redis-py's keywords
    return Redis(db=address.db, **place, **_settings(address))


def _link(client: Redis) -> AbstractConnection:
    """A connection of its own to where the client's pool goes."""
    link: AbstractConnection = client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
    return link


def _settings(address: Address) -> dict[str, Any]:
    """What every connection to Redis has in common."""
    tls = {name: value for name, value in address.options.items() if name.startswith("ssl_")}
    return {
        "username": address.username,
        "password": address.password,
        "ssl": address.tls,
        "client_name": "dashscope-proxy",
        # Every command is idempotent, and one second try outlives a connection that the server
        # closed while it was idle.
        "retry": Retry(NoBackoff(), 1),
        **(tls if address.tls else {}),
        **_timeouts(),
    }


def _sentinel_settings(address: Address) -> dict[str, Any]:
    secrets = {
        name.removeprefix("sentinel_"): value
        for name, value in address.options.items()
        if name.startswith("sentinel_")
    }
    return {"ssl": address.tls, "retry": Retry(NoBackoff(), 0), **secrets, **_timeouts()}


def _timeouts() -> dict[str, Any]:
    return {
        "protocol": 3,  # RESP3 is what pushes travel on
        "socket_timeout": SOCKET_TIMEOUT,
        "socket_connect_timeout": SOCKET_TIMEOUT,
        "driver_info": None,  # no CLIENT SETINFO: one round trip less per connection
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }

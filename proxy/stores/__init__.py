"""REMEMBERS. Tokens, task owners, submits with a key: in Redis, one SQLite file, or memory."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from proxy.ports import Store
from proxy.stores.notices import OnChange, OnUnreadable, OutboxNotices, ignore

# Why imports stand inside functions here: the driver of a store that is not used is not loaded
# (a sidecar on SQLite starts without redis-py, which is the larger part of a second).

FORMS = "redis://host:6379, redis+sentinel://…, redis+cluster://…, sqlite:///path or memory:"


def open_store(
    url: str,
    *,
    prefix: str = "dsp:",
    max_staleness: float | None = None,
    on_change: OnChange = ignore,
    on_unreadable: OnUnreadable = ignore,
    outbox: Path | None = None,
    outbox_notices: OutboxNotices | None = None,
) -> Store:
    """The store a URL names, not connected yet: `await store.open()` comes next.

    What follows matters to Redis only: `prefix` (of keys), `max_staleness` (seconds a known
    grant outlives an outage, None for the default), and `outbox` (the directory for claims that
    Redis did not take; None: there is none, as for who makes no claims).

    Raises `ValueError` saying what is wrong with the URL and what would be right, without
    repeating it, because it may hold a password.
    """
    scheme, colon, _ = url.partition(":")
    if not colon:
        msg = f"store URL has no scheme; write {FORMS}"
        raise ValueError(msg)
    if scheme == "memory":
        return _memory(on_change, on_unreadable)
    if scheme == "sqlite":
        return _sqlite(url, on_change, on_unreadable)
    store = _redis(url, prefix, max_staleness, on_change, on_unreadable)
    return store if outbox is None else _outboxed(store, outbox, prefix, outbox_notices)


def _memory(on_change: OnChange, on_unreadable: OnUnreadable) -> Store:
    from proxy.stores.memory import MemoryStore  # noqa: PLC0415  # see above

    return MemoryStore(on_change=on_change, on_unreadable=on_unreadable)


def _sqlite(url: str, on_change: OnChange, on_unreadable: OnUnreadable) -> Store:
    from proxy.stores.sqlite import SqliteStore  # noqa: PLC0415  # see above

    parts = urlsplit(url)
    if parts.netloc or not parts.path.strip("/") or parts.query or parts.fragment:
        msg = "a SQLite store is one file; write sqlite:///path/from/root or sqlite:path/from/here"
        raise ValueError(msg)
    return SqliteStore(unquote(parts.path), on_change=on_change, on_unreadable=on_unreadable)


def _redis(
    url: str,
    prefix: str,
    max_staleness: float | None,
    on_change: OnChange,
    on_unreadable: OnUnreadable,
) -> Store:
    from proxy.stores.redis import MAX_STALENESS, RedisStore  # noqa: PLC0415  # see above

    try:
        return RedisStore(
            url,
            prefix=prefix,
            max_staleness=MAX_STALENESS if max_staleness is None else max_staleness,
            on_change=on_change,
            on_unreadable=on_unreadable,
        )
    except ValueError as error:
        msg = f"store URL: {error}; write {FORMS}"
        raise ValueError(msg) from None


def _outboxed(store: Store, directory: Path, prefix: str, notices: OutboxNotices | None) -> Store:
    from proxy.stores.outbox import SILENT, Outbox, Outboxed  # noqa: PLC0415  # see above

    notices = notices or SILENT
    return Outboxed(store, Outbox(directory, prefix, notices=notices), notices)

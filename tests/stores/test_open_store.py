"""One URL names the store."""

from pathlib import Path

import pytest

from proxy.stores import open_store
from proxy.stores.memory import MemoryStore
from proxy.stores.redis import RedisStore
from proxy.stores.sqlite import SqliteStore


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("memory:", MemoryStore),
        ("sqlite:///var/lib/proxy/store.db", SqliteStore),
        ("sqlite:store.db", SqliteStore),
        ("redis://localhost", RedisStore),
        ("rediss://localhost:6380/1", RedisStore),
        ("redis+sentinel://a,b/main", RedisStore),
        ("redis+cluster://a,b", RedisStore),
        ("unix:///run/redis.sock", RedisStore),
    ],
)
def test_schemes(url: str, kind: type) -> None:
    """Each scheme names its store, and nothing is connected by naming it."""
    assert isinstance(open_store(url), kind)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///a/b%20c.db", "/a/b c.db"),
        ("sqlite:////a/b.db", "//a/b.db"),  # the spelling of SQLAlchemy: the same file
        ("sqlite:b.db", str(Path.cwd() / "b.db")),
    ],
)
def test_sqlite_paths(url: str, path: str) -> None:
    """A path after `sqlite://` starts at the root, without slashes it starts here."""
    assert repr(open_store(url)) == f"SqliteStore({path!r}, up)"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "redis",
        "postgres://u:secret@h/db",
        "sqlite://",
        "sqlite://u:secret@host/file",
        "sqlite:///file?mode=secret",
        "redis://u:secret@h:port",
        "redis+sentinel://u:secret@h",
    ],
)
def test_bad_urls(url: str) -> None:
    """A URL that names no store says what would, and repeats no secret."""
    with pytest.raises(ValueError, match="write ") as caught:
        open_store(url)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None

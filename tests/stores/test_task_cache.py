"""The rules of one process's memory of task owners."""

from stores.harness import NOW, record

from proxy.stores.task_cache import TaskCache


def test_least_recently_used_goes() -> None:
    """Beyond the bound the task polled longest ago goes; polling keeps one young."""
    cache = TaskCache(limit=2)
    cache.put(record("a"))
    cache.put(record("b"))
    assert cache.get("a", "ada") == record("a")
    cache.put(record("c"))
    assert cache.get("b", "ada") is None
    assert cache.get("a", "ada") == record("a")
    assert cache.get("c", "ada") == record("c")


def test_put_again() -> None:
    """The same task twice takes one place."""
    cache = TaskCache(limit=2)
    for task_id in ("a", "b", "b", "b"):
        cache.put(record(task_id))
    assert cache.get("a", "ada") == record("a")


def test_observe() -> None:
    """A status is noted by the rule of the stores; unknown tasks stay unknown."""
    cache = TaskCache()
    cache.put(record("a"))
    cache.observe("a", "SUCCEEDED", NOW)
    cache.observe("a", "RUNNING", NOW + 1)
    cache.observe("b", "RUNNING", NOW)
    assert cache.get("a", "ada") == record("a", status="SUCCEEDED", updated=NOW)
    assert cache.get("b", "ada") is None


def test_strangers_find_nothing() -> None:
    """What is remembered for its owner is not there for others, and their asking keeps nothing."""
    cache = TaskCache(limit=2)
    cache.put(record("a"))
    cache.put(record("b"))
    assert cache.get("a", "eve") is None
    cache.put(record("c"))
    assert cache.get("a", "ada") is None
    assert cache.get("b", "ada") == record("b")


def test_has_seen() -> None:
    """Whether a status is news does not depend on whose the task is."""
    cache = TaskCache()
    cache.put(record("a", status="RUNNING"))
    assert cache.has_seen("a", "RUNNING")
    assert not cache.has_seen("a", "SUCCEEDED")
    assert not cache.has_seen("b", "RUNNING")

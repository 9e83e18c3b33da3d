"""Secrets and grants as they are made. The commands that make them are in `test_token.py`."""

import pytest

from proxy.cli.minting import (
    TokenError,
    adopt,
    digests,
    find,
    mint,
    new_grant,
    new_secret,
    rotate,
    seconds_of,
)
from proxy.core.policy import Grant, digest_of
from proxy.stores.memory import MemoryStore


def unchanged(grant: Grant) -> Grant:
    return grant


@pytest.fixture
async def store() -> MemoryStore:
    store = MemoryStore()
    await store.open()
    return store


def test_a_secret_cannot_be_guessed() -> None:
    """256 random bits behind the prefix clients expect, all of it fit for a header."""
    secrets = {new_secret() for _ in range(1000)}
    assert len(secrets) == 1000
    assert {len(secret) for secret in secrets} == {46}
    assert all(secret.startswith("sk-") and secret.isascii() for secret in secrets)


def test_a_grant_is_its_own_tenant() -> None:
    """Two tokens share tasks only when somebody said so."""
    first, second = new_grant("a", ["*"]), new_grant("a", ["*"])
    assert first.tenant == first.id != second.id == second.tenant
    assert new_grant("a", ["*"], "acme").tenant == "acme"
    assert first.scopes == {"inference"}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("15m", 900), ("12h", 43_200), ("30d", 2_592_000), ("4w", 2_419_200), ("0s", 0)],
)
def test_durations(text: str, seconds: int) -> None:
    """A number and one letter."""
    assert seconds_of(text) == seconds


async def test_only_a_digest_is_stored(store: MemoryStore) -> None:
    """The store never sees a secret."""
    secret = await mint(store, new_grant("a", ["*"]))
    assert list(store.tokens) == [digest_of(secret)]
    assert secret not in repr(store.tokens)


async def test_found_by_id_before_name(store: MemoryStore) -> None:
    """An id is exact; a name that looks like another token's id does not shadow it."""
    first = new_grant("a", ["*"])
    await mint(store, first)
    await mint(store, new_grant(first.id, ["*"]))
    ((_, found),) = await find(store, first.id)
    assert found == first


async def test_the_current_secret_comes_last(store: MemoryStore) -> None:
    """Whatever order the store gives them in, and however often it was rotated."""
    grant = new_grant("a", ["*"])
    digest = digest_of(await mint(store, grant))
    for _ in range(5):
        secret = await rotate(store, digest, grant, 3600)
        (_, old), (current, new) = await find(store, "a")
        assert current == digest_of(secret)
        assert new.expires is None
        assert old.expires is not None
        store.tokens = dict(reversed(store.tokens.items()))
        await store.remove_grant(digest)
        digest = current
    assert (await digests(store, "a")) == (grant.id, [digest])


async def test_adopted_again_nothing_changes(store: MemoryStore) -> None:
    """The same name, secret and wishes leave the same grant."""
    digest = digest_of("a secret from elsewhere")
    first = await adopt(store, digest, new_grant("a", ["*"]), keeps_tenant=True, bounded=unchanged)
    before = dict(store.tokens)
    second = await adopt(store, digest, new_grant("a", ["*"]), keeps_tenant=True, bounded=unchanged)
    assert first == second
    assert store.tokens == before
    with pytest.raises(TokenError, match="'a' already"):
        await adopt(store, digest, new_grant("b", ["*"]), keeps_tenant=True, bounded=unchanged)

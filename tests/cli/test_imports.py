"""What is imported is not searched for garbage, and what comes afterwards is."""

import gc
from collections.abc import Iterator
from contextlib import suppress

import pytest

from proxy.cli.imports import unsearched


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    """What a test froze is searched again."""
    was_enabled = gc.isenabled()
    yield
    gc.unfreeze()
    (gc.enable if was_enabled else gc.disable)()


@pytest.mark.parametrize("was_enabled", [True, False])
def test_the_search_goes_on_as_before(was_enabled: bool) -> None:  # noqa: FBT001 - pytest's way
    """Off meanwhile, and afterwards as it was, also after an import that fails."""
    (gc.enable if was_enabled else gc.disable)()
    with suppress(ImportError), unsearched():
        assert not gc.isenabled()
        raise ImportError
    assert gc.isenabled() is was_enabled


def test_what_was_made_within_is_left_alone() -> None:
    """Nobody looks at it again; at what comes later, somebody does."""
    with unsearched():
        within: list[object] = []
    later: list[object] = [within]
    searched = {id(one) for one in gc.get_objects()}
    assert id(within) not in searched
    assert id(later) in searched

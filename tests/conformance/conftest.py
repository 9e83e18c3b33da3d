"""Fixtures of the SDK tests, and the Node process of this folder."""

from collections.abc import Iterator

import pytest
from conformance.vercel import node
from sdk.conftest import photo, point

__all__ = ["photo", "point"]


@pytest.fixture(scope="module", autouse=True)
def _node() -> Iterator[None]:
    with node():
        yield

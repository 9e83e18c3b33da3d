"""Fixtures of the SDK tests."""

from sdk.conftest import photo, point

__all__ = ["photo", "point"]

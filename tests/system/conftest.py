"""The real SDK, which is configured by the attributes of its module."""

from collections.abc import Iterator

import dashscope
import pytest


@pytest.fixture
def sdk_restored() -> Iterator[None]:
    """Put back what a test points elsewhere."""
    before = dashscope.base_http_api_url, dashscope.api_key
    yield
    dashscope.base_http_api_url, dashscope.api_key = before

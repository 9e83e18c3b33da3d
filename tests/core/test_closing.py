"""What may be said at the end of a WebSocket."""

import pytest

from proxy.core.closing import speakable


@pytest.mark.parametrize(
    ("happened", "said"), [(1000, 1000), (4999, 4999), (1005, 1000), (1006, 1014), (1015, 1014)]
)
def test_codes_that_only_stand_for_something_are_not_sent(happened: int, said: int) -> None:
    """RFC 6455 section 7.4.1 forbids three of them on the wire; the others are said again."""
    assert speakable(happened) == said

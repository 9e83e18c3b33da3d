"""JSON as it is written here."""

from proxy.core.compact import compact


def test_it_is_short_and_readable() -> None:
    """No blanks, no escapes for letters of other alphabets, members in their order."""
    assert compact({"b": [1, None], "a": "視 频"}) == '{"b":[1,null],"a":"視 频"}'.encode()

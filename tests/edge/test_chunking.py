"""The chunked coding: what is written reads back as itself."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.edge.chunking import LAST_CHUNK, chunk


@given(st.lists(st.binary(min_size=1, max_size=40)))
def test_chunks_are_told_apart(chunks: list[bytes]) -> None:
    """Each has its size before it, in hexadecimal digits; none looks like the end."""
    wire, read = b"".join(map(chunk, chunks)) + LAST_CHUNK, []
    while not wire.startswith(LAST_CHUNK):
        size, _, rest = wire.partition(b"\r\n")
        read.append(rest[: int(size, 16)])
        wire = rest[int(size, 16) :].removeprefix(b"\r\n")
    assert read == chunks
    assert wire == LAST_CHUNK

"""The chunked coding (RFC 9112 section 7.1), as it is written to either side."""

LAST_CHUNK = b"0\r\n\r\n"
"""The end of a chunked body."""


def chunk(data: bytes) -> bytes:
    """Bytes as a chunk; there must be some."""
    return b"%x\r\n%b\r\n" % (len(data), data)

"""Bodies of answers that are read whole."""

from collections.abc import AsyncIterator, Callable

from proxy.core.errors import ProxyError


async def gather(
    chunks: AsyncIterator[bytes], most: int, too_large: Callable[[], ProxyError]
) -> bytes:
    """An answer's whole body. Raises what `too_large` makes beyond `most` bytes."""
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > most:
            raise too_large()
    return bytes(body)

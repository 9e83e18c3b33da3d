"""A call as aiohttp's client takes it, and aiohttp's exceptions as the port tells them."""

import aiohttp
from yarl import URL

from proxy.core.errors import ProxyError
from proxy.edge.failures import BROKEN, SILENT, out_of_reach, refused
from proxy.ports import Call


def url_of(call: Call) -> URL:
    """Where the call goes; the whole target as a path, or an empty query would lose its `?`."""
    root = URL(call.account.url, encoded=True)
    path = root.raw_path.rstrip("/") + call.target
    return URL.build(scheme=root.scheme, authority=root.raw_authority, path=path, encoded=True)


def translated(error: Exception) -> ProxyError:
    """What went wrong before an answer began."""
    match error:
        case aiohttp.ConnectionTimeoutError():
            return out_of_reach()
        case aiohttp.ServerTimeoutError() | TimeoutError():
            return SILENT.before()
        case aiohttp.ClientConnectorError():
            return refused()
        case _:
            return BROKEN.before()

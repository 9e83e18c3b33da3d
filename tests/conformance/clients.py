"""The columns of the table."""

from collections.abc import Mapping

V1, AIO, V2, V2_AIO = "1.x", "1.x aio", "v2", "v2 aio"
CURL, BYTES, CHUNKED, BY_HAND = "curl", "bytes", "chunked", "by hand"
VERCEL = "vercel"
OPENAI, OPENAI_AIO = "openai", "openai aio"
ANTHROPIC, ANTHROPIC_AIO = "anthropic", "anthropic aio"

CLIENTS: Mapping[str, str] = {
    V1: "/alibailian/api/v1",
    AIO: "/task/bailian",
    V2: "/api/v1",
    V2_AIO: "/alibailian/api/v1",
    CURL: "/task/bailian",
    BYTES: "/alibailian/api/v1",
    CHUNKED: "/api/v1",
    BY_HAND: "/alibailian/api/v1",
    VERCEL: "/alibailian/api/v1",
    OPENAI: "/compatible-mode/v1",
    OPENAI_AIO: "/alibailian/compatible-mode/v1",
    ANTHROPIC: "/alibailian/apps/anthropic",
    ANTHROPIC_AIO: "/apps/anthropic",
}
"""The clients, and the alias each speaks through: together they use all of them.

`bytes` sends a request a byte at a time, `chunked` in small chunks of the chunked coding.
"""


def upstream_base(client: str) -> str:
    """The path a client would have in its base URL without the proxy."""
    return CLIENTS[client].replace("/task/bailian", "/api/v1").removeprefix("/alibailian")

"""Legal HTTP that no SDK sends, written by hand: what a proxy must not trip over."""

import asyncio
from collections.abc import Sequence
from urllib.parse import urlsplit

from conformance.clients import BY_HAND
from conformance.http import whole_answers
from conformance.operations import Answers, Place, Run


def by_hand(*requests: bytes, at_once: bool = False) -> dict[str, Run]:
    """These requests on one connection, each after its predecessor's answer, or all `at_once`.

    A body is sent after the invitation where its head waits for one with `Expect:`.
    `%BASE%`, `%HOST%` and `%KEY%` stand for what the place says.
    """

    async def run(at: Place) -> Answers:
        url = urlsplit(at.root)
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        filled = [_filled(request, at) for request in requests]
        sizes = []
        for group in [filled] if at_once else [[request] for request in filled]:
            for part in group:
                head, blank, body = part.partition(b"\r\n\r\n")
                writer.write(head + blank)
                if b"\r\nExpect:" in head:
                    await reader.readuntil(b"\r\n\r\n")
                writer.write(body)
            sizes += await _answered(reader, group)
        writer.close()
        return sizes

    return {BY_HAND: run}


def _filled(request: bytes, at: Place) -> bytes:
    words = {
        b"%BASE%": at.base.encode(),
        b"%HOST%": urlsplit(at.root).netloc.encode(),
        b"%KEY%": at.key.encode(),
    }
    for word, value in words.items():
        request = request.replace(word, value)
    return request


async def _answered(reader: asyncio.StreamReader, requests: Sequence[bytes]) -> list[int]:
    """Read an answer for each; their sizes."""
    methods = [request.partition(b" ")[0].decode() for request in requests]
    return [len(answer.body) for answer in await whole_answers(reader, methods)]


def request(
    method: str, path: str, *fields: bytes, body: bytes | None = None, version: str = "1.1"
) -> bytes:
    """A request below the base, with Host, key and, for a body, its length."""
    lines = [f"{method} %BASE%/{path} HTTP/{version}".encode(), b"Host: %HOST%", *fields]
    lines.append(b"Authorization: Bearer %KEY%")
    if body is not None:
        lines += [b"Content-Type: application/json", b"Content-Length: %d" % len(body)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + (body or b"")


def chunked(path: str, *parts: bytes) -> bytes:
    """A POST whose coded body stands there byte for byte."""
    head = [
        f"POST %BASE%/{path} HTTP/1.1".encode(),
        b"Host: %HOST%",
        b"Authorization: Bearer %KEY%",
        b"Content-Type: application/json",
        b"Transfer-Encoding: chunked",
    ]
    return b"\r\n".join(head) + b"\r\n\r\n" + b"".join(parts)


def coded(data: bytes) -> list[bytes]:
    """The data as one chunk, and the last one without its end."""
    return [b"%x\r\n%b\r\n" % (len(data), data), b"0\r\n"]

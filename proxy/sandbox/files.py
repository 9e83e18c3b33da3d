"""Result files: links signed and expiring like the real ones, and what they lead to.

A link carries `Signature`, so that a test can search logs for it and find nothing.
The files are placeholders: a one-pixel PNG, an MP4 without a picture, a second of silence.
"""

import base64
import gzip
import hmac
import json
import struct
import zlib
from collections.abc import Callable, Mapping
from urllib.parse import quote

from proxy.sandbox.answers import Answer

RESULT_LIFE = 24 * 3600
"""Seconds a link stays good (protocol section 5)."""

_SECRET = b"the sandbox has nothing to hide"


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png() -> bytes:
    """One grey pixel."""
    return (
        b"\x89PNG\r\n\x1a\n"
        + _png_chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
        + _png_chunk(b"IDAT", zlib.compress(b"\x00\x80"))
        + _png_chunk(b"IEND", b"")
    )


def _mp4() -> bytes:
    """File type and a media box that says what it is."""
    brand = b"isom\x00\x00\x02\x00isommp42"
    words = b"placeholder made by the sandbox; not a real video"
    boxes = ((b"ftyp", brand), (b"mdat", words))
    return b"".join(struct.pack(">I", 8 + len(data)) + kind + data for kind, data in boxes)


def _wav() -> bytes:
    """One second of silence, 8 kHz, 8 bit, mono."""
    samples = b"\x80" * 8000
    form = struct.pack("<HHIIHH", 1, 1, 8000, 8000, 1, 8)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form
    body += b"data" + struct.pack("<I", len(samples)) + samples
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _transcription() -> bytes:
    text = "Hello from the sandbox."
    sentence = {"sentence_id": 1, "begin_time": 0, "end_time": 1000, "text": text}
    transcript = {"channel_id": 0, "text": text, "sentences": [sentence]}
    properties = {"audio_format": "wav", "original_sampling_rate": 8000}
    return json.dumps({"properties": properties, "transcripts": [transcript]}).encode()


CONTENTS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "png": ("image/png", _png),
    "mp4": ("video/mp4", _mp4),
    "wav": ("audio/x-wav", _wav),
    "json": ("application/json", _transcription),
    "gz": ("application/gzip", lambda: gzip.compress(b'{"text_index": 0, "embedding": []}\n')),
    "glb": ("model/gltf-binary", lambda: b"glTF\x02\x00\x00\x00\x0c\x00\x00\x00"),
}
"""Content type and content by the ending of the name."""


def sample_audio() -> bytes:
    """A second of silence as a WAV file."""
    return _wav()


class ResultFiles:
    """Makes links under `<base>/results/` and serves them until they expire."""

    def __init__(self, base: Callable[[], str], clock: Callable[[], float]) -> None:
        self._base = base
        self._clock = clock

    def link(self, name: str) -> str:
        """A signed URL for a file of that name (`<task id>/0.png`)."""
        path = f"/results/{quote(name)}"
        expires = int(self._clock()) + RESULT_LIFE
        signature = quote(_sign(path, expires), safe="")
        query = f"Expires={expires}&OSSAccessKeyId=LTAI-sandbox&Signature={signature}"
        return f"{self._base()}{path}?{query}"

    def serve(self, path: str, query: Mapping[str, str]) -> Answer:
        """The file behind a link, or the object store's XML refusal."""
        expires = query.get("Expires", "")
        if not (expires.isdecimal() and expires.isascii()):
            return object_store_refusal(403, "AccessDenied", "The link carries no Expires.")
        if not hmac.compare_digest(_sign(path, int(expires)), query.get("Signature", "")):
            return object_store_refusal(403, "SignatureDoesNotMatch", "The signature is wrong.")
        if int(expires) < self._clock():
            return object_store_refusal(403, "AccessDenied", "Request has expired.")
        content_type, content = CONTENTS.get(path.rpartition(".")[2], CONTENTS["json"])
        return Answer(200, content_type, (content(),))


def object_store_refusal(status: int, code: str, message: str) -> Answer:
    """An error as object stores word it: XML, not the native envelope."""
    text = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    xml = f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'
    return Answer(status, "application/xml", (xml.encode(),))


def _sign(path: str, expires: int) -> str:
    digest = hmac.digest(_SECRET, f"{path}\n{expires}".encode("utf-8", "surrogateescape"), "sha1")
    return base64.b64encode(digest).decode()

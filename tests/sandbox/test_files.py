"""Result links and what they lead to."""

import struct
from urllib.parse import parse_qsl, urlsplit

import pytest

from proxy.sandbox.answers import Answer
from proxy.sandbox.files import CONTENTS, RESULT_LIFE, ResultFiles


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def _open(files: ResultFiles, link: str) -> Answer:
    parts = urlsplit(link)
    return files.serve(parts.path, dict(parse_qsl(parts.query)))


@pytest.mark.parametrize("ending", CONTENTS)
def test_a_link_opens_for_a_day(ending: str) -> None:
    """A link carries a signature, opens its kind of file, and expires."""
    clock = Clock()
    files = ResultFiles(lambda: "http://sandbox", clock)
    link = files.link(f"task/0.{ending}")
    assert link.startswith("http://sandbox/results/task/0.")
    assert "Signature=" in link
    answer = _open(files, link)
    assert (answer.status, answer.content_type) == (200, CONTENTS[ending][0])
    assert answer.pieces[0]
    clock.now += RESULT_LIFE + 1
    assert _open(files, link).status == 403


BENDS = [("/0.png", "/1.png"), ("Expires=", "Expires=9"), ("Expires=", "Expires=%D9%A1")]


@pytest.mark.parametrize(("old", "new"), [*BENDS, ("Expires=", "x="), ("Signature=", "x=")])
def test_a_link_cannot_be_bent(old: str, new: str) -> None:
    """Another path, another expiry or no signature is 403 in XML."""
    files = ResultFiles(lambda: "http://sandbox", Clock())
    answer = _open(files, files.link("task/0.png").replace(old, new))
    assert (answer.status, answer.content_type) == (403, "application/xml")


def test_the_files_are_what_they_say() -> None:
    """PNG, MP4 and WAV start like PNG, MP4 and WAV; the MP4's boxes add up."""
    png, mp4, wav = (CONTENTS[ending][1]() for ending in ("png", "mp4", "wav"))
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert wav.startswith(b"RIFF")
    first = int(struct.unpack(">I", mp4[:4])[0])
    assert mp4[4:8] == b"ftyp"
    assert struct.unpack(">I", mp4[first : first + 4])[0] + first == len(mp4)

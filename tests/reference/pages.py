"""The request samples of pages, found by what they look like and run by the real programs.

Pages of our own (`samples/`) are always here; the public ones, whose text is not ours to copy,
lie beside the checkout where the project is worked on.
"""

import asyncio
import json
import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

OWN = Path(__file__).parent / "samples"
PUBLIC = Path(__file__).parents[3] / "shared" / "reference"

TRANSLATED = {"51kik-unified-video-bailian.txt", "unified-video.txt"}
"""Pages of the unified façade, whose bodies are translated and not passed through."""

PATTERNS: Mapping[str, str] = {
    "json": r"Request Example\s+json\s+(\{\n.*?\n\})",
    "curl": r"(curl .*?\}')",
    "fetch": r"(fetch\(.*?\.then\(console\.log\))",
    "requests": r"(import requests.*?print\(resp\.json\(\)\))",
}

PROGRAMS = {"curl": "bash", "fetch": "node", "requests": sys.executable, "json": "curl"}
PACKAGES = {"bash": "bash", "node": "nodejs", "curl": "curl"}
"""What runs a sample, and the Debian package it is in."""

JSON = ("-H", "Content-Type: application/json")


@dataclass(frozen=True)
class Sample:
    """One request sample, as it stands on its page; `path` is where the page sends it."""

    page: str
    language: str
    text: str
    path: str

    def __str__(self) -> str:
        return f"{self.page.removesuffix('.txt')}: {self.language}"

    @property
    def shell_reads_it(self) -> bool:
        """Whether an even number of single quotes leaves a shell with a whole command.

        No shell honours a backslash between them.
        """
        return self.language != "curl" or self.text.count("'") % 2 == 0

    def aimed(self, url: str, token: str) -> str:
        """The sample with the host and the token replaced, and nothing else."""
        text = re.sub(r"https://[^/'\"\s]+(?=/(task|alibailian|video)/)", url, self.text)
        return re.sub(r"\$?YOUR_TOKEN|<token>|sk-x{8}", token, text)

    async def run(self, url: str, token: str, home: Path) -> tuple[int, str]:
        """Run it and return the exit status and what it printed."""
        text = self.aimed(url, token)
        command = {
            "curl": ["-c", text],
            "fetch": ["-e", text],
            "requests": ["-c", text],
            "json": [
                *JSON,
                "-H",
                f"Authorization: Bearer {token}",
                "--data-raw",
                text,
                url + self.path,
            ],
        }[self.language]
        environment = {"PATH": os.environ["PATH"], "HOME": str(home), "NO_PROXY": "*"}
        process = await asyncio.create_subprocess_exec(
            program(PROGRAMS[self.language]),
            *command,
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        return process.returncode or 0, (out + (err if process.returncode else b"")).decode()


def program(name: str) -> str:
    """Where a program is. A missing one fails the test: nothing is skipped here."""
    found = shutil.which(name)
    if found is None:
        message = f"{name} is missing: install Debian's package `{PACKAGES[name]}`"
        raise AssertionError(message)
    return found


def samples_of(page: Path) -> list[Sample]:
    """The samples of one page, in the order of `PATTERNS`; its first address is the endpoint."""
    text = page.read_text(encoding="utf-8")
    address = re.search(r"https://[^/'\"\s]+(/[^'\"\s]+)", text)
    path = address[1] if address else ""
    return [
        Sample(page.name, language, found, path)
        for language, pattern in PATTERNS.items()
        for found in re.findall(pattern, text, re.DOTALL)
    ]


def pages() -> list[Path]:
    """Our own pages, and the public ones where they are."""
    return sorted(OWN.glob("*.txt")) + sorted(PUBLIC.glob("*.txt"))


def without_comments(body: bytes) -> bytes:
    """A body whose comments stand on lines of their own, without them."""
    return re.sub(rb"(?m)^\s*//.*$", b"", body)


def meaning(body: bytes) -> object:
    """What a body says, told to be strict JSON."""
    return json.loads(body)

"""The Vercel provider on Node: one process for all its operations (`node/drive.mjs`)."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conformance.clients import VERCEL
from conformance.operations import Answers, Place, Run

FOLDER = Path(__file__).parent / "node"

OPERATIONS = (
    "chat",
    "stream",
    "embedding",
    "embeddings",
    "video",
    "video of an image",
    "video of wan3",
    "video that fails",
)
"""What `node/drive.mjs` can do."""

_running: list[subprocess.Popen[str]] = []


@contextmanager
def node() -> Iterator[None]:
    """Keep a Node process while operations run; it is started by the first of them."""
    try:
        yield
    finally:
        while _running:
            process = _running.pop()
            process.communicate(timeout=10)  # closes its input, which ends it
            assert process.returncode == 0


def vercel(operation: str) -> dict[str, Run]:
    """An operation of `node/drive.mjs`; its value or what it raised, as JSON."""

    def run(at: Place) -> Answers:
        pointed = {
            "operation": operation,
            "root": at.root,
            "base": at.base,
            "compatible": at.base.replace("/api/v1", "/compatible-mode/v1"),
            "key": at.key,
        }
        process = _process()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(pointed) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        assert line, "node/drive.mjs ended; why stands above"
        return [json.loads(line)]

    return {VERCEL: run}


def _process() -> subprocess.Popen[str]:
    if not _running:
        assert (FOLDER / "node_modules").is_dir(), (
            f"the packages of the provider are missing: `make tools`, or `npm ci` in {FOLDER}"
        )
        command = ["node", str(FOLDER / "drive.mjs")]
        _running.append(
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
    return _running[0]

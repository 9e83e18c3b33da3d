"""A tiny round of the relay: everybody is started, asked and stopped."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

CONTESTANTS = {
    *("direct", "nginx", "HAProxy", "Caddy", "naive aiohttp", "bare relay"),
    *("proxy with limits", "proxy without limits"),
}


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)


@pytest.mark.alone
def test_a_round_of_the_relay(tmp_path: Path) -> None:
    """The table has its rows and their targets, the JSON every contestant's round."""
    file = tmp_path / "results.json"
    done = bench("--only", "relay", "--rounds", "1", "--seconds", "1", "--json", str(file))
    assert done.returncode == 0, done.stderr
    assert "≤ 2.5 × nginx" in done.stdout
    relay = json.loads(file.read_text("utf-8"))["sections"]["relay"]
    assert relay["rounds"].keys() == CONTESTANTS
    assert all(one["rps"] > 1 and one["cpu"] > 1 for (one,) in relay["rounds"].values())
    assert {one["limit"] for one in relay["findings"]} == {2.5, 0.6, 1.5, None}


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--only", "relay,nothing"], "no row is called nothing"),
        (["--only", "gate", "--readme"], "the README has all rows"),
    ],
)
def test_what_is_not_understood_is_said(words: list[str], complaint: str) -> None:
    """Before anything is measured."""
    done = bench(*words)
    assert done.returncode == 2
    assert complaint in done.stderr

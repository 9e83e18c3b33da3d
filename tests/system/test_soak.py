"""Three hundred streams at a time, for seconds what `make soak` does for minutes."""

import asyncio
import json
import sys

import pytest

KIB = 1024
IDLE = 64 * KIB
"""Bytes that the proxy may grow by for a stream that says nothing: twice what it does."""

BUSY = 256 * KIB
"""Bytes for one of 300 streams of which 60 are more than their readers take."""

MINUTE = 60


@pytest.mark.alone
async def test_three_hundred_streams() -> None:
    """No chunk lost, merged or split, all streams end, memory is bounded, nothing is left."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.soak", "--seconds", "8", "--json"),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(2 * MINUTE):
            out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    report = json.loads(out)
    assert report["streams"] == 300
    assert report["events"] > 300 * 8 * 5
    assert report["slow_share"] < 0.95, "nobody was slow"
    assert (report["lost"], report["merged"], report["split"]) == (0, 0, 0)
    # A slow reader's stream stops anywhere, also within a chunk, whose beginning goes ahead.
    assert report["split_slow"] < report["events"] / 50
    assert report["unfinished"] == 0
    assert report["idle_memory"] < IDLE
    assert report["memory"] < BUSY
    assert report["left_descriptors"] == 0

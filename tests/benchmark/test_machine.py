"""What the kernel is asked about processes."""

import os
import subprocess
import sys
import time

from bench.machine import (
    MIB,
    busy_seconds,
    cpu_seconds,
    family,
    forget_peak,
    peak,
    resident,
    spent_when_idle,
)
from bench.processes import started


def test_cpu_time_is_this_process_own() -> None:
    """As the process itself knows it, to well under a tick of the clock."""
    before, own = cpu_seconds(os.getpid()), sum(os.times()[:2])
    ends = time.monotonic() + 10
    while cpu_seconds(os.getpid()) < before + 0.05:
        assert time.monotonic() < ends
        sum(range(1000))
    assert sum(os.times()[:2]) - own < 0.5


def test_what_is_done_after_the_answer_counts() -> None:
    """A process is read when it works no more, not when it has said that it is done."""
    script = """
import sys, time
print("answered", flush=True)
time.sleep(0.1)
while time.process_time() < 0.5: pass
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as late:
        assert late.stdout is not None
        assert late.stdout.readline() == "answered\n"
        assert cpu_seconds(late.pid) < 0.4
        assert spent_when_idle(late.pid) > 0.49


def test_a_core_is_as_busy_as_who_works_there() -> None:
    """At least: others may work there too."""
    core = min(os.sched_getaffinity(0))
    script = "import time\nwhile time.process_time() < 0.5: pass"
    before = busy_seconds(core)
    with started(sys.executable, "-c", script, core=core) as running:
        assert running.wait(30) == 0
    assert 0.4 < busy_seconds(core) - before < 30


def test_children_count() -> None:
    """Nginx's worker does its work."""
    script = "import subprocess,sys; subprocess.run([sys.executable,'-c','input()'])"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE) as parent:
        ends = time.monotonic() + 10
        while len(list(family(parent.pid))) < 2:
            assert time.monotonic() < ends
            time.sleep(0.01)
        assert resident(parent.pid) > 2 * MIB


def test_a_peak_begins_anew() -> None:
    """What a process held and let go is seen, and then forgotten."""
    forget_peak(os.getpid())
    before = peak(os.getpid())
    held = bytearray(b"x" * 64 * MIB)
    held.clear()
    assert peak(os.getpid()) - before > 32 * MIB
    forget_peak(os.getpid())
    assert peak(os.getpid()) - before < 32 * MIB


def test_what_is_started_runs_where_it_is_told_and_ends() -> None:
    """On its core, in a session of its own, until the block ends."""
    core = max(os.sched_getaffinity(0))
    script = "import os,time; print(sorted(os.sched_getaffinity(0)), flush=True); time.sleep(60)"
    with started(sys.executable, "-c", script, core=core, out=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == f"[{core}]\n"
        assert running.poll() is None
    assert running.poll() is not None

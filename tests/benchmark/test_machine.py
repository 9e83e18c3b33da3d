"""What the kernel is asked about processes."""

import os
import subprocess
import sys

from bench.machine import MIB, cpu_seconds, family, forget_peak, peak, resident
from bench.processes import started


def test_cpu_time_is_this_process_own() -> None:
    """As the process itself knows it, to well under a tick of the clock."""
    before, own = cpu_seconds(os.getpid()), sum(os.times()[:2])
    while cpu_seconds(os.getpid()) < before + 0.05:
        sum(range(1000))
    assert sum(os.times()[:2]) - own < 0.5


def test_children_count() -> None:
    """Nginx's worker does its work."""
    script = "import subprocess,sys; subprocess.run([sys.executable,'-c','input()'])"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE) as parent:
        while len(list(family(parent.pid))) < 2:
            pass
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

"""The machine: which core is whose, and what the kernel says that a process has used."""

import os
import platform
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Cores:
    """`subject` is the core of whoever is measured, `load` of everything else.

    `all` are the numbers of those this process may use. With a single one both are the same, and
    whoever is measured waits for who asks.
    """

    subject: int
    load: int
    all: tuple[int, ...]


def cores() -> Cores:
    """The last core for who is measured: interrupts tend to come to the first."""
    mine = tuple(sorted(os.sched_getaffinity(0)))
    return Cores(mine[-1], mine[0], mine)


def family(pid: int) -> Iterator[int]:
    """A process and all that descend from it."""
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text("ascii").split():
            yield from family(int(child))


def cpu_seconds(pid: int) -> float:
    """CPU time that a process and its children have used so far, to the nanosecond.

    Of all their threads, those that have ended included: `clock_getcpuclockid(3)`, whose number
    Linux makes of the process id like this. `/proc/PID/stat` counts the same in ticks of 10 ms.
    """
    return sum(time.clock_gettime_ns((~one << 3) | 2) for one in family(pid)) / 1e9


STILL = 0.3
"""Seconds without work after which a process is idle: three times what a settler waits."""

IDLE = 0.02
"""The share of a core up to which it is: timers go on."""

UNREST = 5.0
"""Seconds after which it is not waited for any more."""


def spent_when_idle(pid: int) -> float:
    """`cpu_seconds` once a process does nothing any more: what it was asked may leave it work.

    Settlements, gauges and log lines come after the answer, and would else be on nobody's account.
    """
    ends, spent = time.monotonic() + UNREST, cpu_seconds(pid)
    while time.monotonic() < ends:
        time.sleep(STILL)
        before, spent = spent, cpu_seconds(pid)
        if spent - before < IDLE * STILL:
            break
    return spent


def busy_seconds(core: int) -> float:
    """Seconds that a core has worked so far, for whomever, in ticks of 10 ms: proc(5), `stat`."""
    lines = Path("/proc/stat").read_text("ascii").splitlines()
    line = next(line for line in lines if line.startswith(f"cpu{core} "))
    _, user, nice, system, _, _, *interrupts = line.split()[:8]
    return sum(map(int, (user, nice, system, *interrupts))) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> int:
    """Bytes of memory that a process and its children hold now."""
    return sum(
        int(Path(f"/proc/{one}/statm").read_text("ascii").split()[1]) * PAGE for one in family(pid)
    )


def forget_peak(pid: int) -> None:
    """Let `peak` begin anew: proc(5), `clear_refs`."""
    for one in family(pid):
        Path(f"/proc/{one}/clear_refs").write_text("5", "ascii")


def peak(pid: int) -> int:
    """The most bytes that a process and its children held since `forget_peak`, each by itself."""
    return sum(_status(one, "VmHWM") << 10 for one in family(pid))


def _status(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def descriptors(pid: int) -> int:
    """How many files and sockets a process has open."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def load_average() -> float:
    """Over the last minute."""
    return os.getloadavg()[0]


BUSY = 0.5
"""Load average over the last minute from which somebody else works here too."""


def warnings(cores: Cores) -> list[str]:
    """Why figures from here, and now, should not be believed."""
    found, load = [], load_average()
    if cores.subject == cores.load:
        found.append("There is a single core: whoever is measured waits for who asks.")
    if load > BUSY:
        found.append("The machine was busy before: believe nothing but large ratios.")
    return found


def kind(count: int) -> str:
    """The machine in a few words; `count` is how many of its cores may be used."""
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "")
    virtual = " VM" if any("hypervisor" in line for line in lines) else ""
    return (
        f"{count}-core {platform.machine()}{virtual}, {model}, Python {platform.python_version()}"
    )


def raise_limits() -> None:
    """As many open files as this user may have: two thousand connections are some."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

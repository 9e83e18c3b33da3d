"""Load: what is asked, and wrk, which asks it over and over."""

import json
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.contestants import Contestant
from bench.machine import MIB, busy_seconds, cpu_seconds, resident, spent_when_idle
from bench.samples import Figures

BODY = json.dumps(
    {
        "model": "wan2.6-t2v",
        "input": {"prompt": "An epic cute scene. " * 43},
        "parameters": {"size": "1280*720", "prompt_extend": True, "duration": 5},
    }
)
"""About 1 KB, good for a call and for a submit."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One request."""

    method: str
    path: str
    body: str = ""


CALL = Ask("POST", "/api/v1/services/aigc/text-generation/generation", BODY)
SUBMIT = Ask("POST", "/api/v1/services/aigc/video-generation/video-synthesis", BODY)


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk saw: requests answered, seconds, latency in milliseconds."""

    requests: int
    seconds: float
    p50: float
    p99: float


# wrk says more precisely in Lua what it found than in words for people.
SCRIPT = """
wrk.method, wrk.body = "%(method)s", %(body)s
wrk.headers["Content-Type"] = "application/json"
local asked, turn = {}, 0
init = function(args)
  for token in io.lines("%(tokens)s") do
    asked[#asked + 1] = wrk.format(nil, nil, {
      ["Authorization"] = "Bearer " .. token, ["Content-Type"] = "application/json"})
  end
end
request = function() turn = turn %% #asked + 1; return asked[turn] end
done = function(summary, latency)
  local bad = summary.errors
  io.write(string.format(
    '{"requests": %%d, "microseconds": %%d, "p50": %%d, "p99": %%d, "late": %%d, "failed": %%d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    bad.timeout, bad.connect + bad.read + bad.write + bad.status))
end
"""


def script(ask: Ask, tokens: Path) -> str:
    """Wrk's script for this request, with each line of a file as the token in turn."""
    return SCRIPT % {
        "method": ask.method,
        "body": f"[==[{ask.body}]==]" if ask.body else "nil",
        "tokens": tokens,
    }


def parsed(printed: str) -> Load:
    """What wrk printed, as the script has it.

    Raises `TimeoutError` where a request was not answered in time, as happens on a machine where
    somebody else works too, and `RuntimeError` where one failed.
    """
    line = next((one for one in printed.splitlines() if one.startswith("{")), "")
    if not line:
        raise RuntimeError(f"wrk says nothing: {printed}")
    told = json.loads(line)
    if told["failed"] or not told["requests"]:
        raise RuntimeError(f"what fails costs something else: {line}")
    if told["late"]:
        raise TimeoutError(f"what waits costs something else: {line}")
    return Load(told["requests"], told["microseconds"] / 1e6, told["p50"] / 1e3, told["p99"] / 1e3)


def wrk(
    url: str, ask: Ask, tokens: Sequence[str], *, connections: int, seconds: float, core: int
) -> Load:
    """Ask for so long over so many connections, from one core."""
    with tempfile.TemporaryDirectory() as folder:
        lines, program = Path(folder) / "tokens", Path(folder) / "ask.lua"
        lines.write_text("\n".join(tokens), "utf-8")
        program.write_text(script(ask, lines), "utf-8")
        command = [
            *("taskset", "--cpu-list", str(core), "wrk", "--threads", "1"),
            *("--connections", str(connections), "--duration", f"{max(1, round(seconds))}s"),
            *("--timeout", "10s", "--script", str(program), url + ask.path),
        ]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds + 30, check=False
        )
    return parsed(done.stdout + done.stderr)


TRIES = 3
"""Of one turn, where requests are not answered in time."""


@dataclass(frozen=True, slots=True)
class Loader:
    """Asks one thing of everybody: what it costs them, in microseconds of CPU per request.

    `store` is a process on the load's core that works for them, whose CPU is told besides.
    """

    ask: Ask
    core: int
    seconds: float
    connections: int = 64
    tokens: Sequence[str] = ()
    store: int | None = None

    def figures(self, contestant: Contestant) -> Figures:
        """What one turn brings; once more where a request was not answered in time.

        `cpu` in microseconds a request, `rps`, `p50` and `p99` in milliseconds, `memory` in MiB;
        `load` is the share of its core, in percent, at which the load's side worked; with a store
        `store cpu`, in microseconds a request.
        """
        for _ in range(TRIES - 1):
            with suppress(TimeoutError):
                return self._turn(contestant)
        return self._turn(contestant)

    def _turn(self, contestant: Contestant) -> Figures:
        before, stored = cpu_seconds(contestant.pid), self._stored()
        begun, busy = time.monotonic(), busy_seconds(self.core)
        load = self._asked(contestant)
        share = (busy_seconds(self.core) - busy) / (time.monotonic() - begun)
        spent = spent_when_idle(contestant.pid) - before
        figures = {
            "cpu": spent / load.requests * 1e6,
            "rps": load.requests / load.seconds,
            "p50": load.p50,
            "p99": load.p99,
            "memory": resident(contestant.pid) / MIB,
            "load": 100 * share,
        }
        if self.store:
            figures["store cpu"] = (self._stored() - stored) / load.requests * 1e6
        return figures

    def _stored(self) -> float:
        return cpu_seconds(self.store) if self.store else 0.0

    def _asked(self, contestant: Contestant) -> Load:
        return wrk(
            contestant.url,
            self.ask,
            self.tokens or [contestant.token],
            connections=self.connections,
            seconds=self.seconds,
            core=self.core,
        )

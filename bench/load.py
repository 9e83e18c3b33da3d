"""Load: what is asked, and wrk, which asks it over and over."""

import json
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.contestants import Contestant
from bench.machine import MIB, cpu_seconds, resident
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
    '{"requests": %%d, "microseconds": %%d, "p50": %%d, "p99": %%d, "failed": %%d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    bad.connect + bad.read + bad.write + bad.status + bad.timeout))
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
    """What wrk printed, as the script has it. Raises `RuntimeError` where a request failed."""
    line = next((one for one in printed.splitlines() if one.startswith("{")), "")
    if not line:
        raise RuntimeError(f"wrk says nothing: {printed}")
    told = json.loads(line)
    if told["failed"] or not told["requests"]:
        raise RuntimeError(f"what fails costs something else: {line}")
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


@dataclass(frozen=True, slots=True)
class Loader:
    """Asks one thing of everybody: what it costs them, in microseconds of CPU per request."""

    ask: Ask
    core: int
    seconds: float
    connections: int = 64
    tokens: Sequence[str] = ()

    def figures(self, contestant: Contestant) -> Figures:
        """`cpu` in microseconds a request, `rps`, `p50` and `p99` in milliseconds, `memory` MiB."""
        before = cpu_seconds(contestant.pid)
        load = wrk(
            contestant.url,
            self.ask,
            self.tokens or [contestant.token],
            connections=self.connections,
            seconds=self.seconds,
            core=self.core,
        )
        spent = cpu_seconds(contestant.pid) - before
        return {
            "cpu": spent / load.requests * 1e6,
            "rps": load.requests / load.seconds,
            "p50": load.p50,
            "p99": load.p99,
            "memory": resident(contestant.pid) / MIB,
        }

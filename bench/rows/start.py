"""From nothing to the first answer: `python -m proxy serve`, asked until it answers."""

import http.client
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.contestants import fixed
from bench.effort import Effort
from bench.findings import Finding, Section, Target
from bench.load import CALL
from bench.processes import PATIENCE, free_port, redis, started
from bench.samples import interleaved
from bench.subject import SERVE, made_token, variables

PAUSE = 0.002
"""Seconds between one connection that is refused and the next try."""


def measured(effort: Effort) -> Section:
    """With either store, in turns; the first starts compile what is not yet, and do not count."""
    load = effort.cores.load
    with ExitStack() as stack:
        upstream = stack.enter_context(fixed(load)).url
        stores = {"SQLite": "", "Redis": stack.enter_context(redis(load))}
        folder = Path(stack.enter_context(TemporaryDirectory()))
        starts = [(name, variables(folder, upstream, store)) for name, store in stores.items()]
        tokens = {name: made_token(env, "start") for name, env in starts}
        samples = interleaved(
            [(name, (env, tokens[name])) for name, env in starts],
            lambda one: {"started": seconds(*one, effort.cores.subject)},
            effort.rounds,
        )
    found = [
        Finding(
            f"cold start to the first answered request, {name}",
            samples.spread(name, "started"),
            Target(0.6, "s"),
        )
        for name in stores
    ]
    return Section("cold start", found, samples)


def seconds(env: Mapping[str, str], token: str, core: int) -> float:
    """Until a relayed call has been answered."""
    port = free_port()
    begun = time.perf_counter()
    env = {**env, "PROXY_LISTEN": f"127.0.0.1:{port}"}
    with started(sys.executable, "-m", *SERVE, core=core, env=env):
        while not answered(port, token):
            if time.perf_counter() - begun > PATIENCE:
                raise RuntimeError("the proxy does not start")
            time.sleep(PAUSE)
        return time.perf_counter() - begun


def answered(port: int, token: str) -> bool:
    """Whether a call is answered by upstream; a connection that is refused is not an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    try:
        connection.request(CALL.method, CALL.path, CALL.body, headers)
        return connection.getresponse().status == http.client.OK
    except ConnectionError:
        return False
    finally:
        connection.close()

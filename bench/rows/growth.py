"""Whether a request costs more where there is more: tokens in the store, open connections."""

import hashlib
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from http.client import OK, HTTPConnection
from urllib.parse import urlsplit

from bench.contestants import Contestant, fixed, nginx
from bench.effort import Effort
from bench.findings import Finding, Section, Target
from bench.load import CALL, Loader
from bench.machine import descriptors, family
from bench.processes import PATIENCE, redis
from bench.samples import Samples, interleaved
from bench.subject import proxy

TOKENS = (10, 100_000)
IN_USE = 1_000
"""Of many tokens, so many are asked with: who has many does not use one of them."""

CONNECTIONS = (10, 2_000)

FLAT = 1.1
"""Times what it costs with few: what rounds of the same thing differ by here."""


def measured(effort: Effort) -> Section:
    """Both."""
    samples = Samples({**tokens(effort).by_name, **connections(effort).by_name})
    few, many = (f"{count} tokens" for count in TOKENS)
    less, more = (f"{count} connections" for count in CONNECTIONS)
    beside = samples.ratio("cpu", f"nginx, {more}", f"nginx, {less}").median
    target = Target(FLAT, "× that with 10")
    found = [
        Finding(
            f"CPU per request with {TOKENS[1]:,} tokens in the store",
            samples.ratio("cpu", many, few),
            target,
            note=f"{IN_USE:,} of them in use",
        ),
        Finding(
            f"CPU per request with {CONNECTIONS[1]:,} open connections",
            samples.ratio("cpu", more, less),
            target,
            note=f"{CONNECTIONS[0]} of them in use; nginx {beside:.2f} ×",
        ),
    ]
    return Section("growth, store Redis, 64 connections where not told", found, samples)


def tokens(effort: Effort) -> Samples:
    """Two proxies, each with a Redis of its own: few tokens in one, many in the other."""
    core, load = effort.cores.subject, effort.cores.load
    with ExitStack() as stack:
        upstream = stack.enter_context(fixed(load)).url
        asked = []
        for count in TOKENS:
            store = stack.enter_context(redis(load))
            granted = grant(store, count)
            own = stack.enter_context(proxy(upstream, store, core))
            loader = Loader(CALL, load, effort.seconds, tokens=granted[:IN_USE])
            contestant = Contestant(own.pid, own.url)
            called(contestant, *loader.tokens).close()  # the first call with one asks the store
            asked.append((f"{count} tokens", (loader, contestant)))
        return interleaved(asked, lambda one: one[0].figures(one[1]), effort.rounds)


def grant(store: str, count: int) -> Sequence[str]:
    """Write so many grants as the README says that a control plane may: their tokens."""
    made = [f"sk-bench-{number}" for number in range(count)]
    digests = (hashlib.sha256(token.encode()).hexdigest() for token in made)
    lines = "".join(f"HSET dsp:token:{digest} models * tenant bench\r\n" for digest in digests)
    port = str(urlsplit(store).port)
    subprocess.run(
        ["redis-cli", "-p", port, "--pipe"],
        input=lines.encode(),
        capture_output=True,
        check=True,
    )
    return made


def connections(effort: Effort) -> Samples:
    """The proxy and nginx, each twice: few connections open and all in use, or many beside them."""
    core, load = effort.cores.subject, effort.cores.load
    few, many = CONNECTIONS
    loader = Loader(CALL, load, effort.seconds, connections=few)
    with ExitStack() as stack:
        upstream = stack.enter_context(fixed(load)).url
        store = stack.enter_context(redis(load))
        asked = {}
        for count in CONNECTIONS:
            own = stack.enter_context(proxy(upstream, store, core))
            asked[f"{count} connections"] = Contestant(own.pid, own.url, own.token)
            beside = stack.enter_context(nginx(upstream, core))
            asked[f"nginx, {count} connections"] = beside
        crowded = [asked[f"{many} connections"], asked[f"nginx, {many} connections"]]
        for one in crowded:
            stack.enter_context(held(one, many - few))
        samples = interleaved(list(asked.items()), loader.figures, effort.rounds)
        if any(sum(map(descriptors, family(one.pid))) < many - few for one in crowded):
            raise RuntimeError("connections were closed while they were counted on")
    return samples


@contextmanager
def held(contestant: Contestant, count: int) -> Iterator[None]:
    """So many connections that stay open, each after one call."""
    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(closing(called(contestant, contestant.token)))
        yield


def called(contestant: Contestant, *tokens: str) -> HTTPConnection:
    """A connection after a call with each of these tokens. Raises `RuntimeError` if one fails."""
    connection = HTTPConnection(urlsplit(contestant.url).netloc, timeout=PATIENCE)
    for token in tokens:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        connection.request(CALL.method, CALL.path, CALL.body, headers)
        answer = connection.getresponse()
        if answer.status != OK:
            raise RuntimeError(answer.read())
        answer.read()
    return connection

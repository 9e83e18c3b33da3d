"""A real proxy in front of a real sandbox, in this process, on free loopback ports.

    async with standing() as stand:
        token = await stand.token("wan2.6-*")
        status, headers, body = await stand.ask("POST", "/task/bailian/text2video", token, {...})

Whatever a stand wrote (log lines, error bodies, its store) and every secret it used are kept as
evidence; `tests/test_secrets.py` searches the one for the other when all tests are done.
"""

import io
import json
import pickle
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import aiohttp
from yarl import URL

from proxy.app.process import Proxy
from proxy.cli.minting import mint, new_grant
from proxy.config.routing import PACKAGED, Routing, load_routing
from proxy.config.settings import load_settings
from proxy.core.limits import NO_LIMITS, Limits
from proxy.core.prices import NO_PRICES, PriceList
from proxy.sandbox import Sandbox
from proxy.telemetry import Metrics, StructuredTelemetry

UPSTREAM_KEY = "sk-upstream-secret-of-the-operator"
"""The account's key: it must never be seen on this side."""

TEXT2VIDEO = {
    "model": "wan2.6-t2v",
    "input": {"prompt": "A kitten general on a cliff"},
    "parameters": {"size": "1280*720", "duration": 5},
}


@dataclass
class Evidence:
    """What was written anywhere, what must not be in it, and whose tests (folders) ran."""

    secrets: set[str] = field(default_factory=lambda: {UPSTREAM_KEY, "Signature="})
    written: list[bytes] = field(default_factory=list)
    rooms: set[str] = field(default_factory=set)

    def save(self, path: Path) -> None:
        """Leave it to the process that searches it."""
        path.write_bytes(pickle.dumps((self.secrets, self.written, self.rooms)))

    def absorb(self, folder: Path) -> None:
        """Take over what other processes of this run have left."""
        for path in folder.iterdir():
            secrets, written, rooms = pickle.loads(path.read_bytes())  # noqa: S301 - our own, just written
            self.secrets |= secrets
            self.written += written
            self.rooms |= rooms
            path.unlink()

    def leaks(self) -> list[str]:
        """The secrets that were found, shortened, with what surrounds them."""
        found = []
        for secret in self.secrets:
            for text in self.written:
                at = text.find(secret.encode())
                if at >= 0:
                    found.append(f"{secret[:8]}… in {text[max(0, at - 60) : at]!r}")
        return found


EVIDENCE = Evidence()
"""Of the whole test run."""


@dataclass
class Answer:
    """An answer as a client received it. `headers` have lower-case names."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict[str, object]:
        value: dict[str, object] = json.loads(self.body)
        return value


class Stand:
    """A proxy, its sandbox, and a client without habits of its own."""

    def __init__(self, proxy: Proxy, sandbox: Sandbox, log: io.StringIO) -> None:
        self.proxy = proxy
        self.sandbox = sandbox
        self._log = log
        self._client = aiohttp.ClientSession(auto_decompress=False)

    @property
    def url(self) -> str:
        return self.proxy.urls[0]

    @property
    def admin_url(self) -> str:
        return self.proxy.admin_urls[0]

    @property
    def lines(self) -> list[dict[str, object]]:
        """The log so far."""
        return [json.loads(line) for line in self._log.getvalue().splitlines()]

    @property
    def requests(self) -> list[dict[str, object]]:
        """The log lines of finished requests."""
        return [line for line in self.lines if line["event"] == "request"]

    async def token(
        self,
        *models: str,
        tenant: str | None = None,
        scopes: Sequence[str] = (),
        expires: float | None = None,
        name: str = "test",
        limits: Limits = NO_LIMITS,
    ) -> str:
        """A new token for these model patterns (none: all)."""
        grant = replace(new_grant(name, models or ("*",), tenant, scopes, expires), limits=limits)
        secret = await mint(self.proxy.store, grant)
        EVIDENCE.secrets.add(secret)
        return secret

    async def ask(
        self,
        method: str,
        path: str,
        token: str | None = None,
        body: Mapping[str, object] | bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request, its path as it stands, and read the whole answer."""
        given = {"Content-Type": "application/json"} if body is not None else {}
        if token is not None:
            given["Authorization"] = f"Bearer {token}"
        data = json.dumps(body).encode() if isinstance(body, Mapping) else body
        url = URL(self.url + path, encoded=True)
        async with self._client.request(
            method, url, data=data, headers={**given, **(headers or {})}, allow_redirects=False
        ) as response:
            answer = Answer(
                response.status,
                {name.lower(): value for name, value in response.headers.items()},
                await response.read(),
            )
        if answer.status >= 400:
            EVIDENCE.written.append(answer.body)
        return answer

    async def submit(self, token: str, path: str = "/task/bailian/text2video") -> str:
        """Submit a video and return its task id."""
        answer = await self.ask("POST", path, token, TEXT2VIDEO)
        assert answer.status == 200, answer
        output = answer.json()["output"]
        assert isinstance(output, dict)
        return str(output["task_id"])

    async def close(self) -> None:
        await self._client.close()
        EVIDENCE.written.append(self._log.getvalue().encode())


_packaged = load_routing(PACKAGED, {})


def _routing(prices: PriceList, path: Path, env: Mapping[str, str]) -> Routing:
    """The packaged table is read once: it takes longer than a stand does to start."""
    return replace(_packaged, prices=prices) if path == PACKAGED else load_routing(path, env)


@asynccontextmanager
async def standing(
    env: Mapping[str, str] | None = None,
    sandbox: Sandbox | None = None,
    prices: PriceList = NO_PRICES,
) -> AsyncIterator[Stand]:
    """A stand; `env` is laid over a SQLite store in a folder of its own and free ports.

    States are not held: with a sandbox of 0 `task_seconds` each poll moves its task on.
    """
    log = io.StringIO()
    metrics = Metrics()
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "proxy.db"
        async with sandbox or Sandbox(keys=[UPSTREAM_KEY], task_seconds=0) as upstream:
            variables = {
                "DASHSCOPE_API_KEY": UPSTREAM_KEY,
                "PROXY_UPSTREAM": upstream.url,
                "PROXY_LISTEN": "127.0.0.1:0",
                "PROXY_ADMIN_LISTEN": "127.0.0.1:0",
                "PROXY_STORE": f"sqlite://{store}",
                "PROXY_OUTBOX": folder,
                "PROXY_DRAIN": "5",
                "PROXY_POLL_HOLD": "0",
            }
            settings = load_settings({**variables, **(env or {})}, partial(_routing, prices))
            telemetry = StructuredTelemetry(metrics, console=False, stream=log)
            async with Proxy(settings, telemetry, metrics) as proxy:
                stand = Stand(proxy, upstream, log)
                try:
                    yield stand
                finally:
                    await stand.close()
        dumps = Path(folder).iterdir()  # noqa: ASYNC240 - a few kilobytes, when all is over
        EVIDENCE.written += [path.read_bytes() for path in dumps]

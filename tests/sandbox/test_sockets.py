"""The sandbox's WebSockets: handshakes, records, faults."""

import asyncio
import json

import aiohttp
import pytest

from proxy.sandbox import Sandbox

KEY = {"Authorization": "Bearer sk-good"}
INFERENCE = "/api-ws/v1/inference"
REALTIME = "/api-ws/v1/realtime?model=m"


async def status(sandbox: Sandbox, path: str, headers: dict[str, str]) -> int:
    """With what a handshake is refused; 101 when it is not."""
    async with aiohttp.ClientSession() as client:
        try:
            async with client.ws_connect(sandbox.url + path, headers=headers):
                return 101
        except aiohttp.WSServerHandshakeError as refused:
            return refused.status


@pytest.mark.parametrize(
    ("path", "headers", "expected"),
    [
        (INFERENCE, KEY, 101),
        (f"{INFERENCE}/", KEY, 101),
        (REALTIME, KEY, 101),
        (INFERENCE, {}, 401),
        (INFERENCE, {"Authorization": "Bearer sk-bad"}, 401),
        ("/api-ws/v1/realtime", KEY, 400),
        ("/api-ws/v1/elsewhere", KEY, 404),
    ],
)
async def test_a_handshake_is_judged(path: str, headers: dict[str, str], expected: int) -> None:
    """A bad key is a real 401, as the SDKs expect; a realtime session needs its model."""
    async with Sandbox(keys=["sk-good"]) as sandbox:
        assert await status(sandbox, path, headers) == expected
        assert len(sandbox.requests) == 1


async def test_plain_http_is_refused() -> None:
    """A GET without a handshake gets an error, not a hanging connection."""
    async with (
        Sandbox(keys=["sk-good"]) as sandbox,
        aiohttp.ClientSession() as client,
        client.get(sandbox.url + INFERENCE, headers=KEY) as answer,
    ):
        assert answer.status == 400


async def test_what_was_received_is_on_record() -> None:
    """Frames in order, and how the client ended it; also for tests in another process."""
    async with Sandbox(keys=["sk-good"]) as sandbox, aiohttp.ClientSession() as client:
        async with client.ws_connect(sandbox.url + INFERENCE, headers=KEY) as socket:
            await socket.send_str("one")
            await socket.send_bytes(b"two")
            await socket.close(code=4000, message=b"bye")
        async with client.ws_connect(sandbox.url + INFERENCE, headers=KEY) as socket:
            assert sandbox.sockets.open == 1
            socket._response.close()  # noqa: SLF001 - leaves without a word
        async with asyncio.timeout(5):
            while sandbox.sockets.open:  # noqa: ASYNC110 - what it looks at has no event
                await asyncio.sleep(0.01)
        polite, rude = sandbox.sockets
        assert (polite.frames, polite.closed, polite.reason) == (["one", b"two"], 4000, "bye")
        assert (rude.count, rude.closed) == (0, 1006)
        async with client.get(f"{sandbox.url}/sandbox/sockets") as answer:
            shown = (await answer.json())["sockets"]
        assert shown[0]["frames"] == ["one", {"bytes": 3}]
        assert [one["closed"] for one in shown] == [4000, 1006]


async def test_a_fault_may_refuse_a_handshake() -> None:
    """Like any other request: a status, once."""
    async with Sandbox(keys=["sk-good"]) as sandbox:
        sandbox.faults.add(path="/api-ws", status=429)
        assert await status(sandbox, INFERENCE, KEY) == 429
        assert await status(sandbox, INFERENCE, KEY) == 101


@pytest.mark.parametrize(("code", "told"), [(1011, 1011), (4001, 4001), (0, 1006)])
async def test_a_fault_may_end_a_socket(code: int, told: int) -> None:
    """After so many messages: with a code, or with 0 without a word."""
    async with Sandbox(keys=["sk-good"]) as sandbox, aiohttp.ClientSession() as client:
        sandbox.faults.add(path="/api-ws", close_code=code, after_frames=2)
        async with client.ws_connect(sandbox.url + INFERENCE, headers=KEY) as socket:
            header = {"action": "run-task", "task_id": "t"}
            await socket.send_str(json.dumps({"header": header, "payload": {"model": "m"}}))
            assert json.loads(await socket.receive_str())["header"]["event"] == "task-started"
            await socket.send_str("second")
            ended = await socket.receive()
            assert ended.type in {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED}
            assert socket.close_code == told


async def test_a_reset_breaks_the_handshake() -> None:
    """A fault that cuts connections cuts these too."""
    async with Sandbox(keys=["sk-good"]) as sandbox, aiohttp.ClientSession() as client:
        sandbox.faults.add(path="/api-ws", reset="after_request", times=None)
        with pytest.raises(aiohttp.ClientError):
            await client.ws_connect(sandbox.url + INFERENCE, headers=KEY)


async def test_the_first_subprotocol_is_taken() -> None:
    """So that a negotiation can be seen to cross."""
    async with Sandbox(keys=["sk-good"]) as sandbox, aiohttp.ClientSession() as client:
        url = sandbox.url + INFERENCE
        async with client.ws_connect(url, headers=KEY, protocols=("a", "b")) as socket:
            assert socket.protocol == "a"

"""The README is run: its commands as they stand, its tables against the code."""

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness import EVIDENCE, standing
from readme_tables import README, with_tables
from redis_server import RedisServer

from proxy.config.routing import PACKAGED
from proxy.core.settlement import Basis, Kind, Settlement, UsageRecord
from proxy.core.usage import Used

TEXT = README.read_text(encoding="utf-8")
BLOCKS: list[tuple[str, str]] = re.findall(r"```(\w+)\n(.*?)```", TEXT, re.DOTALL)
TOKEN = "sk-a-token-of-the-readme-test"
USED = UsageRecord(
    *("call-1", Kind.CALL, "studio", "tok_1", "default", "qwen-plus", "SUCCEEDED"),
    *(time.time(), time.time()),
    used=Used(input_tokens=1000, output_tokens=20),
    amount=500_000_000,
    currency="CNY",
    basis=Basis.USAGE,
)
"""A record as the meter leaves it."""
CONSOLE = Path(sys.executable).parent


def block(begin: str) -> str:
    """The README's code block that has this text in it."""
    (found,) = [code for _, code in BLOCKS if begin in code]
    return found


def variables(folder: Path, **more: str) -> dict[str, str]:
    """A clean environment, with the console script on the path and no account in it."""
    kept = {name: os.environ[name] for name in ("LANG", "LC_ALL", "TMPDIR") if name in os.environ}
    path = f"{CONSOLE}:{os.environ['PATH']}"
    return {**kept, "PATH": path, "HOME": str(folder), "PROXY_ADMIN_LISTEN": "127.0.0.1:0", **more}


def shell(script: str, env: dict[str, str]) -> str:
    """What a script prints; it must succeed, command by command."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    EVIDENCE.written.append(done.stderr.encode())
    return done.stdout


@contextmanager
def serving(script: str, env: dict[str, str]) -> Iterator[str]:
    """A script that ends with `serve`: the line that says it listens; stopped by SIGTERM."""
    with subprocess.Popen(
        [
            "bash",
            "-euo",
            "pipefail",
            "-c",
            script.replace("\ndashscope-proxy serve", "\nexec dashscope-proxy serve"),
        ],
        env=env,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        line = next(line for line in process.stdout if '"listening"' in line)
        try:
            yield line
        finally:
            process.terminate()
            process.stdout.read()
        assert process.wait(30) == 0


def test_every_block_has_a_test() -> None:
    """A new code block needs a test of its own: this file knows them all."""
    begins = ["make run", "curl http", 'export DASHSCOPE_API_KEY="$TOKEN"', "import dashscope"]
    begins += ["/video/v1/generations"]
    begins += ["token create my-app", "PROXY_STORE=redis", "token create alice"]
    begins += ["token create bob", "usage records", "XREAD", "currency: CNY", "redis-cli HSET"]
    assert [next(b for b in begins if b in code) for _, code in BLOCKS] == begins


def test_tables_are_the_codes_own() -> None:
    """Changes, errors and variables are printed from the code, so that they cannot lag behind."""
    assert with_tables(TEXT) == TEXT


def test_make_targets_exist() -> None:
    """What the README tells people to type is in the Makefile."""
    makefile = (README.parent / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"(?:`|^)make (\w+)", TEXT, re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_prices_are_a_price_list(tmp_path: Path) -> None:
    """As they stand, in a copy of the packaged file."""
    routes = tmp_path / "routes.yaml"
    routes.write_text(PACKAGED.read_text("utf-8") + block("currency: CNY"))
    said = shell("dashscope-proxy check", variables(tmp_path, PROXY_ROUTES=str(routes)))
    assert "prices in CNY; a model without one is not sold" in said
    assert "price wan2.7-*: 0.6 a second up to 720P, 1 a second, from 2026-11-01" in said


async def test_the_pasted_request_gets_a_task(tmp_path: Path) -> None:
    """The first curl works as it stands, and the task it makes ends well."""
    async with standing() as stand:
        token = await stand.token()
        script = block("curl http").replace("http://127.0.0.1:8080", stand.url)
        out = await asyncio.to_thread(shell, script, variables(tmp_path, TOKEN=token))
        (task_id,) = re.findall(r'"task_id":"([^"]+)"', out)
        states = [(await stand.ask("GET", f"/task/{task_id}", token)).body for _ in range(3)]
        assert b"SUCCEEDED" in states[-1]


async def test_the_python_sample_makes_a_video(tmp_path: Path) -> None:
    """The two variables and the six lines are all an SDK user needs."""
    exports = block('export DASHSCOPE_API_KEY="$TOKEN"')
    async with standing() as stand:
        script = exports.replace("http://127.0.0.1:8080", stand.url) + (
            f"{sys.executable} -W ignore - <<'PY'\n{block('import dashscope')}PY\n"
        )
        env = variables(tmp_path, TOKEN=await stand.token())
        out = await asyncio.to_thread(shell, script, env)
        assert out.startswith("SUCCEEDED http")


async def test_the_unified_request_makes_a_video(tmp_path: Path) -> None:
    """The façade's curl works as it stands; its task ends with a URL."""
    script = block("/video/v1/generations")
    async with standing() as stand:
        token = await stand.token()
        script = script.replace("http://127.0.0.1:8080", stand.url)
        out = await asyncio.to_thread(shell, script, variables(tmp_path, TOKEN=token))
        (task_id,) = re.findall(r'"task_id":"([^"]+)"', out)
        path = f"/video/v1/tasks/{task_id}"
        told = [(await stand.ask("GET", path, token)).json() for _ in range(2)]
    assert [one["task_status"] for one in told] == ["running", "success"]


def test_the_sidecar_starts(tmp_path: Path) -> None:
    """Key, token, serve: the embedded store needs nothing else."""
    script = block("token create my-app").replace(":8080", ":0")
    with serving(script, variables(tmp_path)) as line:
        assert '"store":"sqlite"' in line


def test_the_edge_starts(tmp_path: Path) -> None:
    """The same program with a shared store and several processes."""
    with RedisServer.started() as redis:
        script = block("PROXY_STORE=redis").replace("redis://127.0.0.1:6379", redis.url)
        env = variables(tmp_path, DASHSCOPE_API_KEY="sk-x")
        with serving(script.replace(":8080", ":0"), env) as line:
            assert '"store":"redis"' in line


def test_the_operators_commands_work(tmp_path: Path) -> None:
    """A token's life, as the README tells it."""
    out = shell(block("token create alice"), variables(tmp_path))
    assert "studio" in out
    assert out.splitlines()[-1].startswith("revoked tok_")


def test_limits_are_set_and_shown(tmp_path: Path) -> None:
    """The limits that the README sets are the ones it shows, of the tenant and of the token."""
    out = shell(block("token create bob"), variables(tmp_path))
    assert "requests_per_minute=60 concurrent_tasks=4" in out
    assert "submits_per_minute=30 budget_month=500" in out
    assert "10.0.0.0/8" in out


async def test_usage_is_told_and_exported(tmp_path: Path) -> None:
    """By the command, as a file of records, and by the admin listener."""
    store = f"sqlite://{tmp_path}/proxy.db"
    async with standing({"PROXY_STORE": store}) as stand:
        await stand.proxy.store.settle(Settlement("readme", 1, (USED,)))
        script = block("usage records").replace("http://127.0.0.1:9090", stand.admin_url)
        env = variables(tmp_path, PROXY_STORE=store)
        out = await asyncio.to_thread(shell, f"cd {tmp_path}\n{script}", env)
    assert out.count("day,model,records,amount,currency,") == 1
    assert out.splitlines()[-1].startswith("tok_1,,qwen-plus,1,0.5,CNY,")
    (line,) = (tmp_path / "records.ndjson").read_text("utf-8").splitlines()
    assert json.loads(line)["id"] == USED.id


async def test_the_stream_is_read_by_redis_cli(tmp_path: Path) -> None:
    """Whoever bills reads the records where they are written, field by field."""
    with RedisServer.started() as redis:
        async with standing({"PROXY_STORE": redis.url}) as stand:
            await stand.proxy.store.settle(Settlement("readme", 1, (USED,)))
            script = block("XREAD").replace("redis-cli", f"redis-cli -p {redis.port}")
            out = await asyncio.to_thread(shell, script, variables(tmp_path))
    told = out.splitlines()
    facts = dict(zip(told[2::2], told[3::2], strict=False))
    assert (facts["id"], facts["amount"], facts["currency"]) == (USED.id, "0.5", "CNY")


async def test_a_grant_written_by_redis_cli_works(tmp_path: Path) -> None:
    """What the README writes with redis-cli is a grant, and what it deletes was one."""
    EVIDENCE.secrets.add(TOKEN)
    with RedisServer.started() as redis:
        script = block("redis-cli HSET").replace("redis-cli", f"redis-cli -p {redis.port}")
        write, delete = script.strip().splitlines()
        env = variables(tmp_path, TOKEN=TOKEN)
        async with standing({"PROXY_STORE": redis.url}) as stand:
            await asyncio.to_thread(shell, write, env)
            assert (await stand.ask("GET", "/api/v1/tasks", TOKEN)).status == 200
            await asyncio.to_thread(shell, delete, env)
            assert (await stand.ask("GET", "/api/v1/tasks", TOKEN)).status == 401

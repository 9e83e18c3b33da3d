"""The Compose file: the schema, the rules no schema knows, and its commands really run."""

import http.server
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

from proxy.config.settings import Environment

PASSWORD = "0123456789abcdef"
VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")
Compose = dict[str, Any]


@pytest.fixture(scope="module")
def path(repository: Path) -> Path:
    return repository / "deploy/compose/compose.yaml"


@pytest.fixture(scope="module")
def compose(path: Path) -> Compose:
    loaded: Compose = yaml.safe_load(path.read_text())
    return loaded


@pytest.fixture(scope="module")
def proxy(compose: Compose) -> Compose:
    service: Compose = compose["services"]["proxy"]
    return service


@pytest.fixture(scope="module")
def redis(compose: Compose) -> Compose:
    service: Compose = compose["services"]["redis"]
    return service


@pytest.fixture
def check(tool: Callable[[str, str], str]) -> Callable[[Path], subprocess.CompletedProcess[str]]:
    program = tool("check-jsonschema", "the PyPI package check-jsonschema")

    def run(instance: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, "--builtin-schema", "vendor.compose-spec", str(instance)],
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_schema(check: Callable[[Path], subprocess.CompletedProcess[str]], path: Path) -> None:
    """The file satisfies the schema of the Compose specification."""
    result = check(path)
    assert result.returncode == 0, result.stdout + result.stderr


def test_verifier_is_awake(
    check: Callable[[Path], subprocess.CompletedProcess[str]],
    path: Path,
    tmp_path: Path,
) -> None:
    """A misspelt key is refused, so the acceptance above means something."""
    broken = tmp_path / "compose.yaml"
    broken.write_text(path.read_text().replace("stop_grace_period:", "stop_grace_time:"))
    assert check(broken).returncode == 1


def test_variables_are_explained(path: Path) -> None:
    """Each variable is in .env.example and back; what has no default stops `up` with a message."""
    text = path.read_text()
    example = (path.parent / ".env.example").read_text()
    offered = dict(re.findall(r"^(\w+)=(.*)$", example, re.MULTILINE))
    used = {name: (operator, word) for name, operator, word in VARIABLE.findall(text)}
    assert set(used) == set(offered)
    assert text.count("${") == len(VARIABLE.findall(text))
    for name, (operator, word) in used.items():
        assert word, f"{name} may be empty"
        assert operator == ("-" if offered[name] else "?"), name
        assert operator == "?" or word == offered[name], name


def test_secrets_stay_out_of_git(path: Path) -> None:
    """The filled-in .env cannot be committed, and the example is empty where a secret goes."""
    assert ".env" in (path.parent / ".gitignore").read_text().splitlines()
    example = (path.parent / ".env.example").read_text().splitlines()
    assert {"DASHSCOPE_API_KEY=", "REDIS_PASSWORD="} <= set(example)


def test_only_known_settings(
    proxy: Compose,
    settings: frozenset[str],
    accepted: Callable[[Mapping[str, str]], Environment],
) -> None:
    """The proxy is given nothing it would not read, and values it takes once they are filled in."""
    assert set(proxy["environment"]) <= settings
    filled = {
        name: VARIABLE.sub(lambda found: found[3] if found[2] == "-" else PASSWORD, value)
        for name, value in proxy["environment"].items()
    }
    assert accepted(filled).store == f"redis://:{PASSWORD}@redis:6379/0"
    assert "env_file" not in proxy


def test_images_are_pinned(proxy: Compose, redis: Compose, image: str) -> None:
    """Our image carries the version of this tree, the foreign one a patch release."""
    assert proxy["image"] == image
    assert re.fullmatch(r"redis:\d+\.\d+\.\d+-alpine(@sha256:[0-9a-f]{64})?", redis["image"])


def test_build_finds_its_files(proxy: Compose, path: Path, repository: Path) -> None:
    """The build context is the repository and the Dockerfile is in it."""
    context = (path.parent / proxy["build"]["context"]).resolve()
    assert context == repository
    assert (context / proxy["build"]["dockerfile"]).is_file()


def test_only_the_public_port_is_published(
    compose: Compose, proxy: Compose, redis: Compose
) -> None:
    """Redis and the admin listener are out of reach; the public one is on loopback by default."""
    assert proxy["ports"] == ["${PUBLISH:-127.0.0.1:8080}:8080"]
    assert proxy["environment"]["PROXY_LISTEN"].endswith(":8080")
    assert proxy["environment"]["PROXY_ADMIN_LISTEN"] == "127.0.0.1:9090"
    assert "ports" not in redis
    assert [
        name for name in redis["networks"] if not compose["networks"][name].get("internal")
    ] == []


def test_names_resolve(compose: Compose) -> None:
    """Every network, volume and dependency that is named is declared, and the other way round."""
    services = compose["services"].values()
    assert {name for service in services for name in service["networks"]} == set(
        compose["networks"]
    )
    mounted = {mount.split(":")[0] for service in services for mount in service["volumes"]}
    assert mounted == set(compose["volumes"])
    assert {name for service in services for name in service.get("depends_on", ())} == {"redis"}


def test_proxy_finds_redis(compose: Compose, proxy: Compose) -> None:
    """The store URL names the Redis service, and the proxy waits until that is healthy."""
    host = proxy["environment"]["PROXY_STORE"].rpartition("@")[2].split(":")[0]
    assert host in compose["services"]
    assert proxy["depends_on"][host] == {"condition": "service_healthy"}


def test_containers_are_locked_down(compose: Compose) -> None:
    """Each container has a read-only root, no capability and no way to gain one."""
    for service in compose["services"].values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert not service.get("privileged")


def test_writable_paths(proxy: Compose, redis: Compose) -> None:
    """What is written under a read-only root is a volume: the spool, the state, Redis' data."""
    targets = {mount.split(":")[1] for mount in proxy["volumes"]}
    assert {proxy["environment"]["TMPDIR"], "/var/lib/dashscope-proxy"} == targets
    assert [mount.split(":")[1] for mount in redis["volumes"]] == ["/data"]


def test_drain_fits(proxy: Compose) -> None:
    """The engine waits longer than running requests may take."""
    grace = re.fullmatch(r"(\d+)s", proxy["stop_grace_period"])
    assert grace is not None
    assert int(grace[1]) > int(proxy["environment"]["PROXY_DRAIN"])


class Readiness(http.server.BaseHTTPRequestHandler):
    statuses: ClassVar[dict[str, int]] = {"/readyz": 200}

    def do_GET(self) -> None:
        self.send_response(self.statuses.get(self.path, 404))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def admin() -> Iterator[int]:
    with http.server.HTTPServer(("127.0.0.1", 0), Readiness) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_proxy_healthcheck(
    proxy: Compose,
    admin: int,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    code: int,
) -> None:
    """The health check, really run, asks the admin listener's /readyz, past any http_proxy."""
    monkeypatch.setitem(Readiness.statuses, "/readyz", status)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    marker, program, *arguments = proxy["healthcheck"]["test"]
    assert (marker, program) == ("CMD", "python")
    listener = proxy["environment"]["PROXY_ADMIN_LISTEN"]
    here = [argument.replace(listener, f"127.0.0.1:{admin}") for argument in arguments]
    assert here != arguments
    result = subprocess.run([sys.executable, *here], capture_output=True, check=False)
    assert result.returncode == code, result.stderr


def test_redis_really_starts_so(
    tool: Callable[[str, str], str],
    redis: Compose,
    tmp_path: Path,
) -> None:
    """A real Redis takes the command line and obeys it; its health check tells yes from no."""
    program, *arguments = [VARIABLE.sub(PASSWORD, word) for word in redis["command"]]
    marker, client, *question = redis["healthcheck"]["test"]
    assert (marker, set(redis["environment"])) == ("CMD", {"REDISCLI_AUTH"})
    server = tool(program, "the Debian package redis-server")
    ask = [tool(client, "the Debian package redis-tools"), "-s", "redis.sock"]

    def said(words: list[str], password: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*ask, *words],
            cwd=tmp_path,
            env={"REDISCLI_AUTH": password},
            capture_output=True,
            text=True,
            check=False,
        )

    local = ["--port", "0", "--unixsocket", "redis.sock", "--dir", str(tmp_path)]
    with subprocess.Popen(
        [server, *arguments, *local], cwd=tmp_path, stdout=subprocess.DEVNULL
    ) as process:
        try:
            deadline = time.monotonic() + 5
            while said(question, PASSWORD).returncode and time.monotonic() < deadline:
                time.sleep(0.02)
            assert said(question, PASSWORD).stdout == "PONG\n"
            assert said(question, "wrong").returncode != 0
            assert said(["CONFIG", "GET", "appendonly"], PASSWORD).stdout.split()[1] == "yes"
            policy = said(["CONFIG", "GET", "maxmemory-policy"], PASSWORD).stdout.split()[1]
            assert policy == "noeviction"
        finally:
            process.terminate()

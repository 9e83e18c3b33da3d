"""The systemd unit, read by systemd itself: no manager runs here, `systemd-analyze` needs none."""

import re
import subprocess
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from proxy.config.settings import Environment

# systemd's own scale, times ten: 0 is locked away, 100 is root at large. What is left is mostly the
# network, which a proxy needs, and /proc/stat, which the metrics read.
EXPOSURE = 15


@pytest.fixture(scope="module")
def source(repository: Path) -> str:
    return (repository / "deploy/systemd/dashscope-proxy.service").read_text()


@pytest.fixture(scope="module")
def unit(source: str) -> dict[str, list[str]]:
    settings: dict[str, list[str]] = defaultdict(list)
    for line in source.splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            settings[key].append(value)
    return settings


@pytest.fixture(scope="module")
def environment(unit: dict[str, list[str]]) -> dict[str, str]:
    return dict(assignment.split("=", 1) for assignment in unit["Environment"])


@pytest.fixture
def installed(source: str, unit: dict[str, list[str]], tmp_path: Path) -> Path:
    """The unit as on a machine that has the program: the verifier wants ExecStart to exist."""
    (command,) = unit["ExecStart"]
    program = tmp_path / "dashscope-proxy"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    path = tmp_path / "dashscope-proxy.service"
    path.write_text(source.replace(command.split()[0], str(program)))
    return path


@pytest.fixture
def analyze(tool: Callable[[str, str], str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    program = tool("systemd-analyze", "the Debian package systemd")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)

    return run


def test_systemd_accepts_every_line(
    analyze: Callable[..., subprocess.CompletedProcess[str]],
    installed: Path,
) -> None:
    """Systemd understands the whole unit; it only warns of unknown keys, so silence is asked."""
    result = analyze("verify", "--man=no", str(installed))
    assert (result.returncode, result.stdout + result.stderr) == (0, "")


def test_verifier_is_awake(
    analyze: Callable[..., subprocess.CompletedProcess[str]],
    installed: Path,
) -> None:
    """A key systemd does not know is reported, so the silence above means something."""
    installed.write_text(installed.read_text().replace("KillMode=", "KillMood="))
    assert "KillMood" in analyze("verify", "--man=no", str(installed)).stderr


def test_exposure_is_low(
    analyze: Callable[..., subprocess.CompletedProcess[str]],
    installed: Path,
) -> None:
    """By systemd's own security review the service can do little beside its work."""
    result = analyze(
        "security", "--offline=true", f"--threshold={EXPOSURE}", "--no-pager", str(installed)
    )
    assert result.returncode == 0, result.stdout


def test_only_known_settings(
    environment: dict[str, str],
    settings: frozenset[str],
    accepted: Callable[[Mapping[str, str]], Environment],
) -> None:
    """The unit sets nothing the proxy would not read, to values it takes."""
    assert set(environment) <= settings
    specifiers = {"%S": "/var/lib", "%d": "/run/credentials/dashscope-proxy.service"}
    expanded = {
        name: re.sub("%.", lambda found: specifiers[found[0]], value)
        for name, value in environment.items()
    }
    assert accepted(expanded).store == "sqlite:///var/lib/dashscope-proxy/proxy.db"


def test_example_environment(repository: Path, settings: frozenset[str]) -> None:
    """The sample environment file, comments included, names known settings and no key."""
    lines = (repository / "deploy/systemd/env.example").read_text().splitlines()
    names = {line.lstrip("#").split("=")[0] for line in lines if "=" in line and "# " not in line}
    assert names
    assert names <= settings
    assert not {"DASHSCOPE_API_KEY", "DASHSCOPE_API_KEY_FILE"} & names


def test_key_is_a_credential(unit: dict[str, list[str]], environment: dict[str, str]) -> None:
    """The upstream key comes as a credential file, never as a variable."""
    (credential,) = unit["LoadCredential"]
    assert environment["DASHSCOPE_API_KEY_FILE"] == f"%d/{credential.split(':')[0]}"
    assert "DASHSCOPE_API_KEY" not in environment


def test_state_is_writable(unit: dict[str, list[str]], environment: dict[str, str]) -> None:
    """Everything is read-only but the state directory, and the store is in it."""
    assert unit["ProtectSystem"] == ["strict"]
    assert unit["DynamicUser"] == ["yes"]
    (directory,) = unit["StateDirectory"]
    assert environment["PROXY_STORE"].startswith(f"sqlite://%S/{directory}/")


def test_drain_fits(unit: dict[str, list[str]], environment: dict[str, str]) -> None:
    """A stop asks with SIGTERM and waits longer than running requests may take."""
    assert unit["KillSignal"] == ["SIGTERM"]
    assert int(unit["TimeoutStopSec"][0]) > int(environment["PROXY_DRAIN"])


def test_starts_the_console_script(unit: dict[str, list[str]]) -> None:
    """The unit runs `dashscope-proxy serve`, and counts as started once it really runs."""
    (command,) = unit["ExecStart"]
    program, *arguments = command.split()
    assert (Path(program).name, arguments) == ("dashscope-proxy", ["serve"])
    assert unit["Type"] == ["exec"]


def test_listeners_are_local(environment: dict[str, str]) -> None:
    """Nothing is open to the network until somebody decides so."""
    assert environment["PROXY_LISTEN"] == "127.0.0.1:8080"
    assert environment["PROXY_ADMIN_LISTEN"] == "127.0.0.1:9090"

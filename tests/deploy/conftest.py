"""What the deployment files are held against: this repository and the settings it promises."""

import shutil
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from proxy.config.settings import Environment
from proxy.stores import open_store

REPOSITORY = Path(__file__).parents[2]

# Read by one command, `token import`; everything that serves is in Environment.
COMMAND_SETTINGS = frozenset({"PROXY_IMPORT_TOKEN"})
# Read by Python and its libraries, not by the proxy.
PLATFORM_SETTINGS = frozenset({"PATH", "PYTHONUNBUFFERED", "TMPDIR", "XDG_STATE_HOME"})


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def settings() -> frozenset[str]:
    """Every name that configures something; any other would be ignored, and nobody told."""
    own = {field.alias for field in Environment.model_fields.values() if field.alias}
    return COMMAND_SETTINGS | PLATFORM_SETTINGS | own


@pytest.fixture(scope="session")
def accepted() -> Callable[[Mapping[str, str]], Environment]:
    """The proxy's own reading of variables: it raises for a value it would refuse to start with."""

    def read(variables: Mapping[str, str]) -> Environment:
        environment = Environment.model_validate(dict(variables))
        if environment.store:
            open_store(environment.store)
        return environment

    return read


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

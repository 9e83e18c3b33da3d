"""What every test shares: how hard hypothesis looks, and that the search for secrets comes last.

A run may be several processes (pytest-xdist), and then one more for the tests that are `alone`:
the processes leave their evidence in pytest's cache, the search takes it up from there.
"""

import os
import shutil
from pathlib import Path

import pytest
from conformance import report as conformance
from harness import EVIDENCE
from hypothesis import HealthCheck, settings
from system import submit_report

# No deadline: machines are noisy, and a slow example is no wrong example.
_patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("test", _patient, max_examples=300)
settings.register_profile("fuzz", _patient, max_examples=20_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "test"))


TURNS = {"test_waits.py": -1, "test_secrets.py": 1}
"""Who does not come in the order of names: one test of a minute, which begun last would run when
all others have ended; and the search of what all the others have written."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the first ones first, and the last ones last."""
    items.sort(key=lambda item: TURNS.get(item.path.name, 0))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the tables that tests tell their rows of, whichever process they ran in."""
    reports = [one for kind in ("passed", "failed") for one in terminalreporter.getreports(kind)]
    for table in (conformance, submit_report):
        rows = [row for one in reports for key, row in one.user_properties if key == table.PROPERTY]
        if rows:
            terminalreporter.section(table.PROPERTY)
            terminalreporter.write_line("\n".join(table.lines(rows)))


def evidence_of(config: pytest.Config) -> Path:
    """Where the processes of a run leave what the search for secrets looks at."""
    assert config.cache is not None
    return config.cache.mkdir("evidence")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Whoever starts other processes begins a run: what an earlier one left is none of its own."""
    if session.config.getoption("numprocesses", default=None):
        shutil.rmtree(evidence_of(session.config))


def pytest_runtest_logstart(nodeid: str) -> None:
    """Note the folder of a test that runs."""
    EVIDENCE.rooms.add(Path(nodeid.partition("::")[0]).parent.name)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Leave the evidence of a process that another one started."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker:
        EVIDENCE.save(evidence_of(session.config) / worker)


@pytest.fixture(scope="session")
def evidence(request: pytest.FixtureRequest) -> Path:
    return evidence_of(request.config)

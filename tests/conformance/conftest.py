"""Fixtures of the SDK tests, and the table at the end of the run."""

import pytest
from conformance.report import SEEN, lines
from sdk.conftest import photo, point

__all__ = ["photo", "point"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print operation by client."""
    if SEEN:
        terminalreporter.section("conformance")
        terminalreporter.write_line("\n".join(lines()))

"""What wrk is told, and how what it prints is read."""

from pathlib import Path

import pytest

from bench.load import CALL, Ask, Load, parsed, script

PRINTED = """\
Running 2s test @ http://127.0.0.1:1/
  1 threads and 64 connections
Requests/sec:  10000.00
{"requests": 20000, "microseconds": 2000000, "p50": 1500, "p99": 20250, "late": 0, "failed": 0}
"""


def test_its_line_is_found_among_the_words_for_people() -> None:
    """Seconds and milliseconds out of microseconds."""
    assert parsed(PRINTED) == Load(requests=20_000, seconds=2.0, p50=1.5, p99=20.25)


@pytest.mark.parametrize("broken", [('"failed": 0', '"failed": 1'), ("20000, ", "0, ")])
def test_what_fails_is_not_measured(broken: tuple[str, str]) -> None:
    """An error is answered faster than a call, and would look like a success."""
    with pytest.raises(RuntimeError, match="what fails costs something else"):
        parsed(PRINTED.replace(*broken))


def test_what_is_late_is_told_from_what_fails() -> None:
    """It is asked once more: on a machine where others work too somebody waits now and then."""
    with pytest.raises(TimeoutError, match="what waits costs something else"):
        parsed(PRINTED.replace('"late": 0', '"late": 1'))


def test_a_wrk_that_says_nothing_is_an_error() -> None:
    """What it said instead stands in it."""
    with pytest.raises(RuntimeError, match="unable to connect"):
        parsed("unable to connect to 127.0.0.1:1 Connection refused\n")


def test_the_script_says_the_request() -> None:
    """Method and body as they are, and the file of tokens."""
    text = script(CALL, Path("/somewhere/tokens"))
    assert 'wrk.method, wrk.body = "POST", [==[{"model"' in text
    assert 'io.lines("/somewhere/tokens")' in text
    assert 'wrk.body = "GET", nil' in script(Ask("GET", "/"), Path("t"))

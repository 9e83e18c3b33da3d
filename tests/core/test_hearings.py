"""What an answer to a poll is worth."""

import pytest

from proxy.core.errors import Situation
from proxy.core.hearings import ACCOUNT_CODES, TASK_CODES, Sighting, Silence, Verdict, verdict


@pytest.mark.parametrize(
    ("status", "state", "code", "expected"),
    [
        (200, "RUNNING", "", Verdict.STATE),
        (200, "UNKNOWN", "", Verdict.STATE),
        (200, "FAILED", "InvalidParameter", Verdict.STATE),
        (200, None, "", Verdict.UNREADABLE),
        (200, "", "", Verdict.UNREADABLE),
        (200, None, "BailianGateway.Workspace.NotAuthorised", Verdict.FAILURE),
        *((400, None, code, Verdict.FINAL) for code in sorted(TASK_CODES)),
        (400, None, "InvalidParameter.DataInspection", Verdict.FINAL),
        (400, None, "BadRequest.ResourceNotExist", Verdict.FINAL),
        (404, "RUNNING", "task_not_exist", Verdict.FINAL),
        *((400, None, code, Verdict.FAILURE) for code in sorted(ACCOUNT_CODES)),
        (400, None, "Throttling.AllocationQuota", Verdict.FAILURE),
        (404, None, "WorkSpaceNotFound", Verdict.FAILURE),
        *((s, None, "InvalidParameter", Verdict.FAILURE) for s in (401, 403, 408, 429)),
        *((s, None, "InvalidParameter", Verdict.FAILURE) for s in (500, 502, 503, 504, 599)),
        *((s, None, "", Verdict.FAILURE) for s in (400, 404, 405, 409, 410, 425, 430)),
        *((s, None, "Odd", Verdict.UNREADABLE) for s in (400, 404, 409, 425, 430)),
        *((s, None, "", Verdict.FAILURE) for s in (101, 201, 204, 206, 302, 304)),
    ],
)
def test_what_an_answer_is_worth(
    status: int, state: str | None, code: str, expected: Verdict
) -> None:
    """Only a state, or an error that is known to be about the task, is about the task."""
    assert verdict(status, state, code) is expected
    assert Sighting(status, "x", [], b"", 0, state, code).verdict is expected


def test_what_may_be_told() -> None:
    """Two verdicts of five."""
    assert [one for one in Verdict if one.is_about_the_task] == [Verdict.STATE, Verdict.FINAL]


def test_codes_are_of_one_kind() -> None:
    """No code is the account's and the task's; all are what stands before a dot."""
    assert not TASK_CODES & ACCOUNT_CODES
    assert not [code for code in TASK_CODES | ACCOUNT_CODES if "." in code]


def test_an_error_for_each() -> None:
    """The same words, never the same exception."""
    silence = Silence(Verdict.FAILURE, Situation.BAD_GATEWAY, "m", 0, (("Retry-After", "1"),))
    one, other = silence.error(), silence.error()
    assert one is not other
    assert (one.situation, one.message) == (Situation.BAD_GATEWAY, "m")
    assert one.headers == (("Retry-After", "1"),)

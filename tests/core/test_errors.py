"""Every answer the proxy gives for itself: the table of DESIGN section 4, row by row."""

from http import HTTPStatus

import pytest

from proxy.core.errors import ProxyError, Situation, StoreUnavailableError

# The settled table (names of situations are ours, statuses and codes are the contract).
SETTLED = [
    (Situation.INVALID_TOKEN, 401, "InvalidApiKey"),
    (Situation.MODEL_NOT_FOUND, 403, "model_not_found"),
    (Situation.EMPTY_MODEL, 400, "BadRequest.EmptyModel"),
    (Situation.ILLEGAL_INPUT, 400, "BadRequest.IllegalInput"),
    (Situation.COMPRESSED_BODY, 415, "UnsupportedMediaType"),
    (Situation.TOO_LARGE, 413, "BadRequest.TooLarge"),
    (Situation.TASK_NOT_EXIST, 400, "task_not_exist"),
    (Situation.ACCESS_DENIED, 403, "AccessDenied"),
    (Situation.NOT_FOUND, 404, "NotFound"),
    (Situation.METHOD_NOT_ALLOWED, 405, "MethodNotAllowed"),
    (Situation.RATE_LIMITED, 429, "Throttling.RateQuota"),
    (Situation.BUDGET_SPENT, 429, "Throttling.AllocationQuota"),
    (Situation.STORE_UNAVAILABLE, 503, "ServiceUnavailable"),
    (Situation.MODEL_UNAVAILABLE, 503, "ModelUnavailable"),
    (Situation.BAD_GATEWAY, 502, "BadGateway"),
    (Situation.GATEWAY_TIMEOUT, 504, "GatewayTimeout"),
    (Situation.INTERNAL_ERROR, 500, "InternalError"),
]
# Answers found necessary since, with codes that upstream's clients know (protocol section 4).
ADDED = [
    (Situation.BODY_TIMEOUT, 408, "RequestTimeOut"),
    (Situation.UPGRADE_REQUIRED, 426, "UpgradeRequired"),
    (Situation.BUSY, 503, "ServiceUnavailable"),
    (Situation.KEY_IN_USE, 409, "IdempotencyKeyInUse"),
    (Situation.KEY_REUSED, 422, "IdempotencyKeyReused"),
    (Situation.STOPPING, 503, "ServiceUnavailable"),
    (Situation.WRONG_ADDRESS, 403, "AccessDenied"),
]


@pytest.mark.parametrize(("situation", "status", "code"), SETTLED + ADDED)
def test_a_situation_has_its_status_and_code(situation: Situation, status: int, code: str) -> None:
    """Clients branch on these two: neither changes without the contract."""
    assert (situation.status, situation.code) == (status, code)
    assert HTTPStatus(status) >= HTTPStatus.BAD_REQUEST


def test_the_table_is_whole() -> None:
    """No situation outside the table, none twice, and each says when it happens."""
    listed = [situation for situation, _, _ in SETTLED + ADDED]
    assert sorted(listed, key=lambda one: one.name) == sorted(Situation, key=lambda one: one.name)
    assert len(Situation.__members__) == len(Situation)  # equal rows would be one situation
    assert all(situation.value.when for situation in Situation)


def test_blame_is_in_the_status() -> None:
    """Our faults, the store's and upstream's are 5xx; the caller's are 4xx."""
    ours = {situation for situation in Situation if situation.is_ours}
    assert ours == {
        Situation.STORE_UNAVAILABLE,
        Situation.BUSY,
        Situation.STOPPING,
        Situation.MODEL_UNAVAILABLE,
        Situation.BAD_GATEWAY,
        Situation.GATEWAY_TIMEOUT,
        Situation.INTERNAL_ERROR,
    }


def test_an_error_tells_its_story() -> None:
    """Situation, public text and extra headers are kept; `str` and `repr` say what happened."""
    error = ProxyError(Situation.NOT_FOUND, "No.", headers=(("Allow", "GET"),))
    assert (error.situation, error.message) == (Situation.NOT_FOUND, "No.")
    assert error.headers == (("Allow", "GET"),)
    assert str(error) == "No."
    assert repr(error) == "ProxyError(NOT_FOUND, 'No.')"
    assert ProxyError(Situation.NOT_FOUND, "No.").headers == ()


def test_an_unavailable_store_has_words_of_its_own() -> None:
    """Stores raise it without knowing how errors are told."""
    error = StoreUnavailableError()
    assert error.situation is Situation.STORE_UNAVAILABLE
    assert error.message
    assert StoreUnavailableError("closed").message == "closed"

"""What a client is told of an upstream that failed."""

import pytest

from proxy.core.errors import ProxyError, Situation, UnreachableError
from proxy.edge.failures import (
    BROKEN,
    SILENT,
    Failure,
    crowded,
    out_of_reach,
    protocol_changed,
    refuse_coded,
    refused,
)


@pytest.mark.parametrize("failure", [BROKEN, SILENT])
def test_before_an_answer_nobody_knows_what_upstream_did(failure: Failure) -> None:
    """Once a request is on its way it may have been carried out, and that is said."""
    assert failure.before().message.endswith("; the request may have been carried out.")
    assert failure.within().message.endswith("in the middle of its answer.")
    assert failure.before().situation is failure.within().situation is failure.situation


def test_only_what_sent_nothing_is_unreachable() -> None:
    """The type says that not a byte left: who reads it may try elsewhere."""
    assert isinstance(refused(), UnreachableError)
    assert isinstance(out_of_reach(), UnreachableError)
    assert isinstance(crowded(), UnreachableError)
    for error in (BROKEN.before(), SILENT.before(), protocol_changed()):
        assert not isinstance(error, UnreachableError)


def test_a_coding_that_nobody_asked_for() -> None:
    """`chunked` is read here, any other coding would change the body; its name is not told."""
    refuse_coded([("Transfer-Encoding", "Chunked")])
    with pytest.raises(ProxyError) as caught:
        refuse_coded([("transfer-encoding", "gzip, chunked")])
    assert caught.value.situation is Situation.BAD_GATEWAY
    assert "gzip" not in caught.value.message

"""How upstream failed, in words for clients: not where it is, but whether it may have acted."""

from dataclasses import dataclass

from proxy.core.errors import ProxyError, Situation, UnreachableError
from proxy.core.headers import is_coded
from proxy.ports import Headers


@dataclass(frozen=True, slots=True)
class Failure:
    """One way to fail once a request is on its way: before the answer begins, or midway."""

    situation: Situation
    early: str
    midway: str

    def before(self) -> ProxyError:
        """The error of an answer that has not begun."""
        return ProxyError(self.situation, f"{self.early}; the request may have been carried out.")

    def within(self) -> ProxyError:
        """The error of an answer whose head has been told."""
        return ProxyError(self.situation, self.midway)


BROKEN = Failure(
    Situation.BAD_GATEWAY,
    early="Upstream broke off before answering",
    midway="Upstream broke off in the middle of its answer.",
)
SILENT = Failure(
    Situation.GATEWAY_TIMEOUT,
    early="Upstream did not answer in time",
    midway="Upstream stopped in the middle of its answer.",
)


def refused() -> UnreachableError:
    """Nobody there took the connection, or nobody who could prove to be upstream."""
    return UnreachableError(Situation.BAD_GATEWAY, "Upstream refused the connection.")


def out_of_reach() -> UnreachableError:
    """No connection came about in the time there is for it."""
    return UnreachableError(Situation.GATEWAY_TIMEOUT, "Upstream could not be reached in time.")


def crowded() -> UnreachableError:
    """An account's own limit is met, which says nothing of its health: upstream was not asked."""
    return UnreachableError(
        Situation.MODEL_UNAVAILABLE,
        "As many calls as the account takes are under way; nothing was sent, try again.",
    )


def protocol_changed() -> ProxyError:
    """What follows a 101 that nobody asked for is no HTTP."""
    return ProxyError(Situation.BAD_GATEWAY, "Upstream changed the protocol unasked.")


def refuse_coded(fields: Headers) -> None:
    """Raise `ProxyError` for what nobody here can decode: passed on, it would be another body.

    The coding is a matter between upstream and us, so its name does not cross. Nobody asked for
    one either: `TE` does not cross to upstream.
    """
    if is_coded(fields):
        raise ProxyError(
            Situation.BAD_GATEWAY,
            "Upstream sent its answer in a transfer coding that nobody asked for; "
            "the request may have been carried out.",
        )

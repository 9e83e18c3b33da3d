"""The surface under `/sandbox/`, for tests that live in another process.

| method + path | does |
|---|---|
| POST /sandbox/faults | put a fault in force: `{"match": {"path": ...}, "status": 429, ...}` |
| GET, DELETE /sandbox/faults | how many are in force; forget them |
| GET, DELETE /sandbox/requests | the requests as received; forget them |
| GET /sandbox/sockets | the WebSockets: target, messages received, how each ended |
| GET /sandbox/ledger | tasks created by account and model, and where each task stands |

Nobody asks for a key here and requests show theirs: never send the sandbox a real one.
"""

import json
from collections.abc import Callable

from proxy.sandbox.answers import JSON_TYPE, Answer, Payload, RefusalError, dumps
from proxy.sandbox.faults import FaultBook, fault_from_json
from proxy.sandbox.ledger import Ledger
from proxy.sandbox.record import ReceivedRequest, RequestLog
from proxy.sandbox.sockets import SocketLog, SocketRecord

PREFIX = "/sandbox/"


class Control:
    """Reads and sets what the sandbox object offers in-process."""

    def __init__(
        self, requests: RequestLog, faults: FaultBook, ledger: Ledger, sockets: SocketLog
    ) -> None:
        self._requests = requests
        self._faults = faults
        self._ledger = ledger
        self._table: dict[tuple[str, str], Callable[[bytes], Payload]] = {
            ("POST", "faults"): self._add_fault,
            ("GET", "faults"): lambda _: {"faults": len(faults)},
            ("DELETE", "faults"): lambda _: self._forget(faults.clear),
            ("GET", "requests"): lambda _: {"requests": list(map(_shown, requests))},
            ("DELETE", "requests"): lambda _: self._forget(requests.clear),
            ("GET", "sockets"): lambda _: {"sockets": list(map(_shown_socket, sockets))},
            ("GET", "ledger"): lambda _: self._shown_ledger(),
        }

    def answer(self, method: str, path: str, body: bytes) -> Answer:
        """Do it; raises `RefusalError` (404, 400)."""
        action = self._table.get((method, path.removeprefix(PREFIX)))
        if action is None:
            raise RefusalError(404, "NotFound", "No such control; see proxy.sandbox.control.")
        return Answer(200, JSON_TYPE, (dumps(action(body)),))

    def _add_fault(self, body: bytes) -> Payload:
        try:
            self._faults.add(fault_from_json(json.loads(body)))
        except (ValueError, TypeError, AttributeError) as error:
            raise RefusalError(400, "InvalidParameter", str(error)) from error
        return {"faults": len(self._faults)}

    def _forget(self, clear: Callable[[], None]) -> Payload:
        clear()
        return {}

    def _shown_ledger(self) -> Payload:
        return {
            "created": [
                {"account": account, "model": model, "count": count}
                for (account, model), count in self._ledger.created.items()
            ],
            "tasks": [
                {
                    "task_id": task.id,
                    "account": task.account,
                    "model": task.model,
                    "status": self._ledger.status(task),
                }
                for task in self._ledger
            ],
        }


def _shown(entry: ReceivedRequest) -> Payload:
    return {
        "method": entry.method,
        "target": entry.target,
        "headers": [list(header) for header in entry.headers],
        "framing": entry.framing,
        "size": entry.size,
        "sha256": entry.sha256,
        "body": entry.body.decode("utf-8", "replace"),
        "complete": entry.complete,
        "answered": entry.answered,
        "hung_up": entry.hung_up,
    }


def _shown_socket(record: SocketRecord) -> Payload:
    return {
        "target": record.handshake.target,
        "frames": [
            frame if isinstance(frame, str) else {"bytes": len(frame)} for frame in record.frames
        ],
        "count": record.count,
        "closed": record.closed,
        "reason": record.reason,
    }

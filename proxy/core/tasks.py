"""Who owns which upstream task: the record kept for 48 hours, and how ids are told from noise.

Upstream keeps a task for 24 h and lets any key of the account read it; the owner is ours to
remember. The record outlives the task, so that "expired" and "never yours" look the same.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

RETENTION = 48 * 60 * 60
"""How long an owner is remembered, in seconds: twice what upstream keeps (protocol section 5)."""

PENDING = "PENDING"
TERMINAL = frozenset({"SUCCEEDED", "FAILED", "CANCELED", "UNKNOWN"})

_TASK_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_NO_INPUTS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """One task and its owner. Times are Unix seconds.

    `token` is the grant's id, `account` the name of the upstream account that made the task
    (any other account answers UNKNOWN). `inputs` are the request's price inputs as JSON text
    (`duration`, `resolution`, `size` ...), untrusted. `status` is the last one seen on a poll.
    `hold` is the id of what the task holds of its limits, empty where there are none.
    """

    task_id: str
    tenant: str
    token: str
    account: str
    model: str
    created: float
    request_id: str = ""
    inputs: Mapping[str, str] = field(default_factory=lambda: _NO_INPUTS)
    status: str = PENDING
    updated: float = 0.0
    hold: str = ""


class TaskConflictError(Exception):
    """Upstream gave a task id that another tenant already owns. The first owner stays."""


def is_task_id(text: str) -> bool:
    """Whether `text` may be put into an upstream URL as a task id."""
    return _TASK_ID.fullmatch(text) is not None

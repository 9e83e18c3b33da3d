"""One process's memory of task owners, so that polls go on when the store does not answer."""

from collections import OrderedDict
from dataclasses import replace

from proxy.core.tasks import TaskRecord
from proxy.stores.records import supersedes

MAX_TASKS = 50_000
"""Records remembered, least recently used out first: about 50 MB when full."""


class TaskCache:
    """Records by task id, bounded.

    Who owns a task never changes, so a record is true for as long as it is kept. Its status
    may lag behind what other processes have seen. To all but its owner it is not here: what
    strangers learn, and how fast, must not depend on what this process happens to remember.
    """

    def __init__(self, limit: int = MAX_TASKS) -> None:
        self._limit = limit
        self._records: OrderedDict[str, TaskRecord] = OrderedDict()  # as in `core.notes`

    def get(self, task_id: str, tenant: str) -> TaskRecord | None:
        """The record of the tenant's task, which becomes the youngest."""
        record = self._records.get(task_id)
        if record is None or record.tenant != tenant:
            return None
        self._records.move_to_end(task_id)
        return record

    def has_seen(self, task_id: str, status: str) -> bool:
        """Whether this is the status the task is remembered with."""
        record = self._records.get(task_id)
        return record is not None and record.status == status

    def put(self, record: TaskRecord) -> None:
        """Remember as the youngest, evicting the oldest beyond the limit."""
        self._records[record.task_id] = record
        self._records.move_to_end(record.task_id)
        if len(self._records) > self._limit:
            self._records.popitem(last=False)

    def observe(self, task_id: str, status: str, at: float) -> None:
        """Note a status (`at` in Unix seconds) as a store would."""
        record = self._records.get(task_id)
        if record is not None and supersedes(status, record.status):
            self._records[task_id] = replace(record, status=status, updated=at)

"""The task desk: submit, poll, cancel, list, with the real service's manners.

A key sees the tasks of its whole account, others read UNKNOWN with HTTP 200, cancelling works
while PENDING only, and the list shows everything with account ids (protocol section 5).
"""

from collections.abc import Callable

from proxy.sandbox.answers import Payload, RefusalError
from proxy.sandbox.ask import Ask, fingerprint, items_of
from proxy.sandbox.ledger import Kind, Ledger, Status, Task
from proxy.sandbox.outputs import Link, report, unknown
from proxy.sandbox.prompts import doom, prompt_of
from proxy.sandbox.quota import QueryQuota
from proxy.sandbox.usage import images_in, videos_in

PAGE_SIZE = 10

ENDED = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELED})


class TaskDesk:
    """Answers everything about tasks out of one ledger; how often, says the quota."""

    def __init__(
        self, ledger: Ledger, link: Link, clock: Callable[[], float], quota: QueryQuota
    ) -> None:
        self._quota = quota
        self._ledger = ledger
        self._link = link
        self._clock = clock

    def submit(self, ask: Ask, service: str, kind: Kind) -> Payload:
        """Take a task on; the answer names it and says PENDING."""
        task = Task(
            id=str(ask.fresh_id("task")),
            account=ask.account,
            request_id=ask.request_id,
            model=ask.model,
            service=service,
            kind=kind,
            submitted=self._clock(),
            prompt=prompt_of(ask.input),
            files=ask.input.get("file_url") or items_of(ask.input, "file_urls"),
            parameters=ask.parameters,
            doom=None if "file_urls" in ask.input else doom(ask.input),  # each file for itself
            images=images_in(ask.input),
            videos=videos_in(ask.input),
        )
        self._ledger.submit(task)
        return {"output": {"task_id": task.id, "task_status": Status.PENDING}}

    def poll(self, ask: Ask, task_id: str) -> Payload:
        """Where a task stands; raises `RefusalError` for one query too many."""
        self._quota.take(ask.account)
        task = self._ledger.poll(ask.account, task_id)
        return unknown(task_id) if task is None else report(task, self._ledger, self._link)

    def cancel(self, ask: Ask, task_id: str) -> Payload:
        """Cancel while PENDING; what is unknown cannot be cancelled either [not verified]."""
        if self._ledger.cancel(ask.account, task_id):
            return {}
        raise RefusalError(
            400,
            "UnsupportedOperation",
            "Failed to cancel the task, please confirm if the task is in PENDING status.",
        )

    def page(self, ask: Ask) -> Payload:
        """Every task of the account that passes the filters, one page of them."""
        number, size = ask.number("page_no", 1), ask.number("page_size", PAGE_SIZE)
        rows = [row for row in map(self._row, self._ledger.of(ask.account)) if _wanted(row, ask)]
        return {
            "total": len(rows),
            "total_page": -(-len(rows) // size),
            "page_no": number,
            "page_size": size,
            "data": rows[(number - 1) * size : number * size],
        }

    def _row(self, task: Task) -> Payload:
        """One list entry, leaking account ids like the real one."""
        account = fingerprint(task.account)
        status = self._ledger.status(task)
        ended = {"end_time": _millis(self._ledger.ended_at(task))} if status in ENDED else {}
        return {
            "task_id": task.id,
            "status": status,
            "model_name": task.model,
            "region": "cn-beijing",
            "gmt_create": _millis(task.submitted),
            "start_time": _millis(self._ledger.scheduled_at(task)),
            **ended,
            "request_id": task.request_id,
            "api_key_id": account[:7],
            "caller_parent_id": account,
            "caller_uid": account,
            "user_api_unique_key": f"apikey:v1:{task.service.replace('/', ':')}:{task.model}",
        }


def _millis(seconds: float) -> int:
    """A time as lists give it, unlike polls."""
    return int(seconds * 1000)


def _wanted(row: Payload, ask: Ask) -> bool:
    """Whether a row passes the filters that are given; time filters are not simulated."""
    filters = ("task_id", "model_name", "status", "region", "api_key_id")
    return all(ask.first(name) in ("", row[name]) for name in filters)

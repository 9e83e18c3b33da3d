"""Files and batches in OpenAI's protocol: a batch's models stand in a file uploaded before.

Only what a file is called and how large it is are kept; a batch stays in `validating`.
"""

import re

from proxy.sandbox.answers import Answer, Payload, RefusalError
from proxy.sandbox.ask import Ask
from proxy.sandbox.surfaces import Action, plain
from proxy.sandbox.uploads import form_of

_FILE_NAME = re.compile(rb'filename="([^"]*)"')


class Batches:
    """What every account has uploaded and ordered."""

    def __init__(self) -> None:
        self._files: dict[tuple[str, str], Payload] = {}
        self._batches: dict[tuple[str, str], Payload] = {}

    def rows(self) -> list[tuple[str, str, Action]]:
        """Method, path and action of each endpoint."""
        return [
            ("POST", "files", self._upload),
            ("GET", "files", self._list_files),
            ("GET", "files/{file_id}", self._file),
            ("DELETE", "files/{file_id}", self._delete),
            ("POST", "batches", self._create),
            ("GET", "batches", self._list_batches),
            ("GET", "batches/{batch_id}", self._batch),
        ]

    def _upload(self, ask: Ask) -> Answer:
        form = form_of(ask.received)
        if "file" not in form:
            raise RefusalError(400, "invalid_parameter_error", "file: required.")
        named = _FILE_NAME.search(ask.received.body)
        made: Payload = {
            "id": f"file-batch-{ask.fresh_id('file')}",
            "object": "file",
            "bytes": ask.received.size,
            "created_at": int(ask.now),
            "filename": named[1].decode("utf-8", "replace") if named else "",
            "purpose": form.get("purpose", "batch"),
            "status": "processed",
        }
        self._files[ask.account, made["id"]] = made
        return plain(made)

    def _list_files(self, ask: Ask) -> Answer:
        return plain(_listed(self._files, ask.account))

    def _file(self, ask: Ask, file_id: str) -> Answer:
        return plain(_found(self._files, ask, file_id))

    def _delete(self, ask: Ask, file_id: str) -> Answer:
        _found(self._files, ask, file_id)
        del self._files[ask.account, file_id]
        return plain({"id": file_id, "object": "file", "deleted": True})

    def _create(self, ask: Ask) -> Answer:
        source = str(ask.body.get("input_file_id"))
        _found(self._files, ask, source)
        made: Payload = {
            "id": f"batch_{ask.fresh_id('batch')}",
            "object": "batch",
            "endpoint": ask.body.get("endpoint"),
            "input_file_id": source,
            "completion_window": ask.body.get("completion_window"),
            "status": "validating",
            "created_at": int(ask.now),
            "metadata": ask.body.get("metadata"),
        }
        self._batches[ask.account, made["id"]] = made
        return plain(made)

    def _list_batches(self, ask: Ask) -> Answer:
        return plain(_listed(self._batches, ask.account))

    def _batch(self, ask: Ask, batch_id: str) -> Answer:
        return plain(_found(self._batches, ask, batch_id))


def _listed(things: dict[tuple[str, str], Payload], account: str) -> Payload:
    data = [thing for (owner, _), thing in things.items() if owner == account]
    return {"object": "list", "data": data, "has_more": False}


def _found(things: dict[tuple[str, str], Payload], ask: Ask, name: str) -> Payload:
    found = things.get((ask.account, name))
    if found is None:
        raise RefusalError(404, "not_found", f"No such object: {name}")
    return found

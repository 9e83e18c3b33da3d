"""What belongs to an account and not to a call: files, fine-tunes, deployments, assistants (1c).

All of them are collections alike: POST makes a thing, GET lists or shows, DELETE forgets, and a
verb behind the id changes its status. What was sent is shown again; nothing is ever trained.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from proxy.sandbox.answers import Answer, Payload, RefusalError, native, stream
from proxy.sandbox.ask import Ask, fingerprint
from proxy.sandbox.outputs import beijing

PAGE_SIZE = 10


@dataclass(frozen=True, slots=True)
class Collection:
    """How one family names its things.

    `wrapper` is the key its answers stand under, None where they stand alone.
    """

    id_name: str
    list_name: str
    prefix: str
    wrapper: str | None = "output"


COLLECTIONS: tuple[tuple[str, Collection], ...] = (
    ("files", Collection("file_id", "files", "file", "data")),
    ("fine-tunes", Collection("job_id", "jobs", "ft")),
    ("deployments", Collection("deployed_model", "deployments", "dep")),
    ("custom_models/import", Collection("job_id", "jobs", "import")),
    ("assistants", Collection("id", "data", "asst", None)),
    ("threads/[^/]+/messages", Collection("id", "data", "msg", None)),
    ("threads/[^/]+/runs", Collection("id", "data", "run", None)),
    ("threads", Collection("id", "data", "thread", None)),
    ("models/permissions", Collection("id", "permissions", "perm")),
    ("models/limits", Collection("id", "limits", "limit")),
)
"""Path pattern to family; the first that fits."""

REPORTS = frozenset({"logs", "checkpoints", "validation-results", "steps"})
"""What may be read below a thing."""

VERBS = {"cancel": "CANCELED", "scale": "RUNNING", "update": "RUNNING"}
"""What may be done with a thing, and its status afterwards; other words leave it."""

Things = dict[str, Payload]


class Resources:
    """What every account has, by collection."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._things: dict[tuple[str, str], Things] = {}

    def answer(self, ask: Ask) -> Answer | None:
        """The answer, or None where the path is no collection's; raises `RefusalError`."""
        for pattern, collection in COLLECTIONS:
            found = re.fullmatch(rf"(?P<place>{pattern})(?P<rest>(/.*)?)", ask.path)
            if found:
                things = self._things.setdefault((ask.account, found["place"]), {})
                return self._within(ask, collection, things, found["rest"].strip("/"))
        return None

    def _within(self, ask: Ask, kind: Collection, things: Things, rest: str) -> Answer:
        name, _, below = rest.partition("/")
        if not name:
            made = (
                self._make(ask, kind, things) if ask.method == "POST" else _page(ask, kind, things)
            )
            return _told(made, kind, ask)
        thing = things.get(name)
        if thing is None:
            raise RefusalError(404, "NotFound", "The required resource not exist.")
        if ask.method == "DELETE":
            del things[name]
            return _told({"deleted": True, kind.id_name: name}, kind, ask)
        if below == "stream":
            return stream(({"output": {"status": thing["status"]}},), ask.request_id)
        if below in REPORTS:
            return _told({below: [], "total": 0}, kind, ask)
        thing["status"] = VERBS.get(below, thing["status"])
        return _told(thing, kind, ask)

    def _make(self, ask: Ask, kind: Collection, things: Things) -> Payload:
        name = f"{kind.prefix}-{ask.fresh_id(kind.prefix).hex[:24]}"
        things[name] = {
            **ask.body,
            kind.id_name: name,
            "status": "PENDING",
            "gmt_create": beijing(self._clock()),
            "user_id": fingerprint(ask.account),
        }
        if kind.id_name == "job_id":
            things[name].setdefault("job_name", name)
        if kind.prefix == "file":
            return {"uploaded_files": [{"file_id": name, "name": "file"}], "failed_uploads": []}
        return things[name]


def _page(ask: Ask, kind: Collection, things: Things) -> Payload:
    number, size = ask.number("page_no", 1), ask.number("page_size", PAGE_SIZE)
    rows = list(things.values())[(number - 1) * size : number * size]
    return {kind.list_name: rows, "page_no": number, "page_size": size, "total": len(things)}


def _told(payload: Payload, kind: Collection, ask: Ask) -> Answer:
    return native(payload if kind.wrapper is None else {kind.wrapper: payload}, ask.request_id)

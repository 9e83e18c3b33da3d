"""Vocabularies and voices: things an account makes once and names in later calls.

The body's `model` is the name of the service; the model a thing is made for stands in
`input.target_model` (protocol section 1a). A list shows all of the account's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from proxy.sandbox.answers import Payload, RefusalError
from proxy.sandbox.ask import Ask, number_in
from proxy.sandbox.inference import Reply
from proxy.sandbox.outputs import Link, beijing

PAGE_SIZE = 10


@dataclass(frozen=True, slots=True)
class Shelf:
    """How one service names its things: the id, and the list of them."""

    id_name: str
    list_name: str
    prefix: str


SHELVES = {
    "speech-biasing": Shelf("vocabulary_id", "vocabulary_list", "vocab"),
    "voice-enrollment": Shelf("voice_id", "voice_list", "cosyvoice"),
    "qwen-voice-enrollment": Shelf("voice", "voice_list", "qwen-tts-vc"),
    "qwen-voice-design": Shelf("voice", "voice_list", "qwen-tts-vd"),
}

KEPT = ("target_model", "vocabulary", "url", "language", "preferred_name", "voice_prompt")
"""Fields of the input that a query gives back."""

Things: TypeAlias = dict[str, Payload]


class Customization:
    """What every account has made, by service."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._things: dict[tuple[str, str], Things] = {}
        self._verbs: dict[str, Callable[[Ask, Shelf, Things], Payload]] = {
            "create": self._create,
            "list": self._list,
            "query": self._query,
            "update": self._update,
            "delete": self._delete,
        }

    def answer(self, ask: Ask, _link: Link) -> Reply:
        """Do what `input.action` says: `create_vocabulary`, `list_voice`, `delete`, ..."""
        shelf = SHELVES.get(ask.model)
        if shelf is None:
            raise RefusalError(400, "InvalidParameter", "Model not exist.")
        verb = str(ask.input.get("action", "")).partition("_")[0]
        if verb not in self._verbs:
            raise RefusalError(400, "InvalidParameter", "action: not supported.")
        things = self._things.setdefault((ask.account, ask.model), {})
        return Reply({"output": self._verbs[verb](ask, shelf, things), "usage": {"count": 1}})

    def _create(self, ask: Ask, shelf: Shelf, things: Things) -> Payload:
        target = ask.input.get("target_model")
        if not isinstance(target, str) or not target:
            raise RefusalError(400, "InvalidParameter", "target_model: required.")
        name = ask.input.get("prefix") or ask.input.get("preferred_name") or "sandbox"
        made = f"{shelf.prefix}-{name}-{ask.fresh_id('thing').hex}"
        things[made] = {"gmt_create": self._now(), "status": "OK"}
        self._update_fields(things[made], ask.input)
        return {shelf.id_name: made, "target_model": target}

    def _list(self, ask: Ask, shelf: Shelf, things: Things) -> Payload:
        prefix = f"{shelf.prefix}-{ask.input.get('prefix', '')}"
        size = number_in(ask.input, "page_size", PAGE_SIZE)
        start = number_in(ask.input, "page_index", 0) * size
        rows = [{shelf.id_name: made} | thing for made, thing in things.items()]
        chosen = [row for row in rows if row[shelf.id_name].startswith(prefix)]
        return {shelf.list_name: chosen[start : start + size]}

    def _query(self, ask: Ask, shelf: Shelf, things: Things) -> Payload:
        return {shelf.id_name: ask.input[shelf.id_name]} | _held(ask, shelf, things)

    def _update(self, ask: Ask, shelf: Shelf, things: Things) -> Payload:
        self._update_fields(_held(ask, shelf, things), ask.input)
        return {}

    def _delete(self, ask: Ask, shelf: Shelf, things: Things) -> Payload:
        _held(ask, shelf, things)
        del things[ask.input[shelf.id_name]]
        return {}

    def _update_fields(self, thing: Payload, given: Payload) -> None:
        thing["gmt_modified"] = self._now()
        thing.update({name: given[name] for name in KEPT if name in given})

    def _now(self) -> str:
        return beijing(self._clock()).partition(".")[0]


def _held(ask: Ask, shelf: Shelf, things: Things) -> Payload:
    thing = things.get(str(ask.input.get(shelf.id_name)))
    if thing is None:
        raise RefusalError(400, "BadRequest.ResourceNotExist", "The required resource not exist.")
    return thing

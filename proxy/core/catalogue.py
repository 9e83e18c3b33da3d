"""`GET models` narrowed to what the token may use, in pages that are still full.

Upstream knows hundreds of models and filters by its own account. Narrowing page by page would
hand a tenant with two models thirty empty pages, so the whole catalogue is gathered and paged
anew; its entries cross as they came.
"""

import json
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode

from proxy.core.answers import AnswerUnreadableError

GATHER_SIZE = 100
"""Entries asked of upstream at a time."""

MAX_PAGES = 50
"""Pages gathered at most: some 5,000 models, ten times what there are."""

_PAGING = frozenset({"page_no", "page_size"})


def gather_query(query: str | None, page_no: int) -> str:
    """The caller's filters with the proxy's own paging."""
    kept = [
        pair for pair in parse_qsl(query or "", keep_blank_values=True) if pair[0] not in _PAGING
    ]
    return urlencode([*kept, ("page_no", str(page_no)), ("page_size", str(GATHER_SIZE))])


def models_of(answer: object) -> tuple[Mapping[str, object], list[Mapping[str, object]]]:
    """One page's answer and its entries. Raises `AnswerUnreadableError` when it is none."""
    output = answer.get("output") if isinstance(answer, dict) else None
    models = output.get("models") if isinstance(output, dict) else None
    if not isinstance(answer, dict) or not isinstance(models, list):
        raise AnswerUnreadableError("no output.models")
    return answer, [entry for entry in models if isinstance(entry, dict)]


def narrowed(
    answer: Mapping[str, object],
    models: list[Mapping[str, object]],
    page_no: int,
    page_size: int,
) -> bytes:
    """The answer's body: upstream's last envelope around one page of `models`."""
    first = (page_no - 1) * page_size
    output = answer.get("output")
    page = {
        "total": len(models),
        "page_no": page_no,
        "page_size": page_size,
        "models": models[first : first + page_size],
    }
    whole = {**answer, "output": {**(output if isinstance(output, dict) else {}), **page}}
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode()


def name_of(entry: Mapping[str, object]) -> str:
    """A model's name as one puts it into a request; empty, and so never allowed, without one."""
    name = entry.get("model") or entry.get("name")
    return name if isinstance(name, str) else ""

"""What `routes.yaml` may say, field by field. The shipped file shows each in use.

A description says what would be right; it is the second half of every message about a mistake.
"""

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PlainValidator, field_validator

from proxy.config.families import FamilyEntry
from proxy.config.kinds import NotRightError, Patterns, SomeWords, Strict, as_list, like
from proxy.config.prices import Currency, PriceEntry
from proxy.core.accounts import POLLS_PER_SECOND

_MATCH = re.compile(r"([A-Z]+(?:,[A-Z]+)*) (/\S*|\{[a-z]+\}/\S*)")
_BODY_PLACE = r"body(\.[A-Za-z_]+\??(\[\])?){1,5}(?<![\]?])"
_FRAME_PLACE = r"frame(\.[A-Za-z_]+\??(\[\])?){1,5}(?<![\]?])"
_MODEL_PLACE = r"body(\.[A-Za-z_]+){1,2}|frame(\.[A-Za-z_]+){1,3}|query\.[A-Za-z_]+|path\.[a-z_]+"
_ANSWER_PLACE = r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*"
_TARGET = r"(/(?!\.{1,2}(/|$))([^{}?#\s/\\]|\{[a-z_]+(\*\*)?\})+)+/?"
_PREFIX = r"(/[^/\s]+)+"
_VARIABLE = r"[A-Za-z_][A-Za-z0-9_]*"


def _safe_value(value: object) -> str | bool | None:
    if value is None or isinstance(value, str | bool):
        return value
    raise NotRightError


SafeValue = Annotated[str | bool | None, PlainValidator(_safe_value)]
Places = Annotated[list[Annotated[str, like(_MODEL_PLACE)]], BeforeValidator(as_list)]
UpstreamPath = Annotated[
    str,
    like(_TARGET),
    Field(description="a path on upstream, without query or dots, as in /api/v1/tasks/{task_id}"),
]


class KeyReference(Strict):
    """Where an account's key is kept: an environment variable or a file, never this file."""

    env: Annotated[str, like(_VARIABLE)] | None = Field(
        default=None, description="the name of an environment variable, as in BEIJING_KEY"
    )
    file: str | None = Field(
        default=None, description="the path of a file, as in /run/secrets/beijing"
    )


class UpstreamEntry(Strict):
    """An upstream account. `models` are patterns; `weight` 0 takes no new work."""

    name: Annotated[str, like(r"[A-Za-z0-9_.-]{1,64}")] = Field(
        description="a name of at most 64 letters, digits, `_`, `.` or `-`"
    )
    url: Annotated[str, like(r"https?://[^/?#@\s]+/?")] = Field(
        description="a root URL without path or credentials, as in https://dashscope.aliyuncs.com"
    )
    key: KeyReference = Field(
        description="`{env: NAME}` or `{file: /path}`: where the key is, never the key itself"
    )
    workspace: Annotated[str, like(r"[\x21-\x7e]+")] | None = Field(
        default=None, description="a workspace id: one word in ASCII"
    )
    models: Patterns = Field(
        default=["*"], description='one pattern or a list, as in ["wan*"]; without it, all models'
    )
    weight: float = Field(
        default=1.0, ge=0, le=1000, allow_inf_nan=False, description="a number from 0 to 1000"
    )

    polls_per_second: float = Field(
        default=POLLS_PER_SECOND,
        gt=0,
        le=10_000,
        allow_inf_nan=False,
        description="a number over 0, up to 10000",
    )
    connections: int | None = Field(
        default=None, ge=1, le=100_000, description="a whole number from 1 to 100000"
    )

    @field_validator("key")
    @classmethod
    def _exactly_one(cls, key: KeyReference) -> KeyReference:
        if (key.env is None) == (key.file is None):
            raise NotRightError
        return key


class Retarget(Strict):
    """Models that upstream serves on another path than the route's own."""

    models: Patterns = Field(description='one pattern or a list, as in ["wan*-kf2v-*"]')
    target: UpstreamPath


class TenantSafe(Strict):
    """Values at a place in the document without which the call acts on the whole account."""

    at: Annotated[str, like(f"{_BODY_PLACE}|{_FRAME_PLACE}")] = Field(
        description="a place in the body or in a WebSocket's text frames, as in body.input.action"
    )
    values: Annotated[list[SafeValue], BeforeValidator(as_list), Field(min_length=1)] = Field(
        description="one value or several, as in create_voice, true, or null for absent"
    )


class RouteFields(Strict):
    """What is judged, what is remembered, how it is answered: what routes may have in common."""

    scope: Literal["inference", "account", "nobody"] = "inference"
    model: Places = Field(
        default=[],
        description="body.model, body.input.target_model, frame.payload.model, query.model or "
        "path.NAME, or several",
    )
    asynchronous: Literal["as-asked", "always"] = Field(default="as-asked", alias="async")
    also_model: Annotated[
        list[Annotated[str, like(f"{_BODY_PLACE}|{_FRAME_PLACE}")]], BeforeValidator(as_list)
    ] = Field(
        default=[],
        description="a place in the body or in a WebSocket's text frames, or several, as "
        "body.parameters.prompt_extend_model or frame.session.model",
    )
    websocket: Literal["frames", "session"] | None = None
    retarget: list[Retarget] = Field(default=[], description="a list of `models` and `target`")
    claims: Annotated[list[Annotated[str, like(_ANSWER_PLACE)]], BeforeValidator(as_list)] = Field(
        default=[], description="a place in the answer or several, as in output.task_id"
    )
    task: Annotated[str, like(r"path\.[a-z_]+")] | None = Field(
        default=None, description="a capture of the path, as in path.task_id"
    )
    unknown_task: Literal["error", "native"] = "error"
    tenant_safe: Annotated[list[TenantSafe], BeforeValidator(as_list)] = Field(
        default=[], description="`at` and `values`, or a list of such"
    )
    key_header: Annotated[str, like(r"[a-z]+(-[a-z]+)*")] | None = Field(
        default=None, description="a header field in lower case, as in x-api-key"
    )
    answer: Literal["upstream", "own-tasks", "allowed-models", "not-found"] = "upstream"
    envelope: Literal["native", "openai", "anthropic"] = "native"
    facade: Literal["unified", "compat"] | None = None
    usage: Literal["metered", "free"] = "metered"

    @field_validator("model")
    @classmethod
    def _one_of_a_kind(cls, places: list[str]) -> list[str]:
        for kind in ("query.", "path."):
            if sum(place.startswith(kind) for place in places) > 1:
                raise ValueError(f"only one place in the {kind[:-1]} can be judged, keep one")
        return places


class RouteEntry(RouteFields):
    """One rule: what is matched, where it goes, and what happens on the way."""

    match: SomeWords = Field(
        description="`METHOD /path` or several, as in `POST /task/{task_id}/cancel`"
    )
    target: UpstreamPath
    name: str | None = Field(default=None, description="text")
    like: str | None = Field(default=None, description="one of the names under `defaults:`")

    def with_defaults(self, defaults: RouteFields) -> "RouteEntry":
        """The same rule, with what `defaults` says where it says nothing itself."""
        missing = defaults.model_fields_set - self.model_fields_set
        return self.model_copy(update={name: getattr(defaults, name) for name in missing})

    @field_validator("match")
    @classmethod
    def _method_and_path(cls, match: list[str]) -> list[str]:
        for text in match:
            if not _MATCH.fullmatch(text):
                raise ValueError(f"{text!r} is not `METHOD /path`, as in `POST /task/{{id}}`")
        return match


class RouteFile(Strict):
    """The whole file."""

    version: Literal[1] = Field(description="1")
    prefixes: dict[
        str, Annotated[list[Annotated[str, like(_PREFIX)]], BeforeValidator(as_list)]
    ] = Field(
        default={}, description="names with one path or several, as in `native: [/api/v1, /other]`"
    )
    defaults: dict[str, RouteFields] = Field(
        default={}, description="names with fields of routes, as in `service: {model: body.model}`"
    )
    families: list[FamilyEntry] = Field(
        default=[], description="a list of families of models, each with `models`"
    )
    upstreams: list[UpstreamEntry] = Field(default=[], description="a list of accounts")
    currency: Currency = Field(default="", description="the currency of all prices, as in CNY")
    pricing: Literal["optional", "required"] = "optional"
    prices: list[PriceEntry] = Field(
        default=[], description="a list of prices, each with `models` and what they cost"
    )
    routes: list[RouteEntry] = Field(description="a list of routes, each with `match` and `target`")

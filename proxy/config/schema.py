"""What `routes.yaml` may say, field by field. The shipped file shows each in use."""

import re
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

_PLACE = re.compile(r"(body(\.[A-Za-z_]+){1,2}|query\.[A-Za-z_]+|path\.[a-z_]+)")
_MATCH = re.compile(r"([A-Z]+(?:,[A-Z]+)*) (/\S*|\{[a-z]+\}/\S*)")


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


Words = Annotated[list[str], BeforeValidator(_as_list)]
"""One word or a list of them."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class KeyReference(_Strict):
    """Where an account's key is kept: an environment variable or a file, never this file."""

    env: str | None = None
    file: str | None = None


class UpstreamEntry(_Strict):
    """An upstream account. `models` are patterns; `weight` 0 takes no new work."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    url: str = Field(pattern=r"^https?://[^/?#@\s]+/?$")
    key: KeyReference
    workspace: str | None = None
    models: Words = ["*"]
    weight: float = Field(default=1.0, ge=0, le=1000, allow_inf_nan=False)

    @field_validator("key")
    @classmethod
    def _exactly_one(cls, key: KeyReference) -> KeyReference:
        if (key.env is None) == (key.file is None):
            raise ValueError("give either `env: NAME` or `file: /path`")
        return key


class Retarget(_Strict):
    """Models that upstream serves on another path than the route's own."""

    models: Words
    target: str = Field(pattern=r"^/")


class TenantSafe(_Strict):
    """Values at a place in the body without which the call acts on the whole account."""

    at: str
    values: Words


class RouteEntry(_Strict):
    """One rule: what is matched, where it goes, what is judged, what is remembered."""

    match: Words
    target: str = Field(pattern=r"^/")
    name: str | None = None
    scope: Literal["inference", "account", "nobody"] = "inference"
    model: Words = []
    asynchronous: Literal["as-asked", "always"] = Field(default="as-asked", alias="async")
    retarget: list[Retarget] = []
    claims: Words = []
    task: str | None = Field(default=None, pattern=r"^path\.[a-z_]+$")
    unknown_task: Literal["error", "native"] = "error"
    tenant_safe: TenantSafe | None = None
    answer: Literal["upstream", "own-tasks", "allowed-models"] = "upstream"
    envelope: Literal["native", "openai"] = "native"

    @field_validator("match")
    @classmethod
    def _method_and_path(cls, match: list[str]) -> list[str]:
        for text in match:
            if not _MATCH.fullmatch(text):
                raise ValueError(f"{text!r} is not `METHOD /path`, as in `POST /task/{{id}}`")
        return match

    @field_validator("model")
    @classmethod
    def _known_places(cls, places: list[str]) -> list[str]:
        for place in places:
            if not _PLACE.fullmatch(place):
                raise ValueError(
                    f"{place!r} is no place for a model; use body.model, body.input.target_model, "
                    "query.model or path.NAME"
                )
        return places


class RouteFile(_Strict):
    """The whole file."""

    version: Literal[1]
    prefixes: dict[str, Words] = {}
    upstreams: list[UpstreamEntry] = []
    routes: list[RouteEntry]

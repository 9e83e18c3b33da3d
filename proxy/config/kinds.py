"""Kinds of values that `routes.yaml` has in several parts, and the strictness of all parts."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field


class NotRightError(ValueError):
    """A value is not what its field's description says."""


class Strict(BaseModel):
    """A part of the file: what it does not know is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def as_list(value: object) -> object:
    """One thing, where there may be several, is a list of it."""
    return [value] if isinstance(value, str | dict) else value


def like(pattern: str) -> AfterValidator:
    """The whole text is like the pattern, or not right; it may be a secret, so it is not shown."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise NotRightError
        return text

    return AfterValidator(check)


Words = Annotated[list[str], BeforeValidator(as_list)]
"""One word or a list of them."""

SomeWords = Annotated[Words, Field(min_length=1)]

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


def _whole_words(words: list[str]) -> list[str]:
    if not all(word and word.isprintable() and not set(word) & set(" ,") for word in words):
        raise NotRightError
    return words


Words = Annotated[list[str], BeforeValidator(as_list)]
"""One word or a list of them."""

SomeWords = Annotated[Words, Field(min_length=1)]

Patterns = Annotated[SomeWords, AfterValidator(_whole_words)]
"""One pattern of models or a list of them; two of them in one text would match nothing."""

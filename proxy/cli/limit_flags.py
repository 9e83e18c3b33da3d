"""The flags for limits: one for each, for a token and for a tenant alike."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import click

from proxy.cli.options import fail, visible
from proxy.core.limits import (
    NAMES,
    Limits,
    LimitUnreadableError,
    limits_from_fields,
    limits_to_fields,
)

NONE = "none"
"""What takes a limit away."""

_HELP = {
    "requests_per_minute": "Calls a minute, polls and cancels aside.",
    "submits_per_minute": "Calls a minute that create a task.",
    "concurrent_tasks": "Tasks that run at a time.",
    "concurrent_streams": "Streamed answers and WebSockets at a time.",
    "budget_day": "Money for a day, Beijing's, in the currency of the prices.",
    "budget_month": "Money for a month, Beijing's.",
    "budget_total": "Money for all times.",
}

Command = TypeVar("Command", bound=Callable[..., Any])


def limit_options(command: Command) -> Command:
    """Give a command a flag for each limit, and its text, if given, under the limit's name."""
    for name in reversed(NAMES):
        metavar = "AMOUNT|none" if name.startswith("budget_") else "N|none"
        option = click.option(
            flag_of(name), name, metavar=metavar, callback=visible, help=_HELP[name]
        )
        command = option(command)
    return command


def flag_of(name: str) -> str:
    """How a limit is called on the command line."""
    return f"--{name.replace('_', '-')}"


def read_limits(given: Mapping[str, str | None]) -> dict[str, int | None]:
    """What the flags ask for; None is no limit any more. Ends the program on a mistake.

    A flag that was not given has no place in it.
    """
    texts = {name: text for name, text in given.items() if text is not None}
    return {name: _read(name, text) for name, text in texts.items()}


def limited(limits: Limits, changes: Mapping[str, int | None]) -> Limits:
    """The limits with what the flags ask for."""
    return replace(limits, **changes)


def limit_words(limits: Limits) -> list[str]:
    """What is limited, for a cell of a table: `budget_day=12.5`."""
    return [f"{name}={text}" for name, text in limits_to_fields(limits).items()]


def _read(name: str, text: str) -> int | None:
    if text == NONE:
        return None
    try:
        read: int = getattr(limits_from_fields({name: text}), name)
    except LimitUnreadableError as error:
        problem = str(error).removeprefix(f"{name}: ")
        fail([f"{flag_of(name)}: {problem}; `{NONE}` takes the limit away"])
    return read

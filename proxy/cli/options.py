"""What several commands share: settings from flags over the environment, and a store."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import NoReturn, TypeVar

import click

from proxy.cli.minting import TokenError
from proxy.config import ConfigError
from proxy.config.settings import Settings, load_settings
from proxy.core.errors import StoreUnavailableError
from proxy.ports import Store
from proxy.stores import open_store

Result = TypeVar("Result")


def visible(_: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """A click callback: refuse what is empty or cannot be shown on one line.

    A flag that an unset shell variable left empty would otherwise mean "never" or "the default".
    """
    if value is not None and not (value.strip() and value.isprintable()):
        is_flag = isinstance(parameter, click.Option)
        name = parameter.opts[0] if is_flag else parameter.metavar or "NAME"
        fail([f"{name}: must not be empty, nor hold line breaks or control characters"])
    return value


store_option = click.option(
    "--store",
    metavar="URL",
    callback=visible,
    help="Where tokens and tasks are kept (PROXY_STORE).",
)
as_json_option = click.option(
    "--json", "as_json", is_flag=True, help="One JSON object, for programs."
)
routes_option = click.option(
    "--routes",
    metavar="FILE",
    callback=visible,
    help="Route table and upstream accounts (PROXY_ROUTES).",
)


def settings_from(
    flags: Mapping[str, str | None], extra: Mapping[str, str] | None = None
) -> Settings:
    """Settings from the environment with flags, by variable name, laid over it.

    Ends the program with every problem on a line of its own.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        return load_settings({**os.environ, **(extra or {}), **given})
    except ConfigError as error:
        fail(error.problems)


def fail(problems: list[str]) -> NoReturn:
    """Print the problems, each by the name that was used to say it, and end with status 1."""
    for problem in problems:
        click.echo(_as_given(problem), err=True)
    sys.exit(1)


def checked_store(settings: Settings) -> Store:
    """The configured store, not opened. Ends the program when its URL makes no sense."""
    try:
        return open_store(settings.store, prefix=settings.env.store_prefix)
    except ValueError as error:
        fail([f"PROXY_STORE: {error}"])


def kept_settings(store: str | None) -> Settings:
    """Settings whose store outlives a command. Ends the program when there is none."""
    settings = settings_from({"PROXY_STORE": store})
    if settings.store.startswith("memory:"):
        fail(["PROXY_STORE: memory: ends with this command; use sqlite:// or redis://"])
    return settings


def with_store(settings: Settings, use: Callable[[Store], Awaitable[Result]]) -> Result:
    """Run `use` on the configured store, opened and closed around it.

    Ends the program when the store cannot be used, and for a `TokenError` of `use`.
    """
    store = checked_store(settings)

    async def run() -> Result:
        try:
            await store.open()
        except ValueError as error:  # a file of a later version
            raise ConfigError([f"PROXY_STORE: {error}"]) from error
        try:
            return await use(store)
        except StoreUnavailableError as error:
            raise ConfigError([unavailable(settings, store, error)]) from error
        finally:
            await store.close()

    try:
        return asyncio.run(run())
    except ConfigError as error:
        fail(error.problems)
    except TokenError as error:
        fail([str(error)])


def unavailable(settings: Settings, store: Store, error: StoreUnavailableError) -> str:
    """Why the store does not answer, in the words of what failed; a client never sees them."""
    cause = error.__cause__
    why = f"{type(cause).__name__}: {cause}" if cause else store.trouble
    return f"PROXY_STORE: the {settings.store.partition(':')[0]} store does not answer: {why}"


def _as_given(problem: str) -> str:
    """The problem, under its flag's name when the flag was given and not the variable."""
    name, colon, rest = problem.partition(":")
    context = click.get_current_context(silent=True)
    flag = name.removeprefix("PROXY_").lower()
    if context is None or flag == name or context.params.get(flag) is None:
        return problem
    return f"--{flag}{colon}{rest}"

"""What several commands share: settings from flags over the environment, and a store."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import NoReturn, TypeVar

import click

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
        name = parameter.opts[0] if isinstance(parameter, click.Option) else "NAME"
        fail([f"{name}: must not be empty, nor hold line breaks or control characters"])
    return value


store_option = click.option(
    "--store",
    metavar="URL",
    callback=visible,
    help="Where tokens and tasks are kept (PROXY_STORE).",
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
    """Print the problems and end with status 1."""
    for problem in problems:
        click.echo(problem, err=True)
    sys.exit(1)


def with_store(settings: Settings, use: Callable[[Store], Awaitable[Result]]) -> Result:
    """Run `use` on the configured store, opened and closed around it."""

    async def run() -> Result:
        store = open_store(settings.store, prefix=settings.env.store_prefix)
        await store.open()
        try:
            return await use(store)
        finally:
            await store.close()

    try:
        return asyncio.run(run())
    except StoreUnavailableError as error:
        scheme = settings.store.partition(":")[0]
        fail([f"PROXY_STORE: the {scheme} store does not answer: {error}"])
    except ValueError as error:
        fail([f"PROXY_STORE: {error}"])

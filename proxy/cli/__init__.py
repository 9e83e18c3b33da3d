"""`dashscope-proxy`: argv -> app. One module per command; this one only names them.

A command is imported when it is asked for: `serve` needs nothing of the others, and imports are
most of what it takes to start.
"""

# ruff: noqa: PLC0415 - see above

from collections.abc import Callable, Mapping
from functools import cache

import click

from proxy.cli.imports import unsearched


def _check() -> click.Command:
    from proxy.cli.check import check

    return check


def _sandbox() -> click.Command:
    from proxy.cli.sandbox import sandbox

    return sandbox


def _serve() -> click.Command:
    from proxy.cli.serve import serve

    return serve


def _tenant() -> click.Command:
    from proxy.cli.tenant import tenant

    return tenant


def _token() -> click.Command:
    from proxy.cli.token import token

    return token


def _usage() -> click.Command:
    from proxy.cli.usage import usage

    return usage


COMMANDS: Mapping[str, Callable[[], click.Command]] = {
    "check": _check,
    "sandbox": _sandbox,
    "serve": _serve,
    "tenant": _tenant,
    "token": _token,
    "usage": _usage,
}
"""What there is, in the order in which it is listed."""


class Commands(click.Group):
    """The commands above."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """See `click.Group.list_commands`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """See `click.Group.get_command`."""
        return _imported(cmd_name) if cmd_name in COMMANDS else None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dashscope-proxy")
def main() -> None:
    """A DashScope-compatible reverse proxy: tokens, model allowlists, tenants kept apart."""


@cache
def _imported(name: str) -> click.Command:
    with unsearched():
        return COMMANDS[name]()

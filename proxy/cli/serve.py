"""`serve`: run the proxy, in this process or in several."""

import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import click

from proxy.app.notices import telemetry_of
from proxy.app.sockets import bind_all, name_of
from proxy.app.workers import Workers, inherited_sockets, program
from proxy.cli import minting
from proxy.cli.imports import unsearched
from proxy.cli.options import (
    checked_store,
    fail,
    routes_option,
    settings_from,
    store_option,
    unavailable,
    visible,
    with_store,
)
from proxy.config import ConfigError
from proxy.config.settings import Settings
from proxy.core.errors import StoreUnavailableError
from proxy.ports import Store

DEMO = "serve --demo"
"""The token's name: one that nobody gives to a token of their own, for it is replaced."""

_BODY = (
    '{"model":"wan2.6-t2v","input":{"prompt":"A kitten general on a cliff"},'
    '"parameters":{"size":"1280*720","duration":5}}'
)
_GREETING = """
Token   {secret}
Submit  {curl}/task/bailian/text2video -H 'Authorization: Bearer {secret}' \\
          -H 'Content-Type: application/json' -d '{body}'
Poll    {curl}/task/TASK_ID -H 'Authorization: Bearer {secret}'
"""
_SDK = """SDK     DASHSCOPE_HTTP_BASE_URL={url}/api/v1 DASHSCOPE_API_KEY={secret}
"""


@click.command()
@click.option(
    "--listen",
    metavar="ADDRESS",
    callback=visible,
    help="host:port or unix:/path (PROXY_LISTEN).",
)
@click.option(
    "--workers", metavar="N", callback=visible, help="Processes, or auto (PROXY_WORKERS)."
)
@routes_option
@store_option
@click.option(
    "--demo", is_flag=True, help="Print a token and a curl; without a key, use the sandbox."
)
def serve(
    listen: str | None,
    workers: str | None,
    routes: str | None,
    store: str | None,
    *,
    demo: bool,
) -> None:
    """Run the proxy until SIGTERM or Ctrl-C, then finish what runs and exit with 0."""
    flags = {
        "PROXY_LISTEN": listen,
        "PROXY_WORKERS": workers,
        "PROXY_ROUTES": routes,
        "PROXY_STORE": store,
    }
    settings = settings_from(flags)
    inherited = inherited_sockets(os.environ)
    if inherited is not None:
        _run(settings, *inherited, is_worker=True)
        return
    with _sandbox_if(wanted=demo and not settings.accounts) as upstream:
        if upstream is not None:
            os.environ |= upstream
            settings = settings_from(flags)
        if not settings.accounts:
            fail(
                ["DASHSCOPE_API_KEY: set it, or list `upstreams:` in the route file, or try --demo"]
            )
        sys.exit(_serve(settings, demo=demo))


def _serve(settings: Settings, *, demo: bool) -> int:
    several = settings.env.workers > 1
    if several and settings.store.startswith("memory:"):
        fail(["PROXY_STORE: memory: lives in one process; use sqlite:// or redis:// with workers"])
    checked_store(settings)
    public, admin = _bound(settings, shared=several)
    greet = partial(_greet, settings, [name_of(one) for one in public]) if demo else None
    if not several:
        _run(settings, public, admin, greet)
        return 0
    # What no worker can mend is told once, here, instead of by each of them again and again.
    with_store(settings, greet or _nothing)
    command = [*program(), *sys.argv[1:]]
    telemetry = telemetry_of(settings)
    return Workers(settings.env.workers, command, public, admin, telemetry).run()


def _run(
    settings: Settings,
    public: list[socket.socket],
    admin: list[socket.socket],
    greet: Callable[[Store], Awaitable[None]] | None = None,
    *,
    is_worker: bool = False,
) -> None:
    with unsearched():  # what the parent of workers does without: 45 % of the imports, 15 MiB
        from proxy.app.process import run_process  # noqa: PLC0415 - see above

    try:
        run_process(settings, public, admin, greet, is_worker=is_worker)
    except ConfigError as error:
        fail(error.problems)


async def _nothing(_: Store) -> None:
    """Only to see whether the store opens; one that is down now may come back."""


def _bound(settings: Settings, *, shared: bool) -> tuple[list[socket.socket], list[socket.socket]]:
    try:
        return (
            bind_all(settings.env.listen, "PROXY_LISTEN", shared=shared),
            bind_all(settings.env.admin_listen, "PROXY_ADMIN_LISTEN"),
        )
    except ConfigError as error:
        fail(error.problems)


@contextmanager
def _sandbox_if(*, wanted: bool) -> Iterator[dict[str, str] | None]:
    """A sandbox in a process of its own, and the variables that point at it."""
    if not wanted:
        yield None
        return
    from proxy.sandbox.server import DEFAULT_KEY  # noqa: PLC0415 - a room that serving needs not

    command = [*program(), "sandbox", "--listen", "127.0.0.1:0", "--leash"]
    # In a process group of its own: Ctrl-C is for the proxy, which still drains against it.
    with subprocess.Popen(  # noqa: S603 - our own command line
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as helper:
        try:
            line = helper.stdout.readline() if helper.stdout else ""
            found = re.search(r"http://\S+(?=,)", line)
            if not found:
                fail([f"the sandbox did not start: {line.strip()}"])
            click.echo(f"No DASHSCOPE_API_KEY is set: using the sandbox at {found[0]}.")
            click.echo("Nothing behind it is real, and nothing costs money.")
            yield {"DASHSCOPE_API_KEY": DEFAULT_KEY, "PROXY_UPSTREAM": found[0]}
        finally:
            helper.terminate()


async def _greet(settings: Settings, names: Sequence[str], store: Store) -> None:
    """Print a token and a request to paste. Raises `ConfigError` without a store."""
    try:
        secret = await _demo_token(store)
    except StoreUnavailableError as error:
        raise ConfigError([unavailable(settings, store, error)]) from error
    url = next((name for name in names if name.startswith("http")), None)
    path = shlex.quote(names[0].removeprefix("unix:"))
    curl = f"curl {url}" if url else f"curl --unix-socket {path} http://localhost"
    greeting = _GREETING + (_SDK if url else "")  # the SDK knows no Unix sockets
    click.echo(greeting.format(url=url, curl=curl, secret=secret, body=_BODY))


async def _demo_token(store: Store) -> str:
    """A new secret at every start for the one tenant: it can still poll what it made before."""
    try:
        found = await minting.find(store, DEMO)
    except minting.TokenError:
        found = []
    grant = found[-1][1] if found else minting.new_grant(DEMO, ["*"])
    secret = await minting.mint(store, grant)
    for digest, _ in found:
        await store.remove_grant(digest)
    return secret

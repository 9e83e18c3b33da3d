"""`sandbox`: a simulated DashScope upstream, in the foreground."""

import asyncio
import signal

import click

from proxy.app.leash import when_parent_ends
from proxy.cli.options import fail
from proxy.sandbox import Sandbox
from proxy.sandbox.server import DEFAULT_KEY

_LAST_PORT = 2**16 - 1


@click.command()
@click.option("--listen", default="127.0.0.1:8081", show_default=True, metavar="HOST:PORT")
@click.option("--key", "keys", multiple=True, help="An API key it accepts; each is an account.")
@click.option(
    "--task-seconds",
    type=click.FloatRange(min=0),
    default=3.0,
    show_default=True,
    help="How long a task takes to its end.",
)
@click.option(
    "--queries-per-second",
    type=click.IntRange(min=1),
    help="How often an account may poll; 20 at the real service. Without it: no limit.",
)
@click.option("--leash", is_flag=True, hidden=True, help="End when standard input does.")
def sandbox(
    listen: str,
    keys: tuple[str, ...],
    task_seconds: float,
    queries_per_second: int | None,
    *,
    leash: bool,
) -> None:
    """Run a simulated DashScope to develop and demonstrate against: no key, no cost.

    It behaves as the real one as far as clients can see; prompts with `sandbox:fail` fail. What
    it received is at /sandbox/requests, faults are set at /sandbox/faults.
    """
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > _LAST_PORT:
        fail([f"--listen: {listen!r} is no address; write host:port"])
    accepted = keys or (DEFAULT_KEY,)
    running = Sandbox(
        keys=accepted,
        task_seconds=task_seconds,
        host=host.strip("[]"),
        port=int(port),
        queries_per_second=queries_per_second,
    )
    try:
        asyncio.run(_run(running, accepted[0], leash=leash))
    except OSError as error:
        fail([f"--listen: {listen}: {error.strerror}"])


async def _run(sandbox: Sandbox, key: str, *, leash: bool) -> None:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    if leash:
        when_parent_ends(told.set)
    async with sandbox as running:
        click.echo(f"sandbox at {running.url}, key {key}")
        await told.wait()

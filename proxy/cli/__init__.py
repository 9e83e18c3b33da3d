"""`dashscope-proxy`: argv -> app. One module per command; this one only gathers them."""

import click

from proxy.cli.check import check
from proxy.cli.sandbox import sandbox
from proxy.cli.serve import serve
from proxy.cli.tenant import tenant
from proxy.cli.token import token
from proxy.cli.usage import usage


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dashscope-proxy")
def main() -> None:
    """A DashScope-compatible reverse proxy: tokens, model allowlists, tenants kept apart."""


for command in (serve, check, token, tenant, usage, sandbox):
    main.add_command(command)

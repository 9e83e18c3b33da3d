"""`python -m proxy` is `dashscope-proxy`."""

from proxy.cli import main

main(prog_name="dashscope-proxy")

"""A certificate for a test's own TLS server."""

import subprocess
from pathlib import Path

HOST = "upstream.test"


def self_signed(path: Path) -> Path:
    """One that names `HOST` and 127.0.0.1, and is its own authority; its key lies beside it."""
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    names = ["-subj", "/CN=upstream", "-addext", f"subjectAltName=DNS:{HOST},IP:127.0.0.1"]
    files = ["-keyout", f"{path}.key", "-out", str(path)]
    subprocess.run([*make.split(), *names, *files], check=True, capture_output=True)
    return path

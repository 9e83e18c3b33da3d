"""Real Redis for tests: one server, a cluster of three primaries, a master with Sentinel.

Everything binds to loopback on free ports, keeps its files in a directory of its own, and stops
when its `with` block ends:

    with RedisServer.started() as redis:
        redis.cli("SET", "key", "value")
        redis.pause(); redis.resume(); redis.kill(); redis.restart()

Every method blocks for some milliseconds (`restart`: until the server answers). A missing
`redis-server` is an error, never a skipped test.
"""

import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

HOST = "127.0.0.1"
START_SECONDS = 20.0
"""How long a server may take to answer: generous, for machines that are busy with other tests."""


class RedisServer:
    """One `redis-server` process. `port` stays the same through `kill` and `restart`."""

    def __init__(self, directory: Path, *options: str, program: str = "redis-server") -> None:
        self.port = 0
        self._directory = directory
        self._options = options
        self._program = _program(program)
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    @contextmanager
    def started(cls, *options: str, program: str = "redis-server") -> Iterator[Self]:
        """A running server with these configuration options (`"--appendonly", "yes"`)."""
        with tempfile.TemporaryDirectory(prefix="redis-") as directory:
            server = cls(Path(directory), *options, program=program)
            try:
                server.start()
                yield server
            finally:
                server.kill()

    @property
    def url(self) -> str:
        """Where it is, as the store wants it."""
        return f"redis://{HOST}:{self.port}"

    def start(self) -> None:
        """Start on a free port and wait until it answers; try others if the port gets taken."""
        for _ in range(5):
            self.port = free_port()
            if self._launch():
                return
        msg = f"{self._program} found no port: {self._log()}"
        raise RuntimeError(msg)

    def restart(self) -> None:
        """Start again on the same port, empty unless it persists."""
        self.kill()
        if not self._launch():
            msg = f"{self._program} did not come back: {self._log()}"
            raise RuntimeError(msg)

    def kill(self) -> None:
        """End the process at once, as a crash would. Harmless when it is not running."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Freeze it: connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Go on after `pause`."""
        self._signal(signal.SIGCONT)

    def cli(self, *words: str) -> str:
        """Run one command with the real `redis-cli` and return what it prints."""
        command = [_program("redis-cli"), "-h", HOST, "-p", str(self.port), *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.strip()

    @contextmanager
    def monitor(self) -> Iterator[list[str]]:
        """Collect the commands other clients send: the list is complete after the block."""
        lines: list[str] = []
        with socket.create_connection((HOST, self.port), timeout=10) as peer:
            stream = peer.makefile("rb")
            peer.sendall(b"MONITOR\r\n")
            stream.readline()
            yield lines
            # Monitors hear in order: when this word comes round, everything before it has.
            self.cli("ECHO", "monitor-ends")
            for line in stream:
                if b"monitor-ends" in line:
                    return
                lines.append(line.decode("utf-8", "replace").strip())

    def _launch(self) -> bool:
        log = self._directory / "log"
        command = [self._program, *self._arguments(), "--logfile", str(log)]
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            if self._answers():
                return True
            time.sleep(0.01)
        self.kill()
        return False

    def _arguments(self) -> list[str]:
        fixed = {
            "--port": str(self.port),
            "--bind": HOST,
            "--dir": str(self._directory),
            "--save": "",
        }
        return [word for pair in fixed.items() for word in pair] + list(self._options)

    def _answers(self) -> bool:
        """Whether it is this server that answers, and not somebody who took the port."""
        try:
            with socket.create_connection((HOST, self.port), timeout=1) as peer:
                peer.sendall(b"INFO server\r\n")
                answer = peer.recv(64 * 1024)
        except OSError:
            return False
        process = self._process
        own = process is not None and f"process_id:{process.pid}\r\n".encode() in answer
        return own or answer.startswith(b"-NOAUTH")

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            msg = "the server is not running"
            raise RuntimeError(msg)
        self._process.send_signal(number)

    def _log(self) -> str:
        with contextlib.suppress(OSError):
            return (self._directory / "log").read_text()[-2000:]
        return "no log"


class RedisCluster:
    """Three primaries that share the slots, and `spare`, a member without any."""

    def __init__(self, nodes: list[RedisServer]) -> None:
        self.primaries, self.spare = nodes[:3], nodes[3]

    @classmethod
    @contextmanager
    def started(cls) -> Iterator[Self]:
        """A cluster that covers all slots and agrees on it."""
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
        with ExitStack() as stack:
            nodes = [
                stack.enter_context(
                    RedisServer.started(*options, "--cluster-port", str(free_port()))
                )
                for _ in range(4)
            ]
            cluster = cls(nodes)
            cluster._join()
            yield cluster

    @property
    def url(self) -> str:
        """Where it is, as the store wants it: one node is enough, two are given."""
        hosts = ",".join(f"{HOST}:{node.port}" for node in self.primaries[:2])
        return f"redis+cluster://{hosts}"

    def cli(self, *words: str) -> str:
        """Run one command, on whichever node it belongs to."""
        return self.primaries[0].cli("-c", *words)

    def flush(self) -> None:
        """Empty it."""
        for node in self.primaries:
            node.cli("FLUSHALL")

    def owner_of(self, key: str) -> RedisServer:
        """The primary that holds a key's slot."""
        answer = self.primaries[0].cli("EXISTS", key)
        if not answer.startswith("MOVED"):
            return self.primaries[0]
        port = int(answer.rsplit(":", 1)[1])
        return next(node for node in [*self.primaries, self.spare] if node.port == port)

    def move_slot(self, key: str, target: RedisServer) -> None:
        """Give a key's slot to another member, its keys in it as well."""
        source = self.owner_of(key)
        slot = source.cli("CLUSTER", "KEYSLOT", key)
        names = {node: node.cli("CLUSTER", "MYID") for node in (source, target)}
        target.cli("CLUSTER", "SETSLOT", slot, "IMPORTING", names[source])
        source.cli("CLUSTER", "SETSLOT", slot, "MIGRATING", names[target])
        source.cli("MIGRATE", HOST, str(target.port), key, "0", "5000")
        for node in (target, source, *self.primaries, self.spare):
            node.cli("CLUSTER", "SETSLOT", slot, "NODE", names[target])

    def _join(self) -> None:
        first = self.primaries[0]
        bounds = [0, 5461, 10923, 16384]
        for node, start, end in zip(self.primaries, bounds, bounds[1:], strict=False):
            node.cli("CLUSTER", "ADDSLOTSRANGE", str(start), str(end - 1))
        members = [*self.primaries, self.spare]
        for epoch, node in enumerate(members, start=1):
            node.cli("CLUSTER", "SET-CONFIG-EPOCH", str(epoch))
        for node in members[1:]:
            bus = node.cli("CONFIG", "GET", "cluster-port").split()[-1]
            first.cli("CLUSTER", "MEET", HOST, str(node.port), bus)
        for node in members:
            wait_until(lambda node=node: _agrees(node, len(members)))  # type: ignore[misc]


class RedisSentinel:
    """A master, a replica, and one Sentinel that may fail over by itself. Its master: `main`."""

    def __init__(self, first: RedisServer, second: RedisServer, sentinel: RedisServer) -> None:
        self.servers = (first, second)
        self.sentinel = sentinel

    @classmethod
    @contextmanager
    def started(cls) -> Iterator[Self]:
        """A master whose replica has caught up and is known to Sentinel."""
        with ExitStack() as stack:
            first = stack.enter_context(RedisServer.started(*_EAGER))
            second = stack.enter_context(
                RedisServer.started(*_EAGER, "--replicaof", f"{HOST} {first.port}")
            )
            wait_until(lambda: "master_link_status:up" in second.cli("INFO", "replication"))
            sentinel = stack.enter_context(_Sentinel.started())
            sentinel.cli("SENTINEL", "MONITOR", "main", HOST, str(first.port), "1")
            sentinel.cli("SENTINEL", "SET", "main", "down-after-milliseconds", "1000")
            sentinel.cli("SENTINEL", "SET", "main", "failover-timeout", "3000")
            wait_until(lambda: str(second.port) in sentinel.cli("SENTINEL", "REPLICAS", "main"))
            yield cls(first, second, sentinel)

    @property
    def url(self) -> str:
        """Where it is, as the store wants it."""
        return f"redis+sentinel://{HOST}:{self.sentinel.port}/main"

    @property
    def master(self) -> RedisServer:
        """The server that Sentinel names now."""
        port = self.sentinel.cli("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main").split()[1]
        return next(server for server in self.servers if str(server.port) == port)

    def cli(self, *words: str) -> str:
        """Run one command on the master."""
        return self.master.cli(*words)

    def flush(self) -> None:
        """Empty it."""
        self.master.cli("FLUSHALL")

    def fail_over(self) -> None:
        """Make the other server the master, and wait until it is."""
        before = self.master
        wait_until(lambda: self.sentinel.cli("SENTINEL", "FAILOVER", "main") == "OK")
        wait_until(lambda: self.master is not before)


class _Sentinel(RedisServer):
    """Sentinel is the same program; it insists on a configuration file that it may rewrite."""

    def _arguments(self) -> list[str]:
        settings = self._directory / "sentinel.conf"
        settings.write_text(f"port {self.port}\nbind {HOST}\ndir {self._directory}\n")
        return [str(settings), "--sentinel"]


_EAGER = ("--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1")


def free_port() -> int:
    """A loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(true: Callable[[], bool], seconds: float = START_SECONDS) -> None:
    """Poll until `true()`. Raises `TimeoutError` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            msg = f"still not true after {seconds} s"
            raise TimeoutError(msg)
        time.sleep(0.02)


def _agrees(node: RedisServer, members: int) -> bool:
    info = node.cli("CLUSTER", "INFO").splitlines()
    return {"cluster_state:ok", f"cluster_known_nodes:{members}"} <= set(info)


def _program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        msg = f"{name} is not on PATH: the store tests need a real Redis 7 (`redis-server`)"
        raise RuntimeError(msg)
    return path

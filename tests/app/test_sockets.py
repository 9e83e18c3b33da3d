"""Addresses become bound, listening sockets, or one line that says why not."""

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proxy.app.sockets import bind_all, close_all, name_of, share
from proxy.config import ConfigError
from proxy.config.settings import Address

LOOPBACK = Address("127.0.0.1", 0)


@contextmanager
def bound(*addresses: Address, shared: bool = False) -> Iterator[list[socket.socket]]:
    sockets = bind_all(addresses, "PROXY_LISTEN", shared=shared)
    try:
        yield sockets
    finally:
        close_all(sockets)


def address_of(one: socket.socket) -> Address:
    host, port = one.getsockname()[:2]
    return Address(host, port)


def problem(*addresses: Address) -> str:
    """What is told when these cannot be bound."""
    with pytest.raises(ConfigError) as caught:
        close_all(bind_all(addresses, "PROXY_LISTEN"))
    (told,) = caught.value.problems
    return told


def connects(one: socket.socket) -> bool:
    with socket.socket(one.family, socket.SOCK_STREAM) as peer:
        peer.settimeout(2)
        return peer.connect_ex(one.getsockname()) == 0


@pytest.mark.parametrize(
    ("address", "name"),
    [
        (LOOPBACK, "http://127.0.0.1:"),
        (Address("::1", 0), "http://[::1]:"),
        (Address("localhost", 0), "http://"),
        (Address("0.0.0.0", 0), "http://0.0.0.0:"),  # noqa: S104 - a container's address
    ],
    ids=str,
)
def test_a_free_port_has_its_real_name(address: Address, name: str) -> None:
    """Port 0 picks one, accepts at once, and is told as a client would write it."""
    with bound(address) as (one,):
        assert connects(one)
        assert name_of(one).startswith(name)
        assert not name_of(one).endswith(":0")


def test_a_port_belongs_to_one_proxy() -> None:
    """A port in use is refused by name, whether workers would share it or not."""
    with bound(LOOPBACK) as (one,):
        taken = address_of(one)
        assert problem(taken).startswith(f"PROXY_LISTEN: {taken}: is in use; choose another")
        with pytest.raises(ConfigError):
            bind_all([taken], "PROXY_LISTEN", shared=True)
    with bound(LOOPBACK, shared=True) as (one,):
        assert "is in use" in problem(address_of(one))
        with pytest.raises(ConfigError):
            bind_all([address_of(one)], "PROXY_LISTEN", shared=True)


def test_nothing_stays_bound_when_one_fails() -> None:
    """Of a list in which one address is wrong, none is kept."""
    with bound(LOOPBACK) as (one,):
        taken = address_of(one)
        with bound(LOOPBACK) as (other,):
            free = address_of(other)
        problem(free, taken)
        with bound(free) as (again,):
            assert connects(again)


def test_workers_share_a_port() -> None:
    """A twin has an accept queue of its own on the same port; both get connections."""
    with bound(LOOPBACK, shared=True) as (one,):
        twin = share(one)
        try:
            assert twin.getsockname() == one.getsockname()
            peers = [socket.create_connection(one.getsockname()) for _ in range(64)]
            accepted = {id(queue): count_of(queue) for queue in (one, twin)}
            assert sum(accepted.values()) == 64
            assert all(accepted.values())
            close_all(peers)
        finally:
            twin.close()


def test_a_port_whose_workers_have_ended_is_free() -> None:
    """Also while connections that they closed first, whichever they are, wait for stray packets."""
    with bound(LOOPBACK, shared=True) as (one,):
        free = address_of(one)
        with share(one) as twin:
            peers = [socket.create_connection(one.getsockname()) for _ in range(64)]
            assert all([count_of(one), count_of(twin)])
    assert not any(peer.recv(1) for peer in peers)
    close_all(peers)  # from now on the connections are in TIME-WAIT: RFC 9293 section 3.6
    with bound(free, shared=True) as (again,):
        assert connects(again)


def count_of(queue: socket.socket) -> int:
    """How many connections wait in it."""
    count = 0
    while True:
        try:
            queue.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


def test_a_unix_socket_for_owner_and_group(tmp_path: Path) -> None:
    """A sidecar shares by group; nobody else connects."""
    path = tmp_path / "proxy.sock"
    with bound(Address(path=str(path))) as (one,):
        assert name_of(one) == f"unix:{path}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert connects(one)
        twin = share(one)
        assert twin.getsockname() == one.getsockname()
        twin.close()


def test_a_dead_socket_is_removed_and_a_live_one_is_not(tmp_path: Path) -> None:
    """What a killed process left does not keep its successor from starting."""
    address = Address(path=str(tmp_path / "proxy.sock"))
    with bound(address) as (one,):
        assert "is in use" in problem(address)
        assert connects(one)
    with bound(address) as (one,):
        assert connects(one)


def test_a_live_socket_that_does_not_answer_is_live(tmp_path: Path) -> None:
    """A proxy too busy to accept keeps its socket, and nobody hangs to find that out."""
    path = tmp_path / "busy.sock"
    with socket.socket(socket.AF_UNIX) as busy:
        busy.bind(str(path))
        busy.listen(0)
        waiting = []
        for _ in range(3):
            peer = socket.socket(socket.AF_UNIX)
            peer.setblocking(False)  # noqa: FBT003 - its only form
            peer.connect_ex(str(path))
            waiting.append(peer)
        assert "is in use" in problem(Address(path=str(path)))
        close_all(waiting)


def test_what_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    """A file that happens to stand there is not ours to remove, and is called what it is."""
    path = tmp_path / "letter"
    path.write_text("Dear all")
    assert problem(Address(path=str(path))).endswith("exists and is no socket; choose another path")
    assert path.read_text() == "Dear all"


UNFIT = [
    (Address(path="/nowhere/proxy.sock"), "No such file or directory"),
    (Address(path=f"/{'a' * 200}"), "path too long"),
    (Address("256.256.256.256", 80), "cannot be bound"),
    (Address("192.0.2.1", 8080), "Cannot assign requested address"),
]


@pytest.mark.parametrize(("address", "why"), UNFIT, ids=lambda value: str(value)[:30])
def test_why_an_address_cannot_be_had(address: Address, why: str) -> None:
    """The line names the variable, the address and the reason."""
    told = problem(address)
    assert told.startswith(f"PROXY_LISTEN: {address}: ")
    assert why in told


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without root's rights, where the tests run as root."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(65534)
    yield
    os.seteuid(was)


def test_a_permission_is_told_for_what_it_is(tmp_path: Path) -> None:
    """A folder is about folders, not about ports."""
    tmp_path.chmod(0o500)
    with as_nobody():
        assert "folder that this user may not write to" in problem(
            Address(path=str(tmp_path / "s"))
        )

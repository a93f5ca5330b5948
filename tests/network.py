"""A guard over the connections that tests make.

Nothing leaves the machine in any test: a suite that depends on somebody's server fails for somebody's reasons. Suites of
rules and use cases open no socket at all. The guard listens to Python's audit events, so it holds for every library that
uses Python's sockets; it is a guard against mistakes, not a wall.
"""

import ipaddress
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

Allowed = Literal["nothing", "loopback"]

_allowed: list[Allowed] = ["loopback"]


class ConnectionRefusedByTestsError(RuntimeError):
    """A test tried to reach something that its suite does not need."""


def watch() -> None:
    """Start judging connections; cannot be undone within the process."""
    sys.addaudithook(_judge)


@contextmanager
def allowing(what: Allowed) -> Iterator[None]:
    """Allow connections to this machine, or none, for a while."""
    _allowed.append(what)
    try:
        yield
    finally:
        _allowed.pop()


def _judge(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.getaddrinfo":
        _judge_name(arguments[0])
    elif event == "socket.connect":
        _judge_address(arguments[1])


def _judge_name(host: str | bytes | None) -> None:
    name = host.decode() if isinstance(host, bytes) else host
    if name is not None and not _is_here(name):
        raise ConnectionRefusedByTestsError(f"tests do not leave the machine: {name}")


def _judge_address(address: Any) -> None:
    # A path is a Unix socket: on this machine by nature, and asyncio wakes itself through such pairs.
    if not isinstance(address, tuple):
        return
    if not _is_here(str(address[0])):
        raise ConnectionRefusedByTestsError(f"tests do not leave the machine: {address[0]}:{address[1]}")
    if _allowed[-1] == "nothing":
        raise ConnectionRefusedByTestsError(
            f"this suite opens no sockets ({address[0]}:{address[1]}); mark the test with `services` or `sockets`"
        )


def _is_here(host: str) -> bool:
    if host in ("localhost", ""):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    # Unspecified: what a server binds to when it listens everywhere.
    return address.is_loopback or address.is_unspecified

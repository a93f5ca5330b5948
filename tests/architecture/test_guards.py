"""The guard over sockets does what the suites rely on."""

import socket

import pytest

from tests import network


def test_a_suite_of_rules_opens_no_socket() -> None:
    with socket.socket() as client, pytest.raises(network.ConnectionRefusedByTestsError, match="opens no sockets"):
        client.connect(("127.0.0.1", 9))


@pytest.mark.sockets
def test_a_test_that_says_so_reaches_this_machine() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        assert client.getpeername() == server.getsockname()


@pytest.mark.sockets
@pytest.mark.parametrize("host", ["192.0.2.1", "example.com"])
def test_nothing_leaves_the_machine(host: str) -> None:
    with pytest.raises(network.ConnectionRefusedByTestsError, match="leave the machine"):
        socket.create_connection((host, 80))

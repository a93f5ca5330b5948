"""The lean HTTP client, fed with bytes as they arrive from a network: whole, in pieces, or not at all."""

import asyncio

import pytest

from bench.stock.wire import Connection, WireError, content_length


class Line(asyncio.Transport):
    """A transport that keeps what was written."""

    def __init__(self) -> None:
        super().__init__()
        self.written, self.closed = b"", False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


def connected() -> tuple[Connection, Line]:
    connection, line = Connection(), Line()
    connection.connection_made(line)
    return connection, line


async def test_an_answer_in_one_piece() -> None:
    connection, line = connected()
    answer = connection.ask(b"POST / HTTP/1.1\r\n\r\n")
    connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsold")
    assert line.written == b"POST / HTTP/1.1\r\n\r\n"
    assert await answer == (200, b"sold")


async def test_an_answer_byte_by_byte() -> None:
    connection, _ = connected()
    answer = connection.ask(b"x")
    for byte in b"HTTP/1.1 409 Conflict\r\nserver: x\r\ncontent-length: 2\r\n\r\nno":
        assert not answer.done()
        connection.data_received(bytes([byte]))
    assert await answer == (409, b"no")


async def test_a_connection_answers_again_and_again() -> None:
    connection, _ = connected()
    for body in (b"a", b"", b"ccc"):
        answer = connection.ask(b"x")
        connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        assert await answer == (200, body)


async def test_one_request_at_a_time() -> None:
    connection, _ = connected()
    connection.ask(b"x")
    with pytest.raises(WireError):
        connection.ask(b"y")


async def test_a_lost_connection_fails_the_waiting_request_and_the_next() -> None:
    connection, line = connected()
    answer = connection.ask(b"x")
    connection.connection_lost(None)
    with pytest.raises(WireError, match="closed"):
        await answer
    assert line.closed
    with pytest.raises(WireError):
        connection.ask(b"y")


async def test_an_answer_without_a_length_fails_instead_of_hanging() -> None:
    connection, _ = connected()
    answer = connection.ask(b"x")
    connection.data_received(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    with pytest.raises(WireError, match="Content-Length"):
        await answer


def test_no_content_needs_no_length() -> None:
    assert content_length(b"HTTP/1.1 204 No Content\r\nserver: x") == 0

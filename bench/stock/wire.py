"""A lean HTTP/1.1 client for loads: keep-alive connections, one request at a time on each, answers with a length.

A general client costs more processor time a request than the server that is being measured; this one costs about what
writing and reading the bytes costs.
"""

import asyncio
from collections import deque
from typing import cast

_END_OF_HEAD = b"\r\n\r\n"


class WireError(Exception):
    """The answer was not one that this client reads, or the connection went away."""


class Connection(asyncio.Protocol):
    """One connection. `ask` sends a whole request and returns status and body of its answer."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[tuple[int, bytes]] | None = None
        self._received = bytearray()
        self._body_at = 0
        self._ends_at = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not checked: uvloop's transport has the methods and not the base class.
        self._transport = cast(asyncio.Transport, transport)

    def ask(self, request: bytes) -> asyncio.Future[tuple[int, bytes]]:
        """Send a request; raises WireError where one is under way or the connection is closed."""
        if self._transport is None or self._transport.is_closing() or self._waiting is not None:
            raise WireError("the connection is closed or busy")
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._waiting

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._ends_at:
            at = self._received.find(_END_OF_HEAD)
            if at < 0:
                return
            self._body_at = at + len(_END_OF_HEAD)
            try:
                self._ends_at = self._body_at + content_length(bytes(self._received[:at]))
            except WireError as error:
                self._fail(error)
                return
        if len(self._received) < self._ends_at:
            return
        answer = int(self._received[9:12]), bytes(self._received[self._body_at : self._ends_at])
        del self._received[: self._ends_at]
        self._ends_at = 0
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(WireError(f"the server closed the connection ({exc})"))

    def _fail(self, error: WireError) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_exception(error)
        if self._transport is not None:
            self._transport.close()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def content_length(head: bytes) -> int:
    """Return the length of the body that a head announces; raises WireError where it announces none (chunked)."""
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    if head[9:12] in {b"204", b"304"}:
        return 0
    raise WireError("the answer has no Content-Length")


class Client:
    """A fixed number of connections to one server; requests wait in turn for a free one."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._free: deque[Connection] = deque()
        self._turns = asyncio.Semaphore(0)

    async def open(self, connections: int) -> None:
        """Connect; at most `connections` requests are under way at once."""
        loop = asyncio.get_running_loop()
        for _ in range(connections):
            _, connection = await loop.create_connection(Connection, self._host, self._port)
            self._free.append(connection)
            self._turns.release()

    async def post(self, path: str, body: bytes, headers: str = "") -> tuple[int, bytes]:
        """Send a JSON body and return status and body. `headers` are whole lines, each ended by CR LF."""
        return await self.request("POST", path, body, headers)

    async def request(self, method: str, path: str, body: bytes = b"", headers: str = "") -> tuple[int, bytes]:
        """Send a request of any method; else as `post`."""
        request = (
            f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n{headers}\r\n"
        ).encode("latin-1") + body
        async with self._turns:
            connection = self._free.popleft()
            try:
                return await connection.ask(request)
            finally:
                self._free.append(connection)

    def close(self) -> None:
        """Close every connection."""
        while self._free:
            self._free.popleft().close()

"""A small HTTP/1.1 client of one connection that can be cut on purpose."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

ANSWER_SECONDS = 30.0
LARGEST_LINE = 1 << 20


class WireBroken(OSError):
    """The connection went away, or what came over it was no answer."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, and when its request was sent and it was read, on the loop's clock."""

    status: int
    body: bytes
    headers: Mapping[str, str]
    sent_at: float
    read_at: float

    def json(self) -> Any:
        """The body as JSON; an empty object where it is none."""
        try:
            return json.loads(self.body or b"{}")
        except ValueError:
            return {}


class Wire:
    """One connection to one server, opened when it is needed. Requests go one after another."""

    def __init__(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"{url!r} is no address; write http://host:port")
        self._host, self._is_tls = parts.hostname, parts.scheme == "https"
        self._port = parts.port or (443 if self._is_tls else 80)
        self._prefix, self._netloc = parts.path.rstrip("/"), parts.netloc
        self.headers = dict(headers or {})
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Reply:
        """One request and its answer. Raises OSError (WireBroken) when there was none; the request may have been done."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                reader, writer = await self._open()
                sent_at = loop.time()
                writer.write(self._request(method, path, body, headers))
                status, received = await _read_head(reader)
                content = await _read_body(reader, received)
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
            self.abort()
            raise WireBroken(str(error) or type(error).__name__) from error
        except BaseException:
            self.abort()
            raise
        if received.get("connection", "").lower() == "close":
            self.abort()
        return Reply(status, content, received, sent_at, loop.time())

    async def send_and_cut(
        self, method: str, path: str, body: object, headers: Mapping[str, str], after_seconds: float
    ) -> None:
        """Sends a request and cuts the connection so much later, whatever came of it."""
        with contextlib.suppress(OSError):
            _, writer = await self._open()
            writer.write(self._request(method, path, body, headers))
            await writer.drain()
            await asyncio.sleep(after_seconds)
        self.abort()

    def abort(self) -> None:
        """Cuts the connection; the next request opens another."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None or self._streams[1].is_closing() or self._streams[0].at_eof():
            context = ssl.create_default_context() if self._is_tls else None
            self._streams = await asyncio.open_connection(self._host, self._port, ssl=context, limit=LARGEST_LINE)
        return self._streams

    def _request(self, method: str, path: str, body: object, headers: Mapping[str, str] | None) -> bytes:
        content = b"" if body is None else json.dumps(body).encode()
        fields = {"Host": self._netloc, "Content-Length": str(len(content)), **self.headers, **(headers or {})}
        if content:
            fields["Content-Type"] = "application/json"
        lines = [f"{method} {self._prefix}{path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + content


async def _read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
    pairs = (line.partition(":") for line in lines)
    return int(first.split(" ")[1]), {name.strip().lower(): value.strip() for name, _, value in pairs}


async def _read_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return await reader.readexactly(int(headers.get("content-length", "0")))
    parts = []
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        parts.append(await reader.readexactly(size))
        await reader.readexactly(2)
    await reader.readuntil(b"\r\n")
    return b"".join(parts)

"""The HTTP of one provider: where it lies, how long it may take, how much it may say.

Unlike `Outbound`, which sends to addresses that users typed, connections stay open (a handshake costs more than a short answer)
and answers come in parts. The address was written by whoever runs the installation; it is still judged, so that a key does not
leave without TLS and no public name leads into our own network unless that was allowed.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx

from nervio.adapters.outbound import Guard, NotSent, Reply, is_public

MOST_CONNECTIONS = 100
LOCATED_SECONDS = 60.0
"""How long the address of a name is used before it is looked up again."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a provider lies."""

    base_url: str
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    """With the key."""
    allow_private: bool = False
    connect_seconds: float = 5.0


class Broken(Exception):
    """The connection broke, or never came about. `has_begun` says whether an answer had begun."""

    def __init__(self, why: str, *, has_begun: bool) -> None:
        super().__init__(why)
        self.has_begun = has_begun


class TooMuch(Exception):
    """The answer is longer than it may be."""


class Response:
    """An answer whose head is there."""

    def __init__(self, response: httpx.Response, most_bytes: int) -> None:
        self._response, self._left = response, most_bytes
        self.status = response.status_code
        self.kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises Broken or TooMuch."""
        try:
            async for piece in self._response.aiter_raw():
                self._left -= len(piece)
                if self._left < 0:
                    raise TooMuch
                yield piece
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise Broken(f"the answer broke off: {_why(error)}", has_begun=True) from None

    async def read(self) -> Reply:
        """The whole of it. Raises Broken or TooMuch."""
        body = b"".join([piece async for piece in self.pieces()])
        return Reply(self.status, self._response.headers, body)


class Connection:
    """Connections to one provider; made when the first request leaves."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._guard = Guard(allow_private=place.allow_private)
        parts = urlsplit(place.base_url)
        self._scheme, self._host = parts.scheme, parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._netloc = parts.netloc
        self._client: httpx.AsyncClient | None = None
        self._opening = asyncio.Lock()
        self._address, self._located_at = "", 0.0

    @asynccontextmanager
    async def post(
        self, path: str, body: bytes, most_bytes: int, headers: dict[str, str] | None = None
    ) -> AsyncIterator[Response]:
        """Sends a request; the answer's head is there when it gives. Raises Broken. The caller sets the time."""
        client = self._client or await self._opened()
        url = httpx.URL(f"{self._place.base_url}/{path}").copy_with(host=await self._locate())
        request = client.build_request(
            "POST",
            url,
            headers={**self._place.headers, **(headers or {}), "Host": self._netloc},
            content=body,
            # The certificate is checked against the name, the connection goes to the address that was judged.
            extensions={"sni_hostname": self._host, "timeout": {"connect": self._place.connect_seconds}},
        )
        try:
            response = await client.send(request, stream=True)
        except httpx.HTTPError as error:
            self._address = ""
            raise Broken(_why(error), has_begun=False) from None
        try:
            yield Response(response, most_bytes)
        finally:
            await response.aclose()

    async def close(self) -> None:
        """Lets go of the connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _locate(self) -> str:
        now = time.monotonic()
        if self._address and now - self._located_at < LOCATED_SECONDS:
            return self._address
        try:
            address = await self._guard.locate(self._host, self._port)
        except NotSent as error:
            raise Broken(str(error), has_begun=False) from None
        if self._scheme != "https" and (not self._place.allow_private or is_public(ipaddress.ip_address(address))):
            raise Broken("the address must begin with https://, unless it is in a private network", has_begun=False)
        self._address, self._located_at = address, now
        return address

    async def _opened(self) -> httpx.AsyncClient:
        """The one client. Making it reads the certificates of authorities, which is long enough to leave the loop for."""
        async with self._opening:
            if self._client is None:
                self._client = await asyncio.to_thread(self._make)
        return self._client

    def _make(self) -> httpx.AsyncClient:
        # No proxy from the environment: it would resolve names again, past the guard.
        return httpx.AsyncClient(
            headers={
                "Content-Type": "application/json",
                "Accept": "application/json, text/event-stream",
                # As it is: a small packed answer could unpack to any size, and unpacking a stream holds parts back.
                "Accept-Encoding": "identity",
                "User-Agent": "Nervio",
            },
            follow_redirects=False,
            trust_env=False,
            limits=httpx.Limits(max_connections=MOST_CONNECTIONS, max_keepalive_connections=20, keepalive_expiry=30.0),
        )


def _why(error: Exception) -> str:
    match error:
        case httpx.ConnectTimeout():
            return "no connection in time"
        case httpx.ConnectError():
            return f"no connection: {error}"
    return str(error) or type(error).__name__

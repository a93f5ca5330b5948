"""Requests to addresses outside, some of which a user typed: bounded in time and size, over TLS, never into our own network.

A name is resolved once, its addresses are judged, and the connection goes to the very address that was judged: a name that
answers differently a moment later (DNS rebinding) reaches nothing. No redirect is followed.
"""

from __future__ import annotations

import asyncio
import email.utils
import ipaddress
import json
import logging
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 10.0
WHOLE_SECONDS = 15.0
"""Everything together: a peer that sends a byte a second is as good as one that sends none."""
MOST_BYTES = 256 * 1024

# It writes each address it asks, and some of ours carry a token.
logging.getLogger("httpx").setLevel(logging.WARNING)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Addresses inside which an IPv4 address travels, and which reach it through a gateway.
_CARRIERS = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))


class NotSent(Exception):
    """Nothing can have arrived: the address is refused, or no connection came about."""


class Lost(Exception):
    """Something may have arrived; what came back is nothing one can rely on."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that came whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON. Raises Lost where it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise Lost(f"HTTP {self.status}: the answer is no JSON: {self.text[:200]}") from None

    @property
    def text(self) -> str:
        """The body as text, for people."""
        return self.body.decode("utf-8", "replace")

    def retry_after(self, now: float | None = None) -> float | None:
        """The seconds that `Retry-After` asks for (RFC 9110, section 10.2.3), as a number or as a date."""
        value = self.headers.get("retry-after", "").strip()
        if value.isascii() and value.isdigit():
            return float(value)
        try:
            moment = email.utils.parsedate_to_datetime(value).timestamp()
        except (TypeError, ValueError):
            return None
        # The peer's own clock, where it tells it: ours may be off.
        try:
            here = email.utils.parsedate_to_datetime(self.headers.get("date", "")).timestamp()
        except (TypeError, ValueError):
            here = moment if now is None else now
        return max(0.0, moment - here)


def is_public(address: Address) -> bool:
    """Whether an address lies outside every private, local, shared and special network."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if inner is None and any(address in network for network in _CARRIERS):
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        if address.is_site_local:  # deprecated, and still routed inside of houses
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


class Guard:
    """Judges where a request may go. With `allow_private` our own network too, and this machine without TLS."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private

    async def locate(self, host: str, port: int) -> str:
        """The address to connect to. Raises NotSent where the name has none, or one that is refused."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, TimeoutError, UnicodeError) as error:
            raise NotSent(f"{host} cannot be found: {error}") from None
        addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
        if not addresses:
            raise NotSent(f"{host} has no address")
        # All of them: a name that has a public address beside a private one is refused, not halved.
        if not self._allow_private and not all(is_public(address) for address in addresses):
            raise NotSent(f"{host} lies in a private network; an operator may allow that (allow_private_addresses)")
        return str(addresses[0])

    def check_scheme(self, scheme: str, address: str) -> None:
        """Only TLS; without it only to this machine, where an operator allowed private addresses."""
        if scheme == "https":
            return
        if scheme != "http" or not self._allow_private or not ipaddress.ip_address(address).is_loopback:
            raise NotSent("the address must begin with https://")


class Outbound:
    """Sends requests. One a process. Asks for answers as they are: a small packed one could unpack to any size."""

    def __init__(
        self, guard: Guard, *, answer_seconds: float = ANSWER_SECONDS, whole_seconds: float = WHOLE_SECONDS
    ) -> None:
        self._guard = guard
        self._whole_seconds = whole_seconds
        self._timeout = httpx.Timeout(answer_seconds, connect=CONNECT_SECONDS)
        self._client: httpx.AsyncClient | None = None
        self._opening = asyncio.Lock()

    @property
    def guard(self) -> Guard:
        """What judges addresses."""
        return self._guard

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        content: bytes | None = None,
        form: Mapping[str, str] | None = None,
    ) -> Reply:
        """One request and its whole answer, whatever its status. Raises NotSent or Lost."""
        client = await self._opened()
        try:
            async with asyncio.timeout(self._whole_seconds):
                return await self._request(client, method, url, headers or {}, params, content, form)
        except TimeoutError:
            raise Lost(f"no answer within {self._whole_seconds:g} s") from None

    async def close(self) -> None:
        """Lets go of the connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _request(
        self,
        client: httpx.AsyncClient,
        method: str,
        url: str,
        headers: Mapping[str, str],
        params: Mapping[str, str] | None,
        content: bytes | None,
        form: Mapping[str, str] | None,
    ) -> Reply:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError as error:
            raise NotSent(f"that is no address: {error}") from None
        if not host or parts.username is not None:
            raise NotSent("that is no address of a web server")
        address = await self._guard.locate(host, port)
        self._guard.check_scheme(parts.scheme, address)
        pinned = httpx.URL(url).copy_with(host=address)
        request = client.build_request(
            method,
            pinned,
            headers={
                "Accept": "application/json",
                "Accept-Encoding": "identity",
                "User-Agent": "Nervio",
                **headers,
                "Host": _host_header(parts),
            },
            params=params,
            content=content,
            data=form,
            extensions={"sni_hostname": host, "timeout": self._timeout.as_dict()},
        )
        return await self._send(client, request)

    async def _opened(self) -> httpx.AsyncClient:
        """The one client. Making it reads the certificates of authorities, which is long enough to leave the loop for."""
        async with self._opening:
            if self._client is None:
                self._client = await asyncio.to_thread(self._make)
        return self._client

    def _make(self) -> httpx.AsyncClient:
        # No proxy from the environment: it would resolve names again, past the guard.
        limits = httpx.Limits(max_connections=20, max_keepalive_connections=0)
        return httpx.AsyncClient(timeout=self._timeout, follow_redirects=False, trust_env=False, limits=limits)

    async def _send(self, client: httpx.AsyncClient, request: httpx.Request) -> Reply:
        try:
            response = await client.send(request, stream=True)
            try:
                body = bytearray()
                async for chunk in response.aiter_raw():
                    body += chunk
                    if len(body) > MOST_BYTES:
                        raise Lost(f"HTTP {response.status_code}: the answer is longer than {MOST_BYTES // 1024} KiB")
            finally:
                await response.aclose()
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol) as error:
            raise NotSent(f"no connection: {str(error) or type(error).__name__}") from None
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise Lost(f"the answer was lost: {str(error) or type(error).__name__}") from None
        return Reply(response.status_code, response.headers, bytes(body))


def _host_header(parts: Any) -> str:
    netloc: str = parts.netloc
    return netloc.rpartition("@")[2]

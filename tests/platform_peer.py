"""A platform of campaigns that behaves badly in every way, and a mail server: both real, on this machine, over real sockets.

The peer plays all three kinds at once and keeps the truth: what each campaign does, and every request that had an effect.
A test tells it how to misbehave, for how many requests, and looks at the truth afterwards.
"""

import asyncio
import base64
import contextlib
import json
import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from nervio.adapters.signing import is_genuine

HOLD_SECONDS = 30.0
"""Longer than any caller here waits."""


@dataclass(slots=True)
class Asked:
    """One request as it came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        """The fields of a posted form."""
        return {name: values[0] for name, values in parse_qs(self.body.decode()).items()}


@dataclass(slots=True)
class Told:
    """One answer."""

    status: int = 200
    body: object = ""
    headers: dict[str, str] = field(default_factory=dict)


class Drop(Exception):
    """Ends the connection without an answer."""


@dataclass(slots=True)
class PlatformPeer:
    """The truth of a platform. `sends` and `reads` say how the next requests of each kind are treated."""

    url: str = ""
    running: dict[str, str] = field(default_factory=dict)
    """Campaign → running, paused or gone."""
    effects: list[tuple[str, str]] = field(default_factory=list)
    """(campaign, what it was made to do), each time its state changed."""
    orders: list[tuple[str, str, str]] = field(default_factory=list)
    """(campaign, action, key) of every order that came, changed or not."""
    readings: int = 0
    asked: list[Asked] = field(default_factory=list)
    sends: deque[str] = field(default_factory=deque)
    reads: deque[str] = field(default_factory=deque)
    tokens: deque[str] = field(default_factory=deque)
    secret: str = "a signing secret"
    now: Callable[[], int] = lambda: 0
    holding: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a request is held without an answer."""

    def does(self, campaign: str) -> str:
        """What the campaign does."""
        return self.running.setdefault(campaign, "running")

    def order(self, campaign: str, action: str, key: str) -> None:
        """Does as told, once a change."""
        self.orders.append((campaign, action, key))
        wanted = "paused" if action == "pause" else "running"
        if self.does(campaign) != wanted:
            self.running[campaign] = wanted
            self.effects.append((campaign, wanted))

    async def answer(self, asked: Asked) -> Told:
        """Treats one request as it was told to."""
        self.asked.append(asked)
        if asked.path == "/token":
            return self._token(self.tokens.popleft() if self.tokens else "")
        is_order = asked.path.endswith(":mutate") or (asked.method == "POST" and not asked.path.endswith(":search"))
        if not is_order:
            self.readings += 1
        way = (self.sends if is_order else self.reads).popleft() if (self.sends if is_order else self.reads) else ""
        return await self._misbehave(way, asked)

    async def _misbehave(self, way: str, asked: Asked) -> Told:
        match way:
            case "":
                return self._serve(asked)
            case "accepted":
                return Told(200, "ok")
            case "500" | "503" | "403":
                return Told(int(way), "no")
            case "applied, then 500":
                self._serve(asked)
                return Told(500, "no")
            case "429":
                return Told(429, "slow down", {"Retry-After": "7"})
            case "reset":
                raise Drop
            case "applied, answer lost":
                self._serve(asked)
                raise Drop
            case "silence" | "applied, then silence":
                if way != "silence":
                    self._serve(asked)
                self.holding.set()
                await asyncio.sleep(HOLD_SECONDS)
                raise Drop
            case "accepted, not applied":
                before, effects = dict(self.running), list(self.effects)
                told = self._serve(asked)
                self.running, self.effects = before, effects
                return told
            case "garbage":
                return Told(200, "<html>hello</html>")
            case "huge":
                return Told(200, "x" * 2_000_000)
            case "elsewhere":
                return Told(302, "", {"Location": f"{self.url}/elsewhere"})
        raise AssertionError(way)

    def _serve(self, asked: Asked) -> Told:
        if asked.path.startswith("/hook"):
            return self._webhook(asked)
        if asked.path.startswith("/google/"):
            return self._google(asked)
        if asked.path.startswith("/meta/"):
            return self._meta(asked)
        return Told(404, "nothing here")

    def _webhook(self, asked: Asked) -> Told:
        timestamp = asked.headers.get("x-nervio-timestamp", "")
        signature = asked.headers.get("x-nervio-signature", "")
        if not is_genuine(self.secret, timestamp, signature, asked.body, self.now()):
            return Told(401, "wrong signature")
        if asked.method == "GET":
            campaign = asked.query["campaign"]
            return Told(200, {"campaign": campaign, "status": self.does(campaign)})
        said = json.loads(asked.body)
        assert asked.headers["idempotency-key"] == said["key"]
        self.order(said["campaign"], said["action"], said["key"])
        return Told(202, {"taken": True})

    def _google(self, asked: Asked) -> Told:
        # The first token is one that was revoked early.
        if asked.headers.get("authorization") in (None, "Bearer token-1") or asked.headers["developer-token"] != "dev":
            return Told(401, {"error": {"code": 401, "message": "no", "status": "UNAUTHENTICATED"}})
        assert asked.headers["login-customer-id"] == "9998887777"
        said = json.loads(asked.body)
        if asked.path == "/google/v26/customers/1234567890/campaigns:mutate":
            (operation,) = said["operations"]
            assert operation["updateMask"] == "status"
            name = operation["update"]["resourceName"]
            action = {"PAUSED": "pause", "ENABLED": "resume"}[operation["update"]["status"]]
            self.order(name.rpartition("/")[2], action, "")
            return Told(200, {"results": [{"resourceName": name}]})
        assert asked.path == "/google/v26/customers/1234567890/googleAds:search"
        campaign = said["query"].rpartition(" ")[2]
        status = {"running": "ENABLED", "paused": "PAUSED", "gone": "REMOVED"}[self.does(campaign)]
        name = f"customers/1234567890/campaigns/{campaign}"
        return Told(200, {"results": [{"campaign": {"resourceName": name, "status": status, "id": campaign}}]})

    def _token(self, way: str) -> Told:
        if way == "refused":
            return Told(400, {"error": "invalid_grant", "error_description": "Token has been expired or revoked."})
        count = sum(one.path == "/token" for one in self.asked)
        return Told(200, {"access_token": f"token-{count}", "expires_in": 3599, "token_type": "Bearer"})

    def _meta(self, asked: Asked) -> Told:
        given = asked.form if asked.method == "POST" else asked.query
        if given.get("appsecret_proof") != META_PROOF or given.get("access_token") != META_TOKEN:
            return Told(400, {"error": {"message": "Invalid appsecret_proof", "type": "OAuthException", "code": 100}})
        campaign = asked.path.rpartition("/")[2]
        if asked.method == "POST":
            self.order(campaign, {"PAUSED": "pause", "ACTIVE": "resume"}[given["status"]], "")
            return Told(200, {"success": True})
        assert given["fields"] == "status,effective_status"
        status = {"running": "ACTIVE", "paused": "PAUSED", "gone": "DELETED"}[self.does(campaign)]
        return Told(200, {"id": campaign, "status": status, "effective_status": status})


META_TOKEN = "EAAB-token"
META_APP_SECRET = "app secret"
META_PROOF = "0f3aad595ebdc342ad2badbfdfcd41c7a31a8aa9693c10ccf86207ef69a898c3"
"""HMAC-SHA256 of the token under the secret, computed by `openssl dgst -sha256 -hmac`."""


@asynccontextmanager
async def a_platform() -> AsyncIterator[PlatformPeer]:
    """A peer that listens; everything under way is dropped at the end."""
    peer = PlatformPeer()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        told = await peer.answer(await _read_request(reader))
        body = told.body.encode() if isinstance(told.body, str) else json.dumps(told.body).encode()
        lines = [f"HTTP/1.1 {told.status} X", f"Content-Length: {len(body)}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in told.headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        await writer.drain()

    async with _listening(serve) as port:
        peer.url = f"http://127.0.0.1:{port}"
        yield peer


@asynccontextmanager
async def _listening(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    context: ssl.SSLContext | None = None,
) -> AsyncIterator[int]:
    """A port on which `serve` answers, once a connection. A Drop resets it; what is under way at the end is reset too."""
    under_way: set[asyncio.Task[None]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        under_way.add(task)
        try:
            await serve(reader, writer)
            writer.close()
        except (Drop, ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            with contextlib.suppress(ConnectionError, ssl.SSLError, asyncio.CancelledError):
                await writer.wait_closed()
            under_way.discard(task)

    server = await asyncio.start_server(one, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in set(under_way):
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


async def _read_request(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    parts = urlsplit(target)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    return Asked(method, parts.path, query, headers, body)


# -- mail ------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class MailPeer:
    """A mail server that keeps what it was given. `way`: how it misbehaves."""

    port: int = 0
    letters: list[str] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    way: str = ""
    was_secure: list[bool] = field(default_factory=list)


@asynccontextmanager
async def a_mail_server(context: ssl.SSLContext, *, is_tls: bool = False) -> AsyncIterator[MailPeer]:
    """SMTP with STARTTLS (or TLS from the start) and AUTH PLAIN."""
    peer = MailPeer()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _talk(peer, reader, writer, context, is_tls)

    async with _listening(serve, context if is_tls else None) as port:
        peer.port = port
        yield peer


async def _talk(
    peer: MailPeer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, context: ssl.SSLContext, secure: bool
) -> None:
    async def say(line: str) -> None:
        writer.write(line.encode() + b"\r\n")
        await writer.drain()

    await say("220 mail.test ESMTP")
    while line := (await reader.readline()).decode().strip():
        verb = line.split(" ")[0].upper()
        if verb == "EHLO":
            await say("250-mail.test")
            await say("250 AUTH PLAIN" if secure else "250 STARTTLS")
        elif verb == "STARTTLS":
            await say("220 go ahead")
            await writer.start_tls(context)
            secure = True
        elif verb == "AUTH":
            user = base64.b64decode(line.split(" ")[2]).decode().split("\0")[1]
            peer.logins.append(user)
            await say("535 wrong password" if peer.way == "wrong password" else "235 welcome")
        elif verb == "RCPT" and peer.way == "not now":
            await say("451 try later")
        elif verb == "DATA":
            await say("354 go ahead")
            text = ""
            while (part := (await reader.readline()).decode()) != ".\r\n":
                text += part
            peer.letters.append(text)
            peer.was_secure.append(secure)
            if peer.way == "taken, answer lost":
                return
            await say("250 taken")
        elif verb == "QUIT":
            await say("221 bye")
            return
        else:
            await say("250 ok")

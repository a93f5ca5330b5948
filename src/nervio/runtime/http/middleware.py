"""What stands before every route, as pure ASGI: one pass each, no task and no copy of the body."""

from __future__ import annotations

import contextlib
import logging
import re
import time
from collections.abc import Iterable
from typing import Any

import structlog
from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nervio.kernel.errors import NervioError, invalid
from nervio.kernel.ids import new_id
from nervio.runtime.http.metrics import HttpMetrics
from nervio.runtime.http.problems import RefusedBody, problem_of, respond, respond_error, respond_unexpected
from nervio.runtime.logs import access_line, access_log

log = logging.getLogger(__name__)

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")
_ESCAPE_REACH = 16  # bytes of a chunk kept, so that an escape cut in two is still seen
_BROKEN = 1011  # why a WebSocket was closed: a fault of ours
_SWITCHED = 101  # the status of a WebSocket that was opened
_WAITING = frozenset({"/socket.io"})  # polls, which are held until there is something to tell: no measure of speed
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
)
SECURITY_HEADERS = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(self), microphone=(), geolocation=()"),
)


class Observe:
    """Outermost: request id, access line, figures, security headers, and the net under every bug."""

    def __init__(self, app: ASGIApp, metrics: HttpMetrics, *, https: bool) -> None:
        self._app, self._metrics = app, metrics
        self._headers = list(SECURITY_HEADERS)
        if https:
            self._headers.append((b"strict-transport-security", b"max-age=31536000"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on and reports how it went."""
        if scope["type"] == "websocket":
            await self._watch_line(scope, receive, send)
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = self._name(scope)
        started = time.perf_counter()
        status, complete = 0, False

        async def send_marked(message: Message) -> None:
            nonlocal status, complete
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message.setdefault("headers", [])
                present = {name for name, _ in headers}
                headers.append((b"x-request-id", request_id.encode()))
                headers.extend(pair for pair in self._headers if pair[0] not in present)
            elif message["type"] == "http.response.body":
                complete = not message.get("more_body", False)
            await send(message)

        self._metrics.under_way.inc()
        try:
            await self._app(scope, receive, send_marked)
        except Exception:
            log.exception("request_failed", extra={"method": scope["method"], "path": scope["path"]})
            if status == 0:
                await respond_unexpected(scope)(scope, receive, send_marked)
            elif not complete:
                raise  # half an answer is out; the server must break the connection
        finally:
            self._metrics.under_way.dec()
            self._report(scope, status or 499, time.perf_counter() - started, request_id)
            structlog.contextvars.clear_contextvars()

    async def _watch_line(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The same for a WebSocket, which is reported when it ends. One that was opened goes into no figure of requests: it lasts
        as long as somebody looks."""
        request_id = self._name(scope)
        started = time.perf_counter()
        status = 0

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] in {"websocket.accept", "websocket.http.response.start"}:
                status = message.get("status", _SWITCHED)
                headers = message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id.encode())]
                present = {name for name, _ in headers}
                headers.extend(pair for pair in self._headers if pair[0] not in present)
            elif message["type"] == "websocket.close" and status == 0:
                status = 403  # what the server answers where an application closes what it did not accept
            await send(message)

        try:
            await self._app(scope, receive, send_marked)
        except Exception:
            log.exception("line_failed", extra={"path": scope["path"]})
            if status == 0:
                await respond_unexpected(scope)(scope, receive, send_marked)
            elif status == _SWITCHED:
                with contextlib.suppress(OSError, RuntimeError):  # closed already
                    await send({"type": "websocket.close", "code": _BROKEN, "reason": "Something broke on our side."})
        finally:
            self._report(scope, status or 499, time.perf_counter() - started, request_id)
            structlog.contextvars.clear_contextvars()

    def _name(self, scope: Scope) -> str:
        """Gives the request its id, the caller's own if that is one."""
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        request_id = given.decode() if _REQUEST_ID.fullmatch(given) else new_id()
        scope.setdefault("state", {})["request_id"] = request_id
        structlog.contextvars.bind_contextvars(request_id=request_id)
        return request_id

    def _report(self, scope: Scope, status: int, seconds: float, request_id: str) -> None:
        asked = scope.get("method", "GET")
        method = asked if asked in _METHODS else "OTHER"
        route = route_of(scope)
        state = scope["state"]
        if status != _SWITCHED and not (status < 400 and route in _WAITING):
            self._metrics.observe(method, route, status, seconds, halted=bool(state.get("halted")))
        if not access_log.isEnabledFor(logging.INFO):
            return
        ctx = state.get("ctx")
        fields = {
            "method": method,
            "path": scope["path"],
            "route": route,
            "status": status,
            "ms": round(seconds * 1000, 2),
            "request_id": request_id,
            "client": scope["client"][0] if scope.get("client") else None,
        }
        if ctx is not None:
            fields["tenant_id"], fields["actor_id"] = ctx.tenant_id, ctx.actor_id
        access_log.info(access_line(fields))


class Guard:
    """Refuses what no route should have to look at: bodies too large, and NUL, which no text of ours may hold."""

    def __init__(self, app: ASGIApp, max_body_bytes: int) -> None:
        self._app, self._max = app, max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on what may pass; a body is checked while it is read."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        if "\x00" in scope["path"] or b"%00" in scope.get("query_string", b""):
            await respond_error(scope, _no_nul("address"))(scope, receive, send)
            return
        if scope["type"] == "websocket":
            # The server bounds messages, and whoever reads them looks for NUL.
            await self._app(scope, receive, send)
            return
        announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if announced.isdigit() and int(announced) > self._max:
            await respond(scope, 413, self._too_large(), {"Connection": "close"})(scope, receive, send)
            return
        kind = next((value for name, value in scope["headers"] if name == b"content-type"), b"")
        is_file = kind.startswith((b"multipart/", b"application/octet-stream"))
        received, tail = 0, b""

        async def receive_checked() -> Message:
            nonlocal received, tail
            message = await receive()
            if message["type"] == "http.request":
                body = message.get("body", b"")
                received += len(body)
                if received > self._max:
                    raise RefusedBody(413, self._too_large())
                if not is_file and body:
                    # Raw NUL is no text anyhow; an escaped one would reach a column that cannot hold it.
                    if _has_nul(tail + body, is_form=kind.startswith(b"application/x-www-form-urlencoded")):
                        raise RefusedBody(*problem_of(_no_nul("body"))[:2])
                    tail = body[-_ESCAPE_REACH:]
            return message

        await self._app(scope, receive_checked, send)

    def _too_large(self) -> dict[str, Any]:
        return {
            "kind": "too_large",
            "code": "body_too_large",
            "detail": f"A request holds at most {self._max} bytes; send it in parts.",
            "max_bytes": self._max,
        }


class Cors:
    """Answers for the origins that the settings name, and says nothing to others: their browsers keep the answer back."""

    _PREFLIGHT = (
        (b"access-control-allow-methods", b"GET, POST, PUT, PATCH, DELETE"),
        (b"access-control-allow-headers", b"authorization, content-type, idempotency-key, x-api-key, x-request-id"),
        (b"access-control-max-age", b"600"),
    )

    def __init__(self, app: ASGIApp, origins: Iterable[str]) -> None:
        self._app, self._origins = app, {origin.encode() for origin in origins}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Adds the headers for a known origin; answers a preflight itself."""
        if scope["type"] != "http" or not self._origins:
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        origin = headers.get(b"origin")
        known = origin if origin in self._origins else None
        if scope["method"] == "OPTIONS" and b"access-control-request-method" in headers:
            reply = Response(status_code=204 if known else 403)
            if known:
                reply.raw_headers.extend(
                    [(b"access-control-allow-origin", known), (b"vary", b"Origin"), *self._PREFLIGHT]
                )
            await reply(scope, receive, send)
            return

        async def send_allowed(message: Message) -> None:
            if message["type"] == "http.response.start":
                allowed = MutableHeaders(scope=message)
                allowed.add_vary_header("Origin")
                if known:
                    allowed["Access-Control-Allow-Origin"] = known.decode()
                    allowed["Access-Control-Expose-Headers"] = "X-Request-ID, Retry-After, Location"
            await send(message)

        await self._app(scope, receive, send_allowed)


def route_of(scope: Scope) -> str:
    """The template of the route that answered, or `other`: addresses themselves would be endless series."""
    path = getattr(scope.get("route"), "path", None)
    return path if isinstance(path, str) else "other"


def _no_nul(field: str) -> NervioError:
    return invalid("nul_character", "Text must not hold the NUL character; remove it.", field=field)


def _has_nul(text: bytes, *, is_form: bool) -> bool:
    if b"\x00" in text or (is_form and b"%00" in text):
        return True
    start = text.find(b"\\u0000")
    while start >= 0:
        # An escape, unless the backslash is itself escaped.
        before = start
        while before and text[before - 1 : before] == b"\\":
            before -= 1
        if (start - before) % 2 == 0:
            return True
        start = text.find(b"\\u0000", start + 1)
    return False

"""Who is asking: read off each request once, before any route."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from nervio.db.context import Ctx
from nervio.kernel.errors import Kind, NervioError
from nervio.modules.identity.api import SESSION_COOKIE, Authenticator
from nervio.modules.identity.contracts import Principal
from nervio.runtime.http.problems import respond_error

SOCKET_IO = "/socket.io/"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

# Asked by machines and balancers all the time, and the same for everybody.
_ANONYMOUS = frozenset(
    {
        "/health",
        "/api/health",
        "/api/health/database",
        "/api/health/redis",
        "/api/health/nats",
        "/metrics",
        "/openapi.json",
    }
)
# The operator route has a token of its own.
_ANONYMOUS_PREFIXES = ("/static/", "/docs", "/operator/")


class Authenticate:
    """Puts the caller's principal and context into the request's state, or answers 401 to credentials that are wrong.

    Without credentials the request goes on; a route that needs a caller refuses it by itself.
    """

    def __init__(
        self,
        app: ASGIApp,
        authenticator: Callable[[], Authenticator],
        *,
        dashboard_key: str | None = None,
        dashboard_principal: Callable[[], Awaitable[Principal | None]] | None = None,
        origins: Collection[str] = (),
    ) -> None:
        self._origins = frozenset(origins)
        self._app, self._authenticator = app, authenticator
        self._dashboard_key = None if dashboard_key is None else dashboard_key.encode()
        self._dashboard_principal = dashboard_principal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on with its caller."""
        if scope["type"] not in {"http", "websocket"} or is_anonymous(scope["path"]):
            await self._app(scope, receive, send)
            return
        try:
            principal = await self._who(scope)
        except NervioError as error:
            await respond_error(scope, error)(scope, receive, send)
            return
        if principal is not None:
            state = scope.setdefault("state", {})
            state["principal"] = principal
            state["ctx"] = self._authenticator().context(principal)
        if is_live(scope):
            if not self._is_known_origin(scope):
                await respond_error(scope, _cross_site("This address"))(scope, receive, send)
                return
            scope.setdefault("state", {})["recall"] = partial(self._recall, scope)
        await self._app(scope, receive, send)

    async def _recall(self, scope: Scope) -> Ctx | None:
        """Who made a request that is still open, as of now."""
        principal = await self._who(scope)
        return None if principal is None else self._authenticator().context(principal)

    def _is_known_origin(self, scope: Scope) -> bool:
        """Whether a line may be opened from the page that does: no browser asks the server first, as it does for other calls
        (cross-site WebSocket hijacking). What is no browser sends no Origin."""
        origins: set[str] = {value.decode("latin-1") for name, value in scope["headers"] if name == b"origin"}
        return (len(origins) == 1 and is_own_origin(scope)) or origins.issubset(self._origins)

    async def _who(self, scope: Scope) -> Principal | None:
        authorization = api_key = cookies = None
        for name, value in scope["headers"]:
            if name == b"authorization":
                authorization = value.decode("latin-1")
            elif name == b"x-api-key":
                api_key = value.decode("latin-1")
            elif name == b"cookie":
                cookies = value.decode("latin-1")
        if api_key is not None and authorization is None and self._is_dashboard(api_key):
            assert self._dashboard_principal is not None
            return await self._dashboard_principal()
        session = None
        if authorization is None and api_key is None and cookies is not None:
            session = _session_of(cookies)
            # A browser sends the cookie by itself, also for a form on another site. A stranger's request is not refused
            # but made nobody's, so that a public route still answers it.
            if session is not None and scope.get("method") not in SAFE_METHODS and not is_own_origin(scope):
                raise _cross_site("This session")
        if authorization is None and api_key is None and session is None:
            return None
        return await self._authenticator().authenticate(
            authorization=authorization, api_key=api_key, session_token=session
        )

    def _is_dashboard(self, api_key: str) -> bool:
        return self._dashboard_key is not None and hmac.compare_digest(api_key.encode("latin-1"), self._dashboard_key)


def _cross_site(what: str) -> NervioError:
    return NervioError(
        Kind.FORBIDDEN, "cross_site", f"{what} may be used from Nervio's own pages only; open them and try again."
    )


def is_live(scope: Scope) -> bool:
    """Whether a request opens, or is a part of, a line that stays open."""
    path: str = scope["path"]
    return scope["type"] == "websocket" or path.startswith(SOCKET_IO)


def is_anonymous(path: str) -> bool:
    """Whether nobody is asked who they are at this address."""
    return path in _ANONYMOUS or path.startswith(_ANONYMOUS_PREFIXES)


def is_own_origin(scope: Scope) -> bool:
    """Whether a browser made the request for one of our own pages, by Sec-Fetch-Site or else by Origin (OWASP, CSRF)."""
    headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
    site = headers.get(b"sec-fetch-site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin = headers.get(b"origin")
    return origin is not None and urlsplit(origin).netloc == headers.get(b"host")


def _session_of(cookies: str) -> str | None:
    try:
        morsel = SimpleCookie(cookies).get(SESSION_COOKIE)
    except CookieError:
        return None
    return None if morsel is None or not morsel.value else morsel.value

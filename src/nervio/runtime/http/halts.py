"""While everything is stopped nothing is answered but what the stop itself needs."""

from __future__ import annotations

from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from nervio.modules.safety.api import HaltWatch
from nervio.runtime.http.authentication import is_anonymous
from nervio.runtime.http.problems import respond_error

# The stop and its proof, getting in and out, and what shows that the shop is stopped.
_REACHABLE = frozenset(
    {"/", "/login", "/console/login", "/console/logout", "/console/stopped", "/console/stop", "/console/sw.js"}
)
_REACHABLE_PREFIXES = (
    "/api/admin/emergency",
    "/api/auth/",
    "/api/health",
    "/console/stop",
    "/console/halt",
    "/console/stream",
    "/console/safety",
    # What is ordered outside is seen, and pausing works, while everything stands still.
    "/api/safety/actions",
)
STOPPED_PAGE = "/console/stopped"


class RefuseWhileHalted:
    """Answers 503 with the reason while a halt of level `all` covers the installation or the caller's whole tenant.

    The fence guards the writes by itself; this keeps reads and outside effects back too. A page asked for by a browser is
    answered with the page that says why.
    """

    def __init__(self, app: ASGIApp, watch: Callable[[], HaltWatch], *, has_stopped_page: bool) -> None:
        self._app, self._watch, self._has_stopped_page = app, watch, has_stopped_page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on unless it has to wait."""
        if scope["type"] not in {"http", "websocket"} or is_reachable(scope["path"]):
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        ctx = state.get("ctx")
        halt = self._watch().find_blocking_read(None if ctx is None else ctx.tenant_id)
        if halt is None:
            await self._app(scope, receive, send)
            return
        state["halted"] = True
        if self._has_stopped_page and scope["type"] == "http" and wants_page(scope):
            await self._app({**scope, "path": STOPPED_PAGE, "raw_path": STOPPED_PAGE.encode()}, receive, send)
            return
        await respond_error(scope, halt.as_error(state.get("request_id")))(scope, receive, send)


def is_reachable(path: str) -> bool:
    """Whether an address answers during a stop."""
    return is_anonymous(path) or path in _REACHABLE or path.startswith(_REACHABLE_PREFIXES)


def wants_page(scope: Scope) -> bool:
    """Whether a browser asks for a page, not a script for data."""
    accepted = next((value for name, value in scope["headers"] if name == b"accept"), b"")
    return scope["method"] == "GET" and b"text/html" in accepted

"""Pages that answer for errors: what a person sees where a program would get problem details."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from nervio.kernel.errors import Kind, NervioError
from nervio.modules.console.requests import PRIVATE, SignInFirst, login_path, pages, plain_shell, redirect
from nervio.web.problems import STATUS

log = logging.getLogger(__name__)


class PageRoute(APIRoute):
    """A route whose answers are pages, refusals and faults too."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wraps the route."""
        inner = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await inner(request)
            except SignInFirst:
                return redirect(login_path(request))
            except NervioError as error:
                return error_page(request, error)
            except HTTPException:
                raise  # a body that is too large or cannot be read; the application words it
            except Exception:
                log.exception("page_failed", extra={"path": request.url.path})
                return _page(request, 500, "bug", "")

        return answer


def page_router() -> APIRouter:
    """A router of pages. They are not part of the API's description."""
    return APIRouter(route_class=PageRoute, include_in_schema=False)


def error_page(request: Request, error: NervioError) -> Response:
    """The page that says what is wrong; codes without words of their own show the sentence of their kind."""
    t = pages().texts[plain_shell(request).language]
    key = f"problem.{error.code}"
    page = _page(request, STATUS[error.kind], error.kind.value, t(key) if t.knows(key) else "")
    if error.kind is Kind.HALTED:
        request.state.halted = True
    if error.kind in {Kind.HALTED, Kind.TOO_MANY, Kind.UNAVAILABLE}:
        page.headers["Retry-After"] = str(error.data.get("retry_after_seconds", 5))
    return page


def _page(request: Request, status: int, kind: str, detail: str) -> Response:
    request_id = str(getattr(request.state, "request_id", ""))
    context = {"status": status, "kind": kind, "detail": detail, "request_id": request_id}
    return HTMLResponse(pages().render("error", plain_shell(request), context), status, headers=PRIVATE)

"""The API browser at /docs and the description it reads. Files of our own: no viewer from elsewhere passes the policy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from nervio.runtime.http.routes import PlainRoute

_STATIC = Path(__file__).parent / "static"
_FILES = {
    "/docs": ("docs.html", "text/html; charset=utf-8"),
    "/docs/browser.css": ("docs.css", "text/css; charset=utf-8"),
    "/docs/icon.svg": ("docs.svg", "image/svg+xml"),
    "/docs/browser.js": ("docs.js", "text/javascript; charset=utf-8"),
}


def docs_routes(openapi: Callable[[], bytes]) -> list[BaseRoute]:
    """The routes of the API browser; `openapi` gives the document as JSON."""

    async def description(_request: Request) -> Response:
        # Made on the first request, which takes long enough for a till to notice; so not on the event loop.
        return Response(await asyncio.to_thread(openapi), media_type="application/json")

    return [PlainRoute("/openapi.json", description), *(_file(path, *file) for path, file in _FILES.items())]


def _file(path: str, name: str, media_type: str) -> PlainRoute:
    async def answer(_request: Request) -> Response:
        headers = {"Cache-Control": "no-cache"}
        return Response((_STATIC / name).read_bytes(), media_type=media_type, headers=headers)

    return PlainRoute(path, answer)

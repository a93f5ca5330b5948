"""The application: the modules' routes, and before them what holds for all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson
from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message

from nervio.kernel.errors import NervioError
from nervio.runtime.http import metrics as figures
from nervio.runtime.http.docs import docs_routes
from nervio.runtime.http.metrics import HttpMetrics
from nervio.runtime.http.middleware import Cors, Guard, Observe
from nervio.runtime.http.openapi import describe
from nervio.runtime.http.problems import handle_bug, handle_error, handle_http_error, handle_validation
from nervio.runtime.http.routes import PlainRoute
from nervio.runtime.settings import ServerSettings
from nervio.web.manifest import HotRoute, Manifest


@dataclass(frozen=True, slots=True)
class Face:
    """What the application is made of. `inner` wraps the routes, outermost first: authentication, then the stop."""

    version: str
    settings: ServerSettings
    manifests: Sequence[Manifest]
    metrics: HttpMetrics
    inner: Sequence[Callable[[ASGIApp], ASGIApp]] = ()
    routers: Sequence[APIRouter] = ()
    routes: Sequence[BaseRoute] = field(default=())


@dataclass(frozen=True, slots=True)
class Application:
    """The ASGI application, and the FastAPI one inside it for those who want its routes."""

    asgi: ASGIApp
    api: FastAPI
    hot_routes: tuple[HotRoute, ...]
    openapi: Callable[[], dict[str, Any]]


def make_application(face: Face) -> Application:
    """Puts the application together. Connects to nothing."""
    api = FastAPI(
        title="Nervio",
        version=face.version,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        # One address a thing: a redirect would lose the body of a POST on some clients.
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
    )
    api.add_exception_handler(NervioError, handle_error)
    api.add_exception_handler(HTTPException, handle_http_error)
    api.add_exception_handler(RequestValidationError, handle_validation)
    # Starlette answers with this and raises the error again, for `Observe` to log.
    api.add_exception_handler(Exception, handle_bug)
    hot_routes = tuple(route for manifest in face.manifests for route in manifest.hot_routes)
    openapi = lru_cache(lambda: describe(api, face.version, hot_routes))

    async def show_metrics(_request: Request) -> Response:
        return Response(face.metrics.render(), headers={"Content-Type": figures.CONTENT_TYPE})

    # Hot routes first: routes are tried in order.
    for hot in hot_routes:
        api.router.routes.append(PlainRoute(hot.path, hot.endpoint, methods=[hot.method]))
    for router in face.routers:
        api.include_router(router)
    for manifest in face.manifests:
        for router in manifest.routers:
            api.include_router(router)
    api.router.routes.extend(face.routes)
    api.router.routes.append(PlainRoute("/metrics", show_metrics))
    api.router.routes.extend(docs_routes(lambda: orjson.dumps(openapi())))
    app: ASGIApp = api
    for wrap in reversed(face.inner):
        app = wrap(app)
    app = Guard(app, face.settings.max_body_bytes)
    app = Cors(app, face.settings.cors_origins)
    app = Observe(app, face.metrics, https=face.settings.public_url.startswith("https://"))
    return Application(app, api, hot_routes, openapi)


async def warm_up(application: Application) -> None:
    """Asks for what is not there, once, before anybody else asks: FastAPI prepares its routes on the first request."""

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    async def send(_message: Message) -> None:
        pass

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/api/nothing",
        "raw_path": b"/api/nothing",
        "query_string": b"",
        "headers": [],
        "state": {},
    }
    await application.api(scope, receive, send)


def _operation_id(route: APIRoute) -> str:
    method = min(route.methods or {"GET"}).lower()
    path = route.path_format.strip("/").replace("/", "_").replace("{", "").replace("}", "").replace("-", "_")
    return f"{method}_{path}"

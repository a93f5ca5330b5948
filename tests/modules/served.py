"""A module's routes served by themselves: no runtime, no socket, one caller."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import jsonschema_rs
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from nervio.db.context import Ctx
from nervio.kernel.errors import NervioError
from nervio.runtime.http.problems import handle_error, handle_validation
from nervio.web.manifest import HotRoute, Manifest
from nervio.web.problems import Problem

JSON = dict[str, Any]


@asynccontextmanager
async def a_client(ctx: Ctx | None, *manifests: Manifest) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the manifests' routes whose every request is made by `ctx`; None is nobody."""
    app = FastAPI()
    app.add_exception_handler(NervioError, handle_error)
    app.add_exception_handler(RequestValidationError, handle_validation)
    for manifest in manifests:
        app.router.routes.extend(Route(hot.path, hot.endpoint, methods=[hot.method]) for hot in manifest.hot_routes)
        for router in manifest.routers:
            app.include_router(router)
    transport = httpx.ASGITransport(_known(app, ctx))
    async with httpx.AsyncClient(transport=transport, base_url="http://nervio") as client:
        yield client


def _known(app: ASGIApp, ctx: Ctx | None) -> ASGIApp:
    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["state"] = {} if ctx is None else {"ctx": ctx}
        await app(scope, receive, send)

    return call


def ok(answer: httpx.Response, status: int = 200) -> Any:
    """The body of an answer of that status."""
    assert answer.status_code == status, answer.text
    return answer.json()


def refused(answer: httpx.Response, status: int, code: str, field: str | None = None) -> JSON:
    """The problem of a refused request; its sentence names the field."""
    assert answer.headers["content-type"].startswith("application/problem+json"), answer.text
    problem: JSON = answer.json()
    Problem.model_validate(problem)
    assert (answer.status_code, problem["code"]) == (status, code), answer.text
    if field is not None:
        assert problem["field"] == field, answer.text
        assert field in problem["detail"], answer.text
    return problem


async def every_page(client: httpx.AsyncClient, path: str, limit: int, **query: str) -> list[JSON]:
    """All items of a list, page by page; no page is longer than asked and the walk ends."""
    items: list[JSON] = []
    cursor: str | None = None
    for _ in range(1000):
        given: Mapping[str, str] = query if cursor is None else {**query, "cursor": cursor}
        page = ok(await client.get(path, params={**given, "limit": str(limit)}))
        assert len(page["items"]) <= limit
        items += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return items
    raise AssertionError("the list has no end")


def fits(hot: HotRoute, status: int | None, body: object) -> bool:
    """Whether a body is what the route's OpenAPI says it takes (`status` None) or answers."""
    described = hot.openapi["requestBody"] if status is None else hot.openapi["responses"][str(status)]
    schema = described["content"]["application/json"]["schema"]
    return jsonschema_rs.validator_for(schema).is_valid(body)

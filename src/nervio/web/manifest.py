"""A module's manifest: everything the runtime needs to know to serve it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from nervio.db.context import Ctx


@dataclass(frozen=True, slots=True)
class HotRoute:
    """A route served without FastAPI's machinery. `openapi` is its operation object, written by hand; a test holds it
    true to what `endpoint` accepts and answers. Only the authentication middleware stands before it."""

    path: str
    method: str
    endpoint: Callable[[Request], Awaitable[Response]]
    openapi: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Periodic:
    """Work that one process at a time does again and again, under a lease of its name. `role` says which role of the
    program runs it; `run` gets a context of the program itself and must end within a second or so."""

    name: str
    role: str
    seconds: float
    run: Callable[[Ctx], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a module brings: routes, periodic work, permissions with the roles that hold them, its settings group."""

    name: str
    routers: tuple[APIRouter, ...] = ()
    hot_routes: tuple[HotRoute, ...] = ()
    periodics: tuple[Periodic, ...] = ()
    permissions: Mapping[str, frozenset[str]] = field(default_factory=dict)
    settings: type[BaseModel] | None = None

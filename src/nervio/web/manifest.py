"""A module's manifest: everything the runtime needs to know to serve it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from nervio.db.context import Ctx
from nervio.db.jobs import Job
from nervio.ports.bus import Event
from nervio.ports.lines import OpenLine
from nervio.ports.probes import About, Question, Reading


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
class EventHandler:
    """A module's reaction to facts of others. `name` never changes: the inbox knows by it what was received.

    `handle` gets a context of the program itself in the event's tenant. It may be called more than once for an event, in
    the order of the event's key, and sees to it that the effect happens once: by a command whose key is the event's id.
    """

    name: str
    types: tuple[str, ...]
    handle: Callable[[Ctx, Event], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Probe:
    """A figure of a module that rules of safety watch, which stands below it. `name` never changes: rules are fed by it.

    `measures` says in words what it is and what it is made of. `read` gets a context of the program itself in one tenant
    and answers for all of its subjects in a few set-wise queries; it is asked every `seconds`, and at once after a fact
    of one of the types in `hears`.
    """

    name: str
    unit: str
    about: About
    measures: str
    seconds: float
    read: Callable[[Ctx, Question], Awaitable[Sequence[Reading]]]
    hears: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a module brings: routes, periodic work, background jobs, reactions to events, figures for the rules of safety,
    permissions with the roles that hold them, its settings group, and what answers Socket.IO (one module does)."""

    name: str
    routers: tuple[APIRouter, ...] = ()
    hot_routes: tuple[HotRoute, ...] = ()
    periodics: tuple[Periodic, ...] = ()
    jobs: tuple[Job, ...] = ()
    handlers: tuple[EventHandler, ...] = ()
    probes: tuple[Probe, ...] = ()
    permissions: Mapping[str, frozenset[str]] = field(default_factory=dict)
    settings: type[BaseModel] | None = None
    open_line: OpenLine | None = None

"""Whether this process can do its work: asked by balancers and containers, so it never waits long and never lies."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field
from sqlalchemy import Connection, select

from nervio.db.database import Database
from nervio.db.outbox import last_position

CHECK_SECONDS = 2.0
FRESH_SECONDS = 2.0
"""How long the state of a server beside the database is taken for granted. Whoever asks more often, as anybody may, opens no
connection for it."""

Ping = Callable[[], Awaitable[None]]
"""Raises where the server does not answer."""


class Check(BaseModel):
    """One thing the process needs."""

    status: str = Field(description="`ok`, `failed`, or `not_configured` where no address was given.")
    milliseconds: float = Field(description="How long the check took.")
    detail: str | None = Field(None, description="What is wrong, where something is.")


class Health(BaseModel):
    """The state of this process."""

    status: str = Field(
        description="`ok`; `degraded` while Redis or NATS is away: events wait in the database and everything goes on, so "
        "no balancer has a reason to send callers elsewhere; `failed` or `stopping`, which come with 503."
    )
    version: str
    environment: str = Field(description="`development`, `test` or `production`.")
    uptime_seconds: float
    roles: list[str] = Field(description="What this process does.")
    checks: dict[str, Check]


class DatabaseHealth(Check):
    """The state of the database."""

    backend: str = Field(description="`sqlite` or `postgresql`.")
    position: int | None = Field(None, description="Position of the newest numbered commit.")


@dataclass(slots=True)
class Liveness:
    """What the health routes report about the process itself."""

    version: str
    backend: str
    roles: tuple[str, ...] = ()
    environment: str = "development"
    started: float = 0.0
    stopping: bool = False

    def __post_init__(self) -> None:
        self.started = time.monotonic()


async def check_database(database: Database) -> tuple[Check, int | None]:
    """Reads from the database, within `CHECK_SECONDS`."""

    def query(connection: Connection) -> int:
        connection.execute(select(1)).scalar_one()
        return last_position(connection)

    started = time.perf_counter()
    try:
        position = await asyncio.wait_for(database.read(query), CHECK_SECONDS)
    except TimeoutError:
        return Check(status="failed", milliseconds=_since(started), detail=f"no answer within {CHECK_SECONDS} s"), None
    except Exception as error:  # noqa: BLE001 (whatever it is, the database does not answer)
        # The type only: a driver's message may hold the address with its password.
        return Check(status="failed", milliseconds=_since(started), detail=type(error).__name__), None
    return Check(status="ok", milliseconds=_since(started), detail=None), position


async def check_service(ping: Ping) -> Check:
    """Whether a server beside the database answers, within `CHECK_SECONDS`."""
    started = time.perf_counter()
    try:
        await asyncio.wait_for(ping(), CHECK_SECONDS)
    except TimeoutError:
        return Check(status="failed", milliseconds=_since(started), detail=f"no answer within {CHECK_SECONDS} s")
    except Exception as error:  # noqa: BLE001 (whatever it is, the server does not answer)
        return Check(status="failed", milliseconds=_since(started), detail=type(error).__name__)
    return Check(status="ok", milliseconds=_since(started), detail=None)


class Services:
    """How the servers beside the database are, without keeping whoever asks waiting for one that is away: looked at anew in the
    background when the last look is `FRESH_SECONDS` old, and waited for only the first time."""

    def __init__(self, pings: Mapping[str, Ping]) -> None:
        self._pings = pings
        self._found: dict[str, Check] = {}
        self._looked_at = -math.inf
        self._looking: asyncio.Task[None] | None = None

    async def checks(self) -> dict[str, Check]:
        """The last look at each."""
        is_due = time.monotonic() - self._looked_at > FRESH_SECONDS
        if self._pings and is_due and (self._looking is None or self._looking.done()):
            self._looking = asyncio.create_task(self._look(), name="nervio-health")
        if self._pings and not self._found:
            assert self._looking is not None
            await asyncio.shield(self._looking)
        return self._found

    async def _look(self) -> None:
        checks = await asyncio.gather(*map(check_service, self._pings.values()))
        self._found = dict(zip(self._pings, checks, strict=True))
        self._looked_at = time.monotonic()


def health_router(
    database: Callable[[], Database], liveness: Liveness, services: Mapping[str, Ping] | None = None
) -> APIRouter:
    """The routes that say how this process is. `services` are the servers beside the database that are configured."""
    pings = services or {}
    beside = Services(pings)
    router = APIRouter(tags=["health"])
    failed: dict[int | str, dict[str, Any]] = {503: {"model": Health, "description": "Failed or stopping."}}

    @router.get("/health", responses=failed, summary="State of this process")
    @router.get("/api/health", responses=failed, summary="State of this process")
    async def health(response: Response) -> Health:
        (check, _), others = await asyncio.gather(check_database(database()), beside.checks())
        status = "stopping" if liveness.stopping else check.status
        if status != "ok":
            response.status_code = 503
        elif any(other.status != "ok" for other in others.values()):
            status = "degraded"
        return Health(
            status=status,
            version=liveness.version,
            environment=liveness.environment,
            uptime_seconds=round(time.monotonic() - liveness.started, 1),
            roles=list(liveness.roles),
            checks={"database": check, **others},
        )

    @router.get(
        "/api/health/database",
        responses={503: {"model": DatabaseHealth, "description": "The database does not answer."}},
        summary="State of the database",
    )
    async def database_health(response: Response) -> DatabaseHealth:
        check, position = await check_database(database())
        if check.status != "ok":
            response.status_code = 503
        return DatabaseHealth(**check.model_dump(), backend=liveness.backend, position=position)

    def add_service(name: str, title: str) -> None:
        @router.get(
            f"/api/health/{name}",
            responses={503: {"model": Check, "description": f"{title} does not answer."}},
            summary=f"State of {title}",
            operation_id=f"{name}_health",
        )
        async def service_health(response: Response) -> Check:
            ping = pings.get(name)
            if ping is None:
                return Check(status="not_configured", milliseconds=0.0, detail=None)
            check = await check_service(ping)
            if check.status != "ok":
                response.status_code = 503
            return check

    add_service("redis", "Redis")
    add_service("nats", "NATS")
    return router


def _since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 2)

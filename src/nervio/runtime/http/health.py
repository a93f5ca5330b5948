"""Whether this process can do its work: asked by balancers and containers, so it never waits long and never lies."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field
from sqlalchemy import Connection, select

from nervio.db.database import Database
from nervio.db.outbox import last_position

CHECK_SECONDS = 2.0


class Check(BaseModel):
    """One thing the process needs."""

    status: str = Field(description="`ok` or `failed`.")
    milliseconds: float = Field(description="How long the check took.")
    detail: str | None = Field(None, description="What is wrong, where something is.")


class Health(BaseModel):
    """The state of this process."""

    status: str = Field(description="`ok`, `failed` or `stopping`; the last two come with 503.")
    version: str
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


def health_router(database: Callable[[], Database], liveness: Liveness) -> APIRouter:
    """The routes that say how this process is."""
    router = APIRouter(tags=["health"])
    failed: dict[int | str, dict[str, Any]] = {503: {"model": Health, "description": "Failed or stopping."}}

    @router.get("/health", responses=failed, summary="State of this process")
    @router.get("/api/health", responses=failed, summary="State of this process")
    async def health(response: Response) -> Health:
        check, _ = await check_database(database())
        status = "stopping" if liveness.stopping else check.status
        if status != "ok":
            response.status_code = 503
        return Health(
            status=status,
            version=liveness.version,
            uptime_seconds=round(time.monotonic() - liveness.started, 1),
            roles=list(liveness.roles),
            checks={"database": check},
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

    return router


def _since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 2)

"""The safety module's use cases: stop, resume, and what is in force."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from nervio.db.context import Ctx
from nervio.db.database import Database
from nervio.db.halt import Halt
from nervio.kernel.time import Instant
from nervio.modules.safety import store
from nervio.modules.safety.contracts import (
    ExitCode,
    Freeze,
    Frozen,
    HaltRecord,
    Pending,
    Scope,
    Status,
    Target,
    Thawed,
    Unfreeze,
)
from nervio.modules.safety.domain import check_level, check_reason, check_target, status_of
from nervio.modules.safety.usecases.stopping import FREEZE, UNFREEZE, run
from nervio.modules.safety.usecases.watching import LEASE_SECONDS, REFRESH_SECONDS, HaltWatch

STOP = "safety.stop"
RESUME = "safety.resume"
STOP_INSTALLATION = "safety.stop_installation"
RESUME_INSTALLATION = "safety.resume_installation"
READ = "safety.read"

LONGEST_PAGE = 500


async def freeze(
    ctx: Ctx,
    reason: str,
    *,
    scope: Scope | None = None,
    module: str | None = None,
    location_id: str | None = None,
    level: str = "all",
) -> Frozen | Pending:
    """Stops the caller's tenant or the whole installation, narrowed to a module or a location where one is named.

    Without a scope the widest that the caller may stop. `Frozen` is an acknowledgement: after it no write in the scope
    commits, on any process. `Pending` is none. Freezing what is frozen with the same scope and level returns the halt that
    is there. Raises `forbidden`, or `invalid` naming the field.
    """
    if scope is None:
        scope = Scope.INSTALLATION if _may(ctx, STOP_INSTALLATION) else Scope.TENANT
    ctx.require(STOP_INSTALLATION if scope is Scope.INSTALLATION else STOP)
    tenant_id = None if scope is Scope.INSTALLATION else ctx.tenant_id
    return await _freeze(ctx.database, ctx.actor_id, Target(tenant_id, module, location_id), level, reason)


async def unfreeze(
    ctx: Ctx,
    reason: str,
    *,
    scope: Scope | None = None,
    module: str | None = None,
    location_id: str | None = None,
    level: str | None = None,
) -> Thawed | Pending:
    """Ends the halts over exactly this module and location (over all of them, where none is named).

    Without a scope those of the installation and of the caller's tenant that the caller may end; without a level those of
    any level. Nothing to end is no error: `remaining` says what still stops the tenant. Raises `forbidden`.
    """
    if scope is None:
        installation, own = _may(ctx, RESUME_INSTALLATION), _may(ctx, RESUME)
        if not installation:
            ctx.require(RESUME)
    else:
        installation, own = scope is Scope.INSTALLATION, scope is Scope.TENANT
        ctx.require(RESUME_INSTALLATION if installation else RESUME)
    tenants = ([None] if installation else []) + ([ctx.tenant_id] if own else [])
    targets = tuple(check_target(Target(tenant_id, module, location_id)) for tenant_id in tenants)
    body = Unfreeze(targets, None if level is None else check_level(level), check_reason(reason))
    return await run(ctx.database, UNFREEZE, ctx.tenant_id, ctx.actor_id, body)


async def get_status(database: Database, tenant_id: str | None = None) -> Status:
    """Whether the installation is stopped, in all or in part, and by whom; with a tenant, whether that one is."""
    found = await database.read_reserved(lambda connection: store.list_in_force(connection, tenant_id))
    return status_of(found)


def summarize(halts: Iterable[Halt], tenant_id: str | None = None) -> Status:
    """The same status from halts that a `HaltWatch` holds in memory, so that it is told while the store hangs."""
    return status_of(
        HaltRecord(h.id, h.tenant_id, h.module, h.location_id, h.level.value, h.reason, h.activated_by, h.activated_at)
        for h in halts
        if h.tenant_id is None or h.tenant_id == tenant_id
    )


async def list_halts(
    ctx: Ctx, *, active: bool | None = None, before: tuple[Instant, str] | None = None, limit: int = 50
) -> list[HaltRecord]:
    """Halts of the tenant and of the installation, past ones too, the newest first; `before` is (activated_at, id) of
    the last one seen."""
    ctx.require(READ)
    return await ctx.read(
        lambda c: store.list_halts(c, active=active, before=before, limit=min(limit, LONGEST_PAGE + 1))
    )


def stop_now(
    database: Database,
    reason: str,
    actor: str,
    *,
    tenant_id: str | None = None,
    module: str | None = None,
    location_id: str | None = None,
    level: str = "all",
) -> Frozen | Pending:
    """For the command line, with the server running, down or hung: stops straight on the database and closes it.

    `database` is made but not started, and this must not run on an event loop. Without a tenant the whole installation.
    Raises NervioError `unavailable` when the database cannot be reached. `exit_code` says what the process ends with.
    """
    target = Target(tenant_id, module, location_id)

    async def work() -> Frozen | Pending:
        try:
            return await _freeze(database, actor, target, level, reason)
        finally:
            await database.close()

    return asyncio.run(work())


def resume_now(
    database: Database,
    reason: str,
    actor: str,
    *,
    tenant_id: str | None = None,
    module: str | None = None,
    location_id: str | None = None,
    level: str | None = None,
) -> Thawed | Pending:
    """For the command line, as `stop_now`: ends the halts of exactly this scope, of one level or of any."""
    target = check_target(Target(tenant_id, module, location_id))
    body = Unfreeze((target,), None if level is None else check_level(level), check_reason(reason))

    async def work() -> Thawed | Pending:
        try:
            return await run(database, UNFREEZE, tenant_id, actor, body)
        finally:
            await database.close()

    return asyncio.run(work())


def exit_code(answer: Frozen | Thawed | Pending) -> ExitCode:
    """What a command that got this answer ends with; one that got an error ends with `FAILED`."""
    return ExitCode.PENDING if isinstance(answer, Pending) else ExitCode.ACKNOWLEDGED


async def _freeze(database: Database, actor_id: str, target: Target, level: str, reason: str) -> Frozen | Pending:
    body = Freeze(check_target(target), check_level(level), check_reason(reason))
    return await run(database, FREEZE, target.tenant_id, actor_id, body)


def _may(ctx: Ctx, permission: str) -> bool:
    return ctx.permissions is None or permission in ctx.permissions


__all__ = [
    "FREEZE",
    "LEASE_SECONDS",
    "READ",
    "REFRESH_SECONDS",
    "RESUME",
    "RESUME_INSTALLATION",
    "STOP",
    "STOP_INSTALLATION",
    "UNFREEZE",
    "HaltWatch",
    "exit_code",
    "freeze",
    "get_status",
    "list_halts",
    "resume_now",
    "stop_now",
    "summarize",
    "unfreeze",
]

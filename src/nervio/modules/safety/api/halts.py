"""The safety module's use cases: stop, resume, and what is in force."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from sqlalchemy import Connection

from nervio.db.context import Ctx
from nervio.db.database import Database
from nervio.db.halt import Halt, read_clock
from nervio.kernel.errors import invalid, not_found
from nervio.kernel.ids import is_id
from nervio.kernel.time import Instant
from nervio.modules.safety.contracts.halts import (
    Advance,
    ExitCode,
    Freeze,
    Frozen,
    HaltRecord,
    Pending,
    Scope,
    Stages,
    Status,
    Target,
    Thawed,
    Unfreeze,
)
from nervio.modules.safety.domain.halts import check_length, check_level, check_reason, check_target, status_of
from nervio.modules.safety.store import halts as store
from nervio.modules.safety.store import policies
from nervio.modules.safety.usecases.stopping import FREEZE, run
from nervio.modules.safety.usecases.thawing import ADVANCE, RESUME_AT_ONCE, UNFREEZE
from nervio.modules.safety.usecases.watching import LEASE_SECONDS, REFRESH_SECONDS, HaltWatch
from nervio.ports.clock import Clock

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
    level: str | None = None,
    for_seconds: float | None = None,
    expires_at: Instant | None = None,
) -> Frozen | Pending:
    """Stops the caller's tenant or the whole installation, narrowed to a module or a location where one is named.

    Without a scope the widest that the caller may stop; without a level that of the policy, `all` until somebody chose
    another; without an end it is latched. `Frozen` is an acknowledgement: after it no write in the scope
    commits, on any process. `Pending` is none. Freezing what is frozen with the same scope and level returns the halt that
    is there. Raises `forbidden`, or `invalid` naming the field.
    """
    if scope is None:
        scope = Scope.INSTALLATION if _may(ctx, STOP_INSTALLATION) else Scope.TENANT
    ctx.require(STOP_INSTALLATION if scope is Scope.INSTALLATION else STOP)
    tenant_id = None if scope is Scope.INSTALLATION else ctx.tenant_id
    target = Target(tenant_id, module, location_id)
    return await _freeze(ctx.database, ctx.actor_id, target, level, reason, for_seconds, expires_at)


async def unfreeze(
    ctx: Ctx,
    reason: str,
    *,
    scope: Scope | None = None,
    module: str | None = None,
    location_id: str | None = None,
    level: str | None = None,
    stages: Stages | None = None,
    halt_id: str | None = None,
) -> Thawed | Pending:
    """Ends the halts over exactly this module and location (over all of them, where none is named), or the one named.

    At once or in stages: as `stages` says, else as the policy of the scope says where somebody has saved one, else at once.
    Where the policy wants two people nothing ends yet, and `requested` says what waits for the second. Without a scope those of
    the installation and of the caller's tenant that the caller may end; without a level those of any level. With a `halt_id`,
    which stands alone, that one and no other of its scope. Nothing to end is no error: `remaining` says what still stops the
    tenant. Raises `forbidden`, and `not_found` for a halt that is none of the caller's.
    """
    if halt_id is not None:
        if (scope, module, location_id, level) != (None, None, None, None):
            raise invalid("halt_id_alone", "halt_id says it all; leave the scope and the level out.", field="halt_id")
        targets = [await _target_of(ctx, halt_id)]
    else:
        targets = [check_target(Target(tenant_id, module, location_id)) for tenant_id in _whose(ctx, scope)]
    body = Unfreeze(
        tuple(targets),
        None if level is None else check_level(level),
        check_reason(reason),
        stages,
        by_person=ctx.is_person,
        may_skip_stages=_may(ctx, RESUME_AT_ONCE),
        halt_id=halt_id,
    )
    return await run(ctx.database, UNFREEZE, ctx.tenant_id, ctx.actor_id, body)


async def advance(ctx: Ctx) -> None:
    """Books what time has brought: halts that ran out, stages of a thaw that are due, requests that nobody confirmed.

    For the scheduler, every second. Only where there is something to book are the writers kept waiting.
    """

    def is_due(connection: Connection) -> bool:
        now = read_clock(connection, ctx.clock.now())
        return bool(store.find_due(connection, now) or policies.find_lapsed(connection, now))

    if await ctx.database.read_reserved(is_due):
        await run(ctx.database, ADVANCE, None, ctx.actor_id, Advance())


async def get_status(database: Database, clock: Clock, tenant_id: str | None = None) -> Status:
    """Whether the installation is stopped, in all or in part, and by whom; with a tenant, whether that one is."""
    found = await database.read_reserved(lambda c: store.list_in_force(c, tenant_id, read_clock(c, clock.now())))
    return status_of(found)


def summarize(halts: Iterable[Halt], tenant_id: str | None = None) -> Status:
    """The same status from halts that a `HaltWatch` holds in memory, so that it is told while the store hangs."""
    return status_of(
        HaltRecord(h.id, h.tenant_id, h.module, h.location_id, h.level.value, h.reason, h.activated_by, h.activated_at)
        for h in halts
        if h.concerns(tenant_id)
    )


async def list_halts(
    ctx: Ctx, *, active: bool | None = None, before: tuple[Instant, str] | None = None, limit: int = 50
) -> list[HaltRecord]:
    """Halts of the tenant and of the installation, past ones too, the newest first; `before` is (activated_at, id) of
    the last one seen."""
    ctx.require(READ)
    return await ctx.read(
        lambda c: store.list_halts(
            c,
            active=active,
            before=before,
            limit=min(limit, LONGEST_PAGE + 1),
            now=read_clock(c.untenanted(), ctx.clock.now()),
        )
    )


def stop_now(
    database: Database,
    reason: str,
    actor: str,
    *,
    tenant_id: str | None = None,
    module: str | None = None,
    location_id: str | None = None,
    level: str | None = None,
    for_seconds: float | None = None,
) -> Frozen | Pending:
    """For the command line, with the server running, down or hung: stops straight on the database and closes it.

    `database` is made but not started, and this must not run on an event loop. Without a tenant the whole installation.
    Raises NervioError `unavailable` when the database cannot be reached. `exit_code` says what the process ends with.
    """
    target = Target(tenant_id, module, location_id)

    async def work() -> Frozen | Pending:
        try:
            return await _freeze(database, actor, target, level, reason, for_seconds, None)
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
    stages: Stages | None = None,
    break_glass: bool = False,
) -> Thawed | Pending:
    """For the command line, as `stop_now`: ends the halts of exactly this scope, of one level or of any.

    It follows the policy of the scope as `unfreeze` does, and whoever sits at the machine counts as the first person, never as
    the second. With `break_glass` it overrides the policy; the journal says so, and `overridden` says what.
    """
    target = check_target(Target(tenant_id, module, location_id))
    body = Unfreeze(
        (target,),
        None if level is None else check_level(level),
        check_reason(reason),
        stages,
        by_person=True,
        break_glass=break_glass,
    )

    async def work() -> Thawed | Pending:
        try:
            return await run(database, UNFREEZE, tenant_id, actor, body)
        finally:
            await database.close()

    return asyncio.run(work())


def exit_code(answer: Frozen | Thawed | Pending) -> ExitCode:
    """What a command that got this answer ends with; one that got an error ends with `FAILED`."""
    waits = isinstance(answer, Pending) or (isinstance(answer, Thawed) and bool(answer.requested))
    return ExitCode.PENDING if waits else ExitCode.ACKNOWLEDGED


async def _freeze(
    database: Database,
    actor_id: str,
    target: Target,
    level: str | None,
    reason: str,
    seconds: float | None,
    until: Instant | None,
) -> Frozen | Pending:
    check_length(seconds, until)
    given = None if level is None else check_level(level)
    body = Freeze(check_target(target), given, check_reason(reason), seconds, until)
    return await run(database, FREEZE, target.tenant_id, actor_id, body)


def _whose(ctx: Ctx, scope: Scope | None) -> list[str | None]:
    """Whose halts of a scope the caller may end; without one, all those that they may. Raises `forbidden`."""
    if scope is None:
        installation, own = _may(ctx, RESUME_INSTALLATION), _may(ctx, RESUME)
        if not installation:
            ctx.require(RESUME)
    else:
        installation, own = scope is Scope.INSTALLATION, scope is Scope.TENANT
        ctx.require(RESUME_INSTALLATION if installation else RESUME)
    return [*([None] if installation else []), *([ctx.tenant_id] if own else [])]


async def _target_of(ctx: Ctx, halt_id: str) -> Target:
    """What a halt that the caller may end covers, which never changes. Raises `not_found` and `forbidden`."""
    # On the connection kept for the stop: this must work while everything else hangs.
    halt = await ctx.database.read_reserved(lambda c: store.find_halt(c, halt_id)) if is_id(halt_id) else None
    if halt is None or halt.tenant_id not in (None, ctx.tenant_id):
        raise not_found("halt", halt_id)
    ctx.require(RESUME_INSTALLATION if halt.tenant_id is None else RESUME)
    return Target(halt.tenant_id, halt.module, halt.location_id)


def _may(ctx: Ctx, permission: str) -> bool:
    return ctx.permissions is None or permission in ctx.permissions


__all__ = [
    "ADVANCE",
    "FREEZE",
    "LEASE_SECONDS",
    "READ",
    "REFRESH_SECONDS",
    "RESUME",
    "RESUME_AT_ONCE",
    "RESUME_INSTALLATION",
    "STOP",
    "STOP_INSTALLATION",
    "UNFREEZE",
    "HaltWatch",
    "advance",
    "exit_code",
    "freeze",
    "get_status",
    "list_halts",
    "resume_now",
    "stop_now",
    "summarize",
    "unfreeze",
]

"""The policy of stops, and what takes two people: asked by `halts.unfreeze`, settled here."""

from __future__ import annotations

from typing import Any

from nervio.db.context import Ctx
from nervio.modules.safety.api.halts import READ, RESUME, RESUME_INSTALLATION
from nervio.modules.safety.contracts.halts import (
    Pending,
    Policy,
    PolicySaved,
    SavePolicy,
    Scope,
    Settle,
    Settled,
    ThawRequest,
)
from nervio.modules.safety.domain.halts import changed_policy, check_reason
from nervio.modules.safety.store import policies as store
from nervio.modules.safety.usecases.settling import SAVE_POLICY, SETTLE
from nervio.modules.safety.usecases.stopping import run

WRITE_POLICY = "safety.policy"
WRITE_INSTALLATION_POLICY = "safety.policy_installation"

LONGEST_LIST = 200


async def get_policy(ctx: Ctx, scope: Scope = Scope.TENANT) -> Policy:
    """How the caller's tenant, or the installation, stops and thaws."""
    ctx.require(READ)
    tenant_id = _tenant(ctx, scope)
    return await ctx.read(lambda c: store.read_policy(c.untenanted(), tenant_id))


async def save_policy(ctx: Ctx, scope: Scope, **changes: Any) -> PolicySaved | Pending:
    """Changes the fields that are given; the others stay as they are in that moment. Turning `two_person_thaw` off while
    something of the scope is stopped takes two people itself: then nothing changes yet, and `requested` waits for the second.
    Raises `forbidden`, or `invalid` naming the field."""
    ctx.require(WRITE_INSTALLATION_POLICY if scope is Scope.INSTALLATION else WRITE_POLICY)
    tenant_id = _tenant(ctx, scope)
    changed_policy(Policy(tenant_id), changes)
    body = SavePolicy(tenant_id, changes, by_person=ctx.is_person)
    return await run(ctx.database, SAVE_POLICY, tenant_id, ctx.actor_id, body)


async def list_requests(ctx: Ctx, *, limit: int = 50) -> list[ThawRequest]:
    """What one person asked for and two have to settle, the newest first; settled ones too."""
    ctx.require(READ)
    whose = [ctx.tenant_id, *([None] if ctx.permissions is None or RESUME_INSTALLATION in ctx.permissions else [])]
    return await ctx.read(lambda c: store.list_requests(c.untenanted(), whose, min(limit, LONGEST_LIST)))


async def settle(ctx: Ctx, request_id: str, note: str, *, confirms: bool) -> Settled | Pending:
    """Confirms a request, as somebody else than who asked, or refuses it.

    Raises `not_found`, `conflict` when it is settled or nobody confirmed in time, `forbidden` for whoever asked, for programs,
    and for who may not resume.
    """
    whose: list[str | None] = []
    if ctx.permissions is None or RESUME in ctx.permissions:
        whose.append(ctx.tenant_id)
    if ctx.permissions is None or RESUME_INSTALLATION in ctx.permissions:
        whose.append(None)
    if not whose:
        ctx.require(RESUME)
    body = Settle(request_id, tuple(whose), confirms, check_reason(note), ctx.is_person)
    return await run(ctx.database, SETTLE, ctx.tenant_id, ctx.actor_id, body)


def _tenant(ctx: Ctx, scope: Scope) -> str | None:
    return None if scope is Scope.INSTALLATION else ctx.tenant_id


__all__ = [
    "SAVE_POLICY",
    "SETTLE",
    "WRITE_INSTALLATION_POLICY",
    "WRITE_POLICY",
    "get_policy",
    "list_requests",
    "save_policy",
    "settle",
]

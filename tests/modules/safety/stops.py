"""What the suites of stops share: people, and what is in force."""

from collections.abc import Awaitable
from dataclasses import replace
from typing import Any

import pytest

from nervio.db.context import Ctx
from nervio.db.halt import read_active
from nervio.db.outbox import read_after
from nervio.kernel.errors import Kind, NervioError
from nervio.modules.catalog import api as catalog
from nervio.modules.catalog.contracts import LocationInput
from nervio.modules.ledger import api as ledger
from nervio.modules.safety import api as safety
from nervio.modules.safety.contracts.halts import Frozen, PolicySaved, Scope, Thawed
from nervio.modules.safety.module import MANIFEST
from tests.builders import Store

STAGE, JITTER = 10, 0


def person(store: Store, name: str, role: str = "superadmin") -> Ctx:
    """Somebody who is signed in."""
    held = frozenset(permission for permission, roles in MANIFEST.permissions.items() if role in roles)
    return replace(store.ctx, actor_id=name, permissions=held, is_person=True)


async def writing(store: Store) -> bool:
    """Whether an ordinary write goes through."""
    try:
        await catalog.save_location(store.ctx, LocationInput("NEW", "New"))
    except NervioError as refusal:
        if refusal.kind is not Kind.HALTED:
            raise
        return False
    return True


async def frozen(answer: Awaitable[Any]) -> Frozen:
    found = await answer
    assert isinstance(found, Frozen)
    return found


async def thawed(answer: Awaitable[Any]) -> Thawed:
    found = await answer
    assert isinstance(found, Thawed)
    return found


async def refusal_of(attempt: Awaitable[Any]) -> str:
    with pytest.raises(NervioError) as refused:
        await attempt
    return refused.value.code


async def levels_for(store: Store, tenant_id: str) -> list[str | None]:
    active = await store.database.read(lambda c: read_active(c, store.clock.now()))
    return [level.value if (level := halt.level_for(tenant_id)) else None for halt in active]


async def journal(store: Store, kind: str, tenant_id: str | None = None) -> list[dict[str, Any]]:
    ctx = replace(store.ctx, tenant_id=tenant_id or store.ctx.tenant_id)
    return [dict(entry.details or {}) for entry in await ledger.list_entries(ctx, kind=kind)]


async def events(store: Store, kind: str) -> list[dict[str, Any]]:
    found = await store.database.read(lambda c: read_after(c, 0, 0, 1000))
    return [event.payload for event in found if event.type == kind]


async def a_policy(store: Store, scope: Scope = Scope.TENANT, **changes: Any) -> PolicySaved:
    given = {"thaw_stage_seconds": STAGE, "thaw_jitter_seconds": JITTER, **changes}
    saved = await safety.save_policy(person(store, "chief"), scope, **given)
    assert isinstance(saved, PolicySaved)
    return saved

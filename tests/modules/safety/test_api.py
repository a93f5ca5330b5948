"""Who may stop and who may resume, and what a stop asks for."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nervio.db.context import Ctx
from nervio.kernel.errors import Kind, NervioError
from nervio.kernel.ids import new_id
from nervio.modules.safety import api as safety
from nervio.modules.safety.contracts.halts import Frozen, Scope, Thawed
from nervio.modules.safety.module import MANIFEST
from tests.builders import Store, a_store

ROLES = ("superadmin", "admin", "deposito", "negocio", "cashier", "ml_service")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with a_store(tmp_path) as opened:
        yield opened


def as_role(store: Store, role: str) -> Ctx:
    """A person of a role, as far as this module's manifest gives them anything."""
    held = frozenset(name for name, roles in MANIFEST.permissions.items() if role in roles)
    return replace(store.ctx, actor_id=role, permissions=held)


async def kind_of(attempt: Any) -> Kind | None:
    try:
        await attempt
    except NervioError as refusal:
        return refusal.kind
    return None


@pytest.mark.parametrize("role", ROLES)
async def test_anyone_on_duty_stops_the_shop_and_only_a_superadmin_the_installation(store: Store, role: str) -> None:
    ctx = as_role(store, role)
    own = await kind_of(safety.freeze(ctx, "fire", scope=Scope.TENANT))
    everything = await kind_of(safety.freeze(ctx, "fire", scope=Scope.INSTALLATION))
    assert own == (Kind.FORBIDDEN if role == "ml_service" else None)
    assert everything == (None if role == "superadmin" else Kind.FORBIDDEN)


@pytest.mark.parametrize("role", ROLES)
async def test_resuming_takes_more_than_stopping(store: Store, role: str) -> None:
    await safety.freeze(store.ctx, "fire", scope=Scope.TENANT)
    await safety.freeze(store.ctx, "fire", scope=Scope.INSTALLATION)
    ctx = as_role(store, role)
    own = await kind_of(safety.unfreeze(ctx, "out", scope=Scope.TENANT))
    everything = await kind_of(safety.unfreeze(ctx, "out", scope=Scope.INSTALLATION))
    assert own == (None if role in {"superadmin", "admin"} else Kind.FORBIDDEN)
    assert everything == (None if role == "superadmin" else Kind.FORBIDDEN)


async def test_without_a_scope_the_widest_that_one_may(store: Store) -> None:
    by_cashier = await safety.freeze(as_role(store, "cashier"), "fire")
    by_superadmin = await safety.freeze(as_role(store, "superadmin"), "fire")
    assert isinstance(by_cashier, Frozen)
    assert isinstance(by_superadmin, Frozen)
    assert (by_cashier.halt.scope, by_superadmin.halt.scope) == (Scope.TENANT, Scope.INSTALLATION)

    by_admin = await safety.unfreeze(as_role(store, "admin"), "out")
    assert isinstance(by_admin, Thawed)
    assert [halt.id for halt in by_admin.cleared] == [by_cashier.halt.id]
    assert [halt.id for halt in by_admin.remaining] == [by_superadmin.halt.id], (
        "who resumes hears what still stops them"
    )
    await safety.freeze(as_role(store, "cashier"), "fire")
    rest = await safety.unfreeze(as_role(store, "superadmin"), "out")
    assert isinstance(rest, Thawed)
    assert len(rest.cleared) == 2
    assert rest.remaining == ()
    assert await kind_of(safety.unfreeze(as_role(store, "cashier"), "out")) is Kind.FORBIDDEN


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("reason", {"reason": "  "}),
        ("reason", {"reason": "x" * 501}),
        ("reason", {"reason": "a\x00b"}),
        ("level", {"level": "some"}),
        ("module", {"module": "sails"}),
        ("location_id", {"location_id": "MAIN"}),
    ],
)
async def test_a_stop_that_would_stop_nothing_is_refused_and_names_the_field(
    store: Store, field: str, given: dict[str, str]
) -> None:
    for attempt in (safety.freeze, safety.unfreeze):
        with pytest.raises(NervioError) as refused:
            await attempt(store.ctx, **{"reason": "fire", **given})  # type: ignore[arg-type]
        assert (refused.value.kind, refused.value.data["field"]) == (Kind.INVALID, field)
    assert await safety.list_halts(store.ctx) == []


async def test_halts_are_listed_with_their_ends_and_without_other_tenants(store: Store) -> None:
    other = await store.another_tenant()
    await safety.freeze(other.ctx, "theirs", scope=Scope.TENANT)
    await safety.freeze(store.ctx, "ours", scope=Scope.TENANT, location_id=new_id(), level="reduce_only")
    store.clock.advance(1)
    await safety.freeze(store.ctx, "everybody's")
    await safety.unfreeze(replace(store.ctx, actor_id="chief"), "over")
    halts = await safety.list_halts(store.ctx)
    assert [halt.reason for halt in halts] == ["everybody's", "ours"]
    assert (halts[0].cleared_by, halts[0].clear_reason) == ("chief", "over")
    assert [halt.reason for halt in await safety.list_halts(store.ctx, active=True)] == ["ours"]
    assert [halt.reason for halt in await safety.list_halts(store.ctx, active=False)] == ["everybody's"]
    second = await safety.list_halts(store.ctx, before=(halts[0].activated_at, halts[0].id), limit=1)
    assert [halt.reason for halt in second] == ["ours"]


async def test_of_several_stops_the_widest_speaks(store: Store) -> None:
    await safety.freeze(store.ctx, "a part", module="sales")
    store.clock.advance(1)
    await safety.freeze(store.ctx, "writes", level="read_only")
    store.clock.advance(1)
    await safety.freeze(store.ctx, "everything")
    assert (await safety.get_status(store.database, store.clock)).reason == "everything"
    await safety.unfreeze(store.ctx, "better", level="all")
    assert (await safety.get_status(store.database, store.clock)).reason == "writes"
    await safety.unfreeze(store.ctx, "better")
    assert (await safety.get_status(store.database, store.clock)).reason == "a part"

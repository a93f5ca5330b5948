"""Every query of stops. The table belongs to the fence (`nervio.db.halt`)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, insert, or_, select, update

from nervio.db.halt import DRILL
from nervio.db.tables import halts
from nervio.db.tenancy import TenantConnection
from nervio.kernel.time import Instant
from nervio.modules.safety.contracts.halts import HaltRecord, Target

h = halts.c

_COLUMNS = (
    h.id,
    h.tenant_id,
    h.module,
    h.location_id,
    h.level,
    h.reason,
    h.activated_by,
    h.activated_at,
    h.cleared_by,
    h.cleared_at,
    h.clear_reason,
    h.asked_level,
    h.expires_at,
    h.former_level,
    h.stage_at,
    h.stage_us,
    h.spread_us,
    h.next_stage_at,
    h.thawed_by,
    h.thaw_reason,
)
_IS_DRILL = and_(h.module.is_not(None), or_(h.module == DRILL, h.module.like(f"{DRILL}.%")))


def find_active(connection: Connection, targets: Sequence[Target], level: str | None, now: Instant) -> list[HaltRecord]:
    """Halts in force with exactly one of the targets, the oldest first; of one level or of any."""
    wanted = [h.cleared_at.is_(None), _runs(now), or_(*(_is(target) for target in targets))]
    if level is not None:
        # A halt that thaws is still found by the level it began with.
        wanted.append(or_(h.level == level, and_(h.asked_level == level, h.next_stage_at.is_not(None))))
    statement = select(*_COLUMNS).where(*wanted).order_by(h.activated_at, h.id)
    return [_record(row) for row in connection.execute(statement)]


def find_halt(connection: Connection, halt_id: str) -> HaltRecord | None:
    """A halt of anybody, in force or over, if there is one of that id; those of drills left out."""
    row = connection.execute(select(*_COLUMNS).where(h.id == halt_id, ~_IS_DRILL)).first()
    return None if row is None else _record(row)


def find_by_id(connection: Connection, halt_ids: Collection[str], now: Instant) -> list[HaltRecord]:
    """Those of the halts that are still in force, the oldest first."""
    wanted = (h.id.in_(halt_ids), h.cleared_at.is_(None), _runs(now))
    statement = select(*_COLUMNS).where(*wanted).order_by(h.activated_at, h.id)
    return [_record(row) for row in connection.execute(statement)]


def find_due(connection: Connection, now: Instant) -> list[HaltRecord]:
    """Halts that time has something to do with: run out for everybody, or due for their next stage."""
    is_over = and_(h.expires_at.is_not(None), ~_runs(now))
    is_due = and_(h.next_stage_at.is_not(None), h.next_stage_at <= now)
    statement = select(*_COLUMNS).where(h.cleared_at.is_(None), or_(is_over, is_due)).order_by(h.activated_at, h.id)
    return [_record(row) for row in connection.execute(statement)]


def insert_halt(connection: Connection, halt: HaltRecord) -> None:
    """Adds a halt in force."""
    connection.execute(insert(halts).values(**asdict(halt)))


def update_halt(connection: Connection, halt: HaltRecord) -> None:
    """Books what a stage of its thaw, or its end, has changed; the row stays, with who, when and why."""
    values = {
        name: getattr(halt, name)
        for name in (
            "level", "asked_level", "expires_at", "former_level", "stage_at", "stage_us", "spread_us", "next_stage_at",
            "thawed_by", "thaw_reason", "cleared_by", "cleared_at", "clear_reason",
        )
    }  # fmt: skip
    connection.execute(update(halts).where(h.id == halt.id, h.cleared_at.is_(None)).values(**values))


def list_in_force(connection: Connection, tenant_id: str | None, now: Instant) -> list[HaltRecord]:
    """Halts in force over the whole installation and, where one is named, over a tenant, the oldest first."""
    wanted = (h.cleared_at.is_(None), _runs(now), _concerns(tenant_id), ~_IS_DRILL)
    statement = select(*_COLUMNS).where(*wanted).order_by(h.activated_at, h.id)
    return [_record(row) for row in connection.execute(statement)]


def list_halts(
    connection: TenantConnection,
    *,
    active: bool | None,
    before: tuple[Instant, str] | None,
    limit: int,
    now: Instant,
) -> list[HaltRecord]:
    """Halts of the tenant and of the installation, the newest first."""
    statement = select(*_COLUMNS).where(_concerns(connection.tenant_id), ~_IS_DRILL)
    if active is not None:
        is_active = and_(h.cleared_at.is_(None), _runs(now))
        statement = statement.where(is_active if active else ~is_active)
    if before is not None:
        at, halt_id = before
        statement = statement.where(or_(h.activated_at < at, and_(h.activated_at == at, h.id < halt_id)))
    statement = statement.order_by(h.activated_at.desc(), h.id.desc()).limit(limit)
    # Those of the installation belong to no tenant, so a tenant's connection refuses the statement; `_concerns` bounds it.
    return [_record(row) for row in connection.untenanted().execute(statement)]


def _record(row: Any) -> HaltRecord:
    return HaltRecord(*row)


def _runs(now: Instant) -> ColumnElement[bool]:
    """Whether a halt holds somebody still; of one that runs out tenant by tenant, the last."""
    return or_(h.expires_at.is_(None), h.expires_at + func.coalesce(h.spread_us, 0) > now)


def _concerns(tenant_id: str | None) -> ColumnElement[bool]:
    return h.tenant_id.is_(None) if tenant_id is None else or_(h.tenant_id.is_(None), h.tenant_id == tenant_id)


def _is(target: Target) -> ColumnElement[bool]:
    def same(column: ColumnElement[Any], value: str | None) -> ColumnElement[bool]:
        return column.is_(None) if value is None else column == value

    return and_(
        same(h.tenant_id, target.tenant_id), same(h.module, target.module), same(h.location_id, target.location_id)
    )

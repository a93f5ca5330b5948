"""Every query of the safety module. The table belongs to the fence (`nervio.db.halt`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, insert, or_, select, update

from nervio.db.tables import halts
from nervio.db.tenancy import TenantConnection
from nervio.kernel.time import Instant
from nervio.modules.safety.contracts import HaltRecord, Target

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
)


def find_active(connection: Connection, targets: Sequence[Target], level: str | None) -> list[HaltRecord]:
    """Halts in force with exactly one of the targets, the oldest first; of one level or of any."""
    wanted = [h.cleared_at.is_(None), or_(*(_is(target) for target in targets))]
    if level is not None:
        wanted.append(h.level == level)
    statement = select(*_COLUMNS).where(*wanted).order_by(h.activated_at, h.id)
    return [_record(row) for row in connection.execute(statement)]


def insert_halt(connection: Connection, halt: HaltRecord) -> None:
    """Adds a halt in force."""
    connection.execute(
        insert(halts).values(
            id=halt.id,
            tenant_id=halt.tenant_id,
            module=halt.module,
            location_id=halt.location_id,
            level=halt.level,
            reason=halt.reason,
            activated_by=halt.activated_by,
            activated_at=halt.activated_at,
        )
    )


def clear_halt(connection: Connection, halt_id: str, actor_id: str, now: Instant, reason: str) -> None:
    """Ends a halt; its row stays, with who ended it, when and why."""
    connection.execute(
        update(halts)
        .where(h.id == halt_id, h.cleared_at.is_(None))
        .values(cleared_by=actor_id, cleared_at=now, clear_reason=reason)
    )


def list_in_force(connection: Connection, tenant_id: str | None) -> list[HaltRecord]:
    """Halts in force over the whole installation and, where one is named, over a tenant, the oldest first."""
    statement = select(*_COLUMNS).where(h.cleared_at.is_(None), _concerns(tenant_id)).order_by(h.activated_at, h.id)
    return [_record(row) for row in connection.execute(statement)]


def list_halts(
    connection: TenantConnection, *, active: bool | None, before: tuple[Instant, str] | None, limit: int
) -> list[HaltRecord]:
    """Halts of the tenant and of the installation, the newest first."""
    statement = select(*_COLUMNS).where(_concerns(connection.tenant_id))
    if active is not None:
        statement = statement.where(h.cleared_at.is_(None) if active else h.cleared_at.is_not(None))
    if before is not None:
        at, halt_id = before
        statement = statement.where(or_(h.activated_at < at, and_(h.activated_at == at, h.id < halt_id)))
    statement = statement.order_by(h.activated_at.desc(), h.id.desc()).limit(limit)
    # Those of the installation belong to no tenant, so a tenant's connection refuses the statement; `_concerns` bounds it.
    return [_record(row) for row in connection.untenanted().execute(statement)]


def _record(row: Any) -> HaltRecord:
    return HaltRecord(*row)


def _concerns(tenant_id: str | None) -> ColumnElement[bool]:
    return h.tenant_id.is_(None) if tenant_id is None else or_(h.tenant_id.is_(None), h.tenant_id == tenant_id)


def _is(target: Target) -> ColumnElement[bool]:
    def same(column: ColumnElement[Any], value: str | None) -> ColumnElement[bool]:
        return column.is_(None) if value is None else column == value

    return and_(
        same(h.tenant_id, target.tenant_id), same(h.module, target.module), same(h.location_id, target.location_id)
    )

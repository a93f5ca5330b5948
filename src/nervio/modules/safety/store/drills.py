"""Queries of drills. The nil tenant stands for the installation."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from nervio.db.halt import tenant_of_scope
from nervio.kernel.ids import NIL
from nervio.kernel.time import Instant
from nervio.modules.safety.contracts.drills import Drill, FinishDrill
from nervio.modules.safety.models.drills import drill_probes, drills
from nervio.modules.safety.models.halts import halt_watchers

d, p, w = drills.c, drill_probes.c, halt_watchers.c

_COLUMNS = (
    d.id,
    d.tenant_id,
    d.module,
    d.outcome,
    d.asked_by,
    d.started_at,
    d.finished_at,
    d.freeze_us,
    d.everywhere_us,
    d.processes,
    d.findings,
)


def insert_drill(
    connection: Connection, drill_id: str, tenant_id: str | None, module: str | None, actor_id: str, now: Instant
) -> None:
    """Opens a record."""
    connection.execute(
        insert(drills).values(
            tenant_id=tenant_of_scope(tenant_id),
            id=drill_id,
            module=module or "",
            outcome="running",
            asked_by=actor_id,
            started_at=now,
            findings="[]",
        )
    )


def find_running(connection: Connection, tenant_id: str | None, module: str | None) -> list[Drill]:
    """Drills of exactly this scope that are not over."""
    of_scope = (d.tenant_id == tenant_of_scope(tenant_id), d.module == (module or ""), d.outcome == "running")
    return [_drill(row) for row in connection.execute(select(*_COLUMNS).where(*of_scope))]


def find_stale(connection: Connection, before: Instant) -> list[Drill]:
    """Drills of anybody that began before and never ended: their process died."""
    statement = select(*_COLUMNS).where(d.outcome == "running", d.started_at < before)
    return [_drill(row) for row in connection.execute(statement)]


def finish_drill(connection: Connection, finished: FinishDrill, now: Instant) -> bool:
    """Closes a record and removes the probes; False when somebody closed it before."""
    tenant_id = tenant_of_scope(finished.tenant_id)
    closed = connection.execute(
        update(drills)
        .where(d.tenant_id == tenant_id, d.id == finished.drill_id, d.outcome == "running")
        .values(
            outcome="failed" if finished.findings else "passed",
            finished_at=now,
            freeze_us=finished.freeze_us,
            everywhere_us=finished.everywhere_us,
            processes=finished.processes,
            findings=json.dumps(finished.findings),
        )
    )
    connection.execute(delete(drill_probes).where(p.drill_id == finished.drill_id))
    return closed.rowcount == 1


def list_last(connection: Connection, tenant_ids: Collection[str | None] | None) -> list[Drill]:
    """The last drill of each scope, of some tenants or of all."""
    newest = select(d.tenant_id, d.module, func.max(d.started_at).label("started_at")).group_by(d.tenant_id, d.module)
    if tenant_ids is not None:
        newest = newest.where(d.tenant_id.in_([tenant_of_scope(tenant_id) for tenant_id in tenant_ids]))
    last = newest.subquery()
    statement = select(*_COLUMNS).join(
        last, (d.tenant_id == last.c.tenant_id) & (d.module == last.c.module) & (d.started_at == last.c.started_at)
    )
    return [_drill(row) for row in connection.execute(statement.order_by(d.id))]


def list_drills(connection: Connection, tenant_ids: Collection[str | None], limit: int) -> list[Drill]:
    """Drills, the newest first."""
    of_these = d.tenant_id.in_([tenant_of_scope(tenant_id) for tenant_id in tenant_ids])
    statement = select(*_COLUMNS).where(of_these).order_by(d.started_at.desc(), d.id.desc()).limit(limit)
    return [_drill(row) for row in connection.execute(statement)]


def insert_probe(connection: Connection, tenant_id: str, drill_id: str, phase: str, lane: str, now: Instant) -> None:
    """A write of a drill."""
    values = {"tenant_id": tenant_id, "drill_id": drill_id, "phase": phase, "lane": lane, "written_at": now}
    connection.execute(insert(drill_probes).values(**values))


def count_probes(connection: Connection, drill_id: str, phases: Collection[str]) -> int:
    """How many writes of some phases were committed, whatever their callers were told."""
    of_phase = (p.drill_id == drill_id, p.phase.in_(phases))
    counted: int = connection.execute(select(func.count()).select_from(drill_probes).where(*of_phase)).scalar_one()
    return counted


# -- which process has seen what -------------------------------------------------------------------------------------


def acknowledge(connection: Connection, process_id: str, halt_ids: Collection[str], now: Instant) -> None:
    """Writes down which halts a process holds for in force."""
    seen = {"halts": json.dumps(sorted(halt_ids)), "seen_at": now}
    found = connection.execute(update(halt_watchers).where(w.process_id == process_id).values(**seen))
    if found.rowcount == 0:
        connection.execute(insert(halt_watchers).values(process_id=process_id, **seen))


def forget_watchers(connection: Connection, before: Instant, process_id: str | None = None) -> None:
    """Removes processes that were not heard of since, and one that ends."""
    is_gone = w.seen_at < before
    connection.execute(delete(halt_watchers).where(is_gone if process_id is None else w.process_id == process_id))


def list_watchers(connection: Connection, since: Instant) -> dict[str, frozenset[str]]:
    """The halts that each process holds for in force, of those that were heard of lately."""
    found = connection.execute(select(w.process_id, w.halts).where(w.seen_at >= since))
    return {row.process_id: frozenset(json.loads(row.halts)) for row in found}


def _drill(row: Any) -> Drill:
    return Drill(
        id=row.id,
        tenant_id=None if row.tenant_id == NIL else row.tenant_id,
        module=row.module or None,
        outcome=row.outcome,
        asked_by=row.asked_by,
        started_at=row.started_at,
        finished_at=row.finished_at,
        freeze_us=row.freeze_us,
        everywhere_us=row.everywhere_us,
        processes=row.processes,
        findings=tuple(json.loads(row.findings)),
    )

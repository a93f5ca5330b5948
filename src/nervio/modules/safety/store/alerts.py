"""Alerts, where they go, and their deliveries: every query."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import BindParameter, Connection, Select, and_, bindparam, case, func, insert, or_, select, update

from nervio.db.dialects import Dialect
from nervio.db.tenancy import TenantConnection
from nervio.kernel.time import Instant
from nervio.modules.safety.contracts.alerts import (
    Alert,
    AlertRecord,
    Destination,
    DestinationKind,
    SaveDestination,
    Severity,
)
from nervio.modules.safety.models.alerts import alert_deliveries, alert_destinations, alerts

_A, _D, _T = alerts.c, alert_deliveries.c, alert_destinations.c


@dataclass(frozen=True, slots=True)
class DueDelivery:
    """A delivery that a worker claimed."""

    id: str
    alert_id: str
    destination_id: str
    severity: str
    attempts: int
    claim_token: int


def lock_newest(
    connection: TenantConnection, dialect: Dialect, dedup_key: str
) -> tuple[str, Severity, Instant, int] | None:
    """(id, severity, when it was first raised, occurrence) of the newest alert with the key, locked."""
    statement = (
        select(_A.id, _A.severity, _A.first_at, _A.occurrence)
        .where(_A.tenant_id == connection.tenant_id, _A.dedup_key == dedup_key)
        .order_by(_A.occurrence.desc())
        .limit(1)
    )
    row = connection.execute(dialect.lock(statement, alerts)).first()
    return None if row is None else (row[0], Severity(row[1]), row[2], row[3])


def insert_alert(
    connection: Connection, tenant_id: str, alert_id: str, alert: Alert, occurrence: int, now: Instant
) -> None:
    """Adds an alert that was raised once."""
    connection.execute(
        insert(alerts).values(
            tenant_id=tenant_id,
            id=alert_id,
            severity=alert.severity.value,
            code=alert.code,
            title=alert.title,
            body=alert.body,
            link=alert.link,
            figures=json.dumps(alert.figures, sort_keys=True),
            dedup_key=alert.dedup_key,
            occurrence=occurrence,
            count=1,
            first_at=now,
            last_at=now,
        )
    )


def count_up(connection: TenantConnection, alert_id: str, alert: Alert, severity: Severity, now: Instant) -> int:
    """Counts an alert once more, with the newest words; returns how often it was raised."""
    connection.execute(
        update(alerts)
        .where(_A.tenant_id == connection.tenant_id, _A.id == alert_id)
        .values(
            severity=severity.value,
            title=alert.title,
            body=alert.body,
            figures=json.dumps(alert.figures, sort_keys=True),
            count=_A.count + 1,
            last_at=now,
        )
    )
    found = connection.execute(
        select(_A.count).where(_A.tenant_id == connection.tenant_id, _A.id == alert_id)
    ).scalar_one()
    return int(found)


def acknowledge(connection: TenantConnection, alert_id: str, actor_id: str, now: Instant) -> bool:
    """Marks an alert as seen, once; False where there is none."""
    found = connection.execute(
        update(alerts)
        .where(_A.tenant_id == connection.tenant_id, _A.id == alert_id)
        .values(
            acknowledged_by=case((_A.acknowledged_at.is_(None), actor_id), else_=_A.acknowledged_by),
            acknowledged_at=case((_A.acknowledged_at.is_(None), now), else_=_A.acknowledged_at),
        )
    )
    return found.rowcount > 0


def list_destinations(connection: TenantConnection) -> list[Destination]:
    """All destinations by name, with their newest delivery."""
    rows = connection.execute(
        select(_T.id, _T.name, _T.kind, _T.settings, _T.secret_names, _T.least_severity, _T.active)
        .where(_T.tenant_id == connection.tenant_id, _T.deleted_at.is_(None))
        .order_by(_T.name)
    ).all()
    newest = _newest_deliveries(connection)
    return [
        Destination(
            row[0],
            row[1],
            DestinationKind(row[2]),
            json.loads(row[3]),
            tuple(json.loads(row[4])),
            Severity(row[5]),
            row[6],
            *newest.get(row[0], ("", "", None)),
        )
        for row in rows
    ]


def list_ways(connection: TenantConnection) -> list[tuple[str, Severity, bool]]:
    """(destination, least severity, whether in use) of all destinations, without how their deliveries went."""
    rows = connection.execute(
        select(_T.id, _T.least_severity, _T.active)
        .where(_T.tenant_id == connection.tenant_id, _T.deleted_at.is_(None))
        .order_by(_T.name)
    )
    return [(row[0], Severity(row[1]), row[2]) for row in rows]


def _newest_deliveries(connection: TenantConnection) -> dict[str, tuple[str, str, Instant | None]]:
    last = (
        select(_D.destination_id, func.max(_D.created_at).label("at"))
        .where(_D.tenant_id == connection.tenant_id)
        .group_by(_D.destination_id)
        .subquery()
    )
    rows = connection.execute(
        select(_D.destination_id, _D.state, _D.words, _D.created_at)
        .join_from(alert_deliveries, last, and_(_D.destination_id == last.c.destination_id, _D.created_at == last.c.at))
        .where(_D.tenant_id == connection.tenant_id)
    )
    return {row[0]: (row[1], row[2], row[3]) for row in rows}


def find_destination_id(connection: TenantConnection, name: str) -> str | None:
    """The id of the destination of a name."""
    return connection.execute(select(_T.id).where(_T.tenant_id == connection.tenant_id, _T.name == name)).scalar()


def find_sealed(connection: TenantConnection, destination_id: str) -> tuple[str, dict[str, str], bytes] | None:
    """(kind, settings, sealed secrets) of a destination."""
    row = connection.execute(
        select(_T.kind, _T.settings, _T.sealed).where(
            _T.tenant_id == connection.tenant_id, _T.id == destination_id, _T.deleted_at.is_(None)
        )
    ).first()
    return None if row is None else (row[0], json.loads(row[1]), bytes(row[2]))


def write_destination(
    connection: TenantConnection, destination_id: str, given: SaveDestination, *, is_new: bool
) -> None:
    """Adds or changes a destination; its kind stays, and so do its secrets where none came."""
    values: dict[str, Any] = {
        "name": given.name,
        "settings": json.dumps(given.settings, sort_keys=True),
        "least_severity": given.least_severity.value,
        "active": given.active,
    }
    if is_new or given.sealed is not None:
        values |= {"sealed": given.sealed or b"", "secret_names": json.dumps(given.secret_names)}
    if is_new:
        values |= {"tenant_id": connection.tenant_id, "id": destination_id, "kind": given.kind.value}
        connection.untenanted().execute(insert(alert_destinations).values(**values))
    else:
        connection.execute(
            update(alert_destinations)
            .where(_T.tenant_id == connection.tenant_id, _T.id == destination_id)
            .values(**values)
        )


def lock_destination(connection: TenantConnection, dialect: Dialect, destination_id: str) -> str | None:
    """The name of a destination, which is locked until the commit; None where there is none."""
    statement = select(_T.name).where(
        _T.tenant_id == connection.tenant_id, _T.id == destination_id, _T.deleted_at.is_(None)
    )
    return connection.execute(dialect.lock(statement, alert_destinations)).scalar()


def delete_destination(connection: TenantConnection, destination_id: str, name: str, now: Instant) -> None:
    """Makes a destination one that was: its secrets are gone, its name is free, and nothing is sent there any more."""
    connection.execute(
        update(alert_deliveries)
        .where(_D.tenant_id == connection.tenant_id, _D.destination_id == destination_id, _D.settled_at.is_(None))
        .values(state="failed", words="The destination was deleted.", settled_at=now, claim_token=_D.claim_token + 1)
    )
    connection.execute(
        update(alert_destinations)
        .where(_T.tenant_id == connection.tenant_id, _T.id == destination_id)
        .values(
            name=f"{name} (deleted {destination_id})",
            settings="{}",
            sealed=b"",
            secret_names=json.dumps(()),
            active=False,
            deleted_at=now,
        )
    )


def insert_deliveries(
    connection: Connection,
    tenant_id: str,
    alert_id: str,
    severity: Severity,
    rows: Sequence[tuple[str, str]],
    now: Instant,
) -> None:
    """Makes an alert due at destinations; `rows`: (delivery id, destination id)."""
    if rows:
        values = {
            "tenant_id": tenant_id,
            "alert_id": alert_id,
            "severity": severity.value,
            "state": "waiting",
            "attempts": 0,
            "next_at": now,
            "claim_token": 0,
            "claimed_until": 0,
            "created_at": now,
            "words": "",
        }
        made = [{**values, "id": delivery_id, "destination_id": destination_id} for delivery_id, destination_id in rows]
        connection.execute(insert(alert_deliveries), made)  # fmt: skip


def find_tenants_with_deliveries(connection: Connection, now: Instant) -> list[str]:
    """Tenants with deliveries that are due."""
    return [row[0] for row in connection.execute(_tenants_with_deliveries(), {"now": now})]


@cache
def _tenants_with_deliveries() -> Select[Any]:
    return select(_D.tenant_id).where(_due(bindparam("now", type_=_D.next_at.type))).distinct()


def claim_deliveries(
    connection: TenantConnection, dialect: Dialect, now: Instant, until: Instant, limit: int
) -> list[DueDelivery]:
    """Due deliveries, given to a worker until an instant."""
    statement = (
        select(_D.id, _D.alert_id, _D.destination_id, _D.severity, _D.attempts, _D.claim_token)
        .where(_D.tenant_id == connection.tenant_id, _due(now))
        .order_by(_D.next_at, _D.id)
        .limit(limit)
    )
    found = [DueDelivery(*row) for row in connection.execute(dialect.lock(statement, alert_deliveries))]
    connection.execute(
        update(alert_deliveries)
        .where(_D.tenant_id == connection.tenant_id, _D.id.in_([one.id for one in found]))
        .values(claim_token=_D.claim_token + 1, claimed_until=until, attempts=_D.attempts + 1)
    )
    return [
        DueDelivery(d.id, d.alert_id, d.destination_id, d.severity, d.attempts + 1, d.claim_token + 1) for d in found
    ]


def settle_delivery(connection: TenantConnection, delivery_id: str, token: int, changes: dict[str, Any]) -> bool:
    """Writes what came of a delivery; False where the claim has changed hands."""
    done = connection.execute(
        update(alert_deliveries)
        .where(_D.tenant_id == connection.tenant_id, _D.id == delivery_id, _D.claim_token == token)
        .values(claimed_until=0, **changes)
    )
    return done.rowcount > 0


def find_alerts(connection: TenantConnection, alert_ids: Sequence[str]) -> list[AlertRecord]:
    """Alerts by id."""
    return _records(connection, _A.id.in_(alert_ids), None, max(1, len(alert_ids)))


def list_alerts(
    connection: TenantConnection, *, acknowledged: bool | None, before: tuple[Instant, str] | None, limit: int
) -> list[AlertRecord]:
    """Alerts, the last raised first."""
    condition = None
    if acknowledged is not None:
        condition = _A.acknowledged_at.is_not(None) if acknowledged else _A.acknowledged_at.is_(None)
    return _records(connection, condition, before, limit)


def _records(
    connection: TenantConnection, condition: Any, before: tuple[Instant, str] | None, limit: int
) -> list[AlertRecord]:
    statement = select(
        _A.id, _A.severity, _A.code, _A.title, _A.body, _A.link, _A.figures, _A.count, _A.first_at, _A.last_at,
        _A.acknowledged_by, _A.acknowledged_at,
    ).where(_A.tenant_id == connection.tenant_id)  # fmt: skip
    if condition is not None:
        statement = statement.where(condition)
    if before is not None:
        at, alert_id = before
        statement = statement.where(or_(_A.last_at < at, and_(_A.last_at == at, _A.id < alert_id)))
    rows = connection.execute(statement.order_by(_A.last_at.desc(), _A.id.desc()).limit(limit)).all()
    states = _delivery_states(connection, [row[0] for row in rows])
    return [
        AlertRecord(
            id=row[0],
            severity=Severity(row[1]),
            code=row[2],
            title=row[3],
            body=row[4],
            link=row[5],
            figures=json.loads(row[6]),
            count=row[7],
            first_at=row[8],
            last_at=row[9],
            acknowledged_by=row[10],
            acknowledged_at=row[11],
            sent=states.get((row[0], "sent"), 0),
            waiting=states.get((row[0], "waiting"), 0),
            failed=states.get((row[0], "failed"), 0),
        )
        for row in rows
    ]


def _delivery_states(connection: TenantConnection, alert_ids: Sequence[str]) -> dict[tuple[str, str], int]:
    rows = connection.execute(
        select(_D.alert_id, _D.state, func.count())
        .where(_D.tenant_id == connection.tenant_id, _D.alert_id.in_(alert_ids))
        .group_by(_D.alert_id, _D.state)
    )
    return {(row[0], row[1]): row[2] for row in rows}


def _due(now: Instant | BindParameter[Instant]) -> Any:
    return and_(_D.settled_at.is_(None), _D.next_at <= now, _D.claimed_until <= now)

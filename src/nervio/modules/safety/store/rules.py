"""How rules are set, where they stand and what they tripped on."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, and_, case, func, insert, or_, select, update

from nervio.db.keyset import read_page
from nervio.db.tenancy import TenantConnection
from nervio.kernel.time import Instant
from nervio.modules.safety.contracts.rules import Action, Mode, Phase, Reach, RecordTrip, Trip
from nervio.modules.safety.models.rules import rule_states, rule_trips, rules

_R = rules.c
_S = rule_states.c
_T = rule_trips.c

TO_DO = ""
"""The outcome of a trip whose action is still to be carried out."""

_TRIP = (
    _T.id, _T.rule, _T.subject, _T.mode, _T.action, _T.reach, _T.product_id, _T.location_id, _T.tripped_at, _T.value,
    _T.samples, _T.threshold, _T.figures, _T.outcome, _T.cleared_at, _T.cleared_value, _T.cleared_by,
)  # fmt: skip


class RuleRow(NamedTuple):
    """How a tenant has set a rule."""

    tenant_id: str
    rule: str
    settings: str
    revision: int
    changed_by: str
    changed_at: Instant


class StateRow(NamedTuple):
    """Where a rule stands with a subject, if it is not simply quiet."""

    tenant_id: str
    rule: str
    subject: str
    phase: Phase
    since: Instant
    number: int
    trip_id: str


_RULE = (_R.tenant_id, _R.rule, _R.settings, _R.revision, _R.changed_by, _R.changed_at)
_STATE = (_S.tenant_id, _S.rule, _S.subject, _S.phase, _S.since, _S.number, _S.trip_id)


# -- of all tenants, for the program itself --------------------------------------------------------------------------


def read_all_rules(connection: Connection) -> list[RuleRow]:
    """Every rule that somebody has set."""
    return [RuleRow(*row) for row in connection.execute(select(*_RULE))]


def read_to_do(connection: Connection, limit: int) -> list[tuple[str, Trip]]:
    """(tenant, trip) of the trips whose action is still to be carried out, the oldest first."""
    statement = select(_T.tenant_id, *_TRIP).where(_T.outcome == TO_DO).order_by(_T.tripped_at).limit(limit)
    return [(row[0], _trip(row[1:])) for row in connection.execute(statement)]


# -- inside a write transaction --------------------------------------------------------------------------------------


def find_rule(connection: Connection, tenant_id: str, rule: str) -> RuleRow | None:
    """How a tenant has set a rule; None while nobody has."""
    row = connection.execute(select(*_RULE).where(_R.tenant_id == tenant_id, _R.rule == rule)).first()
    return None if row is None else RuleRow(*row)


def save_rule(connection: Connection, row: RuleRow) -> None:
    """Sets a rule, for the first time or again."""
    if row.revision == 1:
        connection.execute(insert(rules).values(row._asdict()))
        return
    connection.execute(update(rules).where(_R.tenant_id == row.tenant_id, _R.rule == row.rule).values(row._asdict()))


def find_state(connection: Connection, tenant_id: str, rule: str, subject: str) -> StateRow | None:
    """The stored state of a rule and subject, locked; None where it never tripped."""
    row = connection.execute(
        select(*_STATE).where(_S.tenant_id == tenant_id, _S.rule == rule, _S.subject == subject).with_for_update()
    ).first()
    return None if row is None else _state(row)


def reset_rule(connection: Connection, tenant_id: str, rule: str, now: Instant, actor_id: str) -> int:
    """Lets go of everything that a rule stands tripped on, or waits to trip on again; how many it stood tripped on."""
    of_rule = and_(_S.tenant_id == tenant_id, _S.rule == rule)
    connection.execute(update(rule_states).where(of_rule, _S.quiet_at > now).values(quiet_at=now))
    let_go = connection.execute(
        update(rule_states)
        .where(of_rule, _S.phase == Phase.TRIPPED.value)
        .values(phase=Phase.COOLING.value, since=now, quiet_at=now, number=_S.number + 1)
    )
    connection.execute(
        update(rule_trips)
        .where(_T.tenant_id == tenant_id, _T.rule == rule, _T.cleared_at.is_(None))
        .values(cleared_at=now, cleared_by=actor_id)
    )
    return let_go.rowcount


def save_state(connection: Connection, row: StateRow, quiet_at: Instant) -> None:
    """Stores the state after a trip (`number` odd) or a clear (even)."""
    values = {**row._asdict(), "phase": row.phase.value, "quiet_at": quiet_at}
    if row.number == 1:
        connection.execute(insert(rule_states).values(values))
        return
    connection.execute(
        update(rule_states)
        .where(_S.tenant_id == row.tenant_id, _S.rule == row.rule, _S.subject == row.subject)
        .values(values)
    )


def insert_trip(connection: Connection, tenant_id: str, trip_id: str, body: RecordTrip, outcome: str) -> None:
    """Adds a trip to the history."""
    connection.execute(
        insert(rule_trips).values(
            tenant_id=tenant_id,
            id=trip_id,
            rule=body.rule,
            subject=body.subject,
            mode=body.mode.value,
            action=body.action.value,
            reach=body.reach.value,
            product_id=body.product_id,
            location_id=body.location_id,
            tripped_at=body.at,
            value=body.value,
            samples=body.samples,
            threshold=body.threshold,
            figures=msgspec.json.encode(dict(body.figures)).decode(),
            outcome=outcome,
        )
    )


def clear_trip(
    connection: Connection, tenant_id: str, trip_id: str, at: Instant, value: int | None, actor_id: str
) -> None:
    """Says in the history when and by whom a trip was cleared."""
    connection.execute(
        update(rule_trips)
        .where(_T.tenant_id == tenant_id, _T.id == trip_id, _T.cleared_at.is_(None))
        .values(cleared_at=at, cleared_value=value, cleared_by=actor_id)
    )


def settle_deed(connection: Connection, tenant_id: str, trip_id: str, outcome: str) -> None:
    """Says what came of a trip's action, once."""
    connection.execute(
        update(rule_trips)
        .where(_T.tenant_id == tenant_id, _T.id == trip_id, _T.outcome == TO_DO)
        .values(outcome=outcome)
    )


# -- reads of one tenant ---------------------------------------------------------------------------------------------


def read_rules(connection: TenantConnection) -> dict[str, RuleRow]:
    """The rules that somebody of the tenant has set, by name."""
    rows = connection.execute(select(*_RULE).where(_R.tenant_id == connection.tenant_id))
    return {row[1]: RuleRow(*row) for row in rows}


def read_states(connection: TenantConnection, rule: str, now: Instant) -> dict[str, StateRow]:
    """subject → where the rule stands with it: everything that is tripped, or has cleared too lately to trip again."""
    statement = select(*_STATE).where(
        _S.tenant_id == connection.tenant_id,
        _S.rule == rule,
        or_(_S.phase == Phase.TRIPPED.value, and_(_S.phase == Phase.COOLING.value, _S.quiet_at > now)),
    )
    return {row[2]: _state(row) for row in connection.execute(statement)}


def read_numbers(connection: TenantConnection, rule: str, subjects: Collection[str]) -> dict[str, int]:
    """How often a rule has tripped and cleared on each of the subjects; those it never did are left out."""
    statement = select(_S.subject, _S.number).where(
        _S.tenant_id == connection.tenant_id, _S.rule == rule, _S.subject.in_(subjects)
    )
    return {row[0]: row[1] for row in connection.execute(statement)}


def count_tripped(connection: TenantConnection) -> dict[str, int]:
    """rule → how many subjects it stands tripped on."""
    statement = (
        select(_S.rule, func.count())
        .where(_S.tenant_id == connection.tenant_id, _S.phase == Phase.TRIPPED.value)
        .group_by(_S.rule)
    )
    return {row[0]: int(row[1]) for row in connection.execute(statement)}


def count_trips(connection: TenantConnection, since: Instant) -> dict[str, tuple[int, int]]:
    """rule → (trips since then, those of them in shadow)."""
    in_shadow = func.sum(case((_T.mode == Mode.SHADOW.value, 1), else_=0))
    statement = (
        select(_T.rule, func.count(), in_shadow)
        .where(_T.tenant_id == connection.tenant_id, _T.tripped_at >= since)
        .group_by(_T.rule)
    )
    return {row[0]: (int(row[1]), int(row[2])) for row in connection.execute(statement)}


def find_last_trips(connection: TenantConnection, names: Collection[str]) -> dict[str, Trip]:
    """rule → the trip it made last."""
    found = {}
    for name in names:
        rows = list_trips(connection, rule=name, tripped=None, before=None, limit=1)
        if rows:
            found[name] = rows[0]
    return found


def list_trips(
    connection: TenantConnection,
    *,
    rule: str | None,
    tripped: bool | None,
    before: tuple[Instant, str] | None,
    limit: int,
) -> list[Trip]:
    """Trips, the newest first; only those not cleared yet or only those that are, where it is asked."""
    statement = select(*_TRIP).where(_T.tenant_id == connection.tenant_id)
    if rule is not None:
        statement = statement.where(_T.rule == rule)
    if tripped is not None:
        statement = statement.where(_T.cleared_at.is_(None) if tripped else _T.cleared_at.is_not(None))
    rows = read_page(connection, statement, (_T.tripped_at, _T.id), before, limit, descending=True)
    return [_trip(row) for row in rows]


def _state(row: Any) -> StateRow:
    return StateRow(row[0], row[1], row[2], Phase(row[3]), row[4], row[5], row[6])


def _trip(row: Any) -> Trip:
    fields: list[Any] = list(row)
    fields[3:6] = Mode(row[3]), Action(row[4]), Reach(row[5])
    fields[12] = json.loads(row[12])
    return Trip(*fields)

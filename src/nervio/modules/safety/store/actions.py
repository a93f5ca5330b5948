"""Orders to campaigns, their breakers and the causes that hold campaigns: every query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, case, delete, func, or_, select, update
from sqlalchemy.sql.expression import BindParameter

from nervio.db.dialects import Dialect
from nervio.db.tenancy import TenantConnection
from nervio.db.writes import Insert
from nervio.kernel.time import Instant
from nervio.modules.safety.contracts.actions import OPEN_STATES, ActionKind, ActionRecord, ActionState, Step
from nervio.modules.safety.domain.actions import Progress
from nervio.modules.safety.domain.breakers import Breaker
from nervio.modules.safety.models.actions import ad_actions, ad_breakers, ad_campaigns, ad_connections, ad_holds

_A, _B, _C, _H, _N = ad_actions.c, ad_breakers.c, ad_campaigns.c, ad_holds.c, ad_connections.c
_OPEN = tuple(state.value for state in OPEN_STATES)

_Moment = Instant | BindParameter[Instant]

_PROGRESS = (
    _A.kind,
    _A.state,
    _A.step,
    _A.created_at,
    _A.deadline_at,
    _A.confirm_after,
    _A.next_at,
    _A.sends,
    _A.readings,
    _A.attempts,
    _A.acknowledged,
    _A.refused,
)


@dataclass(frozen=True, slots=True)
class OpenAction:
    """An open order as a batch works on it."""

    id: str
    campaign_id: str
    connection_id: str
    claim_token: int
    cause: str
    reason: str
    progress: Progress


# -- in a batch ------------------------------------------------------------------------------------------------------


def insert_action(connection: Connection, row: dict[str, Any]) -> None:
    """Adds an order and makes it its campaign's latest."""
    connection.execute(ad_actions.insert().values(**row))
    connection.execute(
        update(ad_campaigns)
        .where(_C.tenant_id == row["tenant_id"], _C.id == row["campaign_id"])
        .values(last_action_id=row["id"])
    )


def lock_action(connection: TenantConnection, dialect: Dialect, action_id: str) -> OpenAction | None:
    """The order, locked until the commit."""
    statement = _open_columns(connection).where(_A.id == action_id)
    row = connection.execute(dialect.lock(statement, ad_actions)).first()
    return None if row is None else _open_action(row)


def lock_open_of(connection: TenantConnection, dialect: Dialect, campaign_ids: Sequence[str]) -> list[OpenAction]:
    """The open orders of campaigns, locked in order of id."""
    statement = _open_columns(connection).where(_A.campaign_id.in_(campaign_ids), _A.state.in_(_OPEN)).order_by(_A.id)
    return [_open_action(row) for row in connection.execute(dialect.lock(statement, ad_actions))]


def lock_due(
    connection: TenantConnection, dialect: Dialect, now: Instant, limit: int, *, resumes: bool
) -> list[OpenAction]:
    """Open orders that are due and nobody's, locked; either resumes that wait to be sent, or everything else."""
    sends_a_resume = and_(_A.kind == ActionKind.RESUME.value, _A.step == Step.SEND.value)
    statement = (
        _open_columns(connection)
        .where(_due(now), sends_a_resume if resumes else ~sends_a_resume)
        .order_by(_A.next_at, _A.id)
        .limit(limit)
    )
    return [_open_action(row) for row in connection.execute(dialect.lock(statement, ad_actions))]


def lock_overdue(
    connection: TenantConnection, dialect: Dialect, now: Instant, born_before: Instant, limit: int
) -> list[OpenAction]:
    """Open orders that are to be escalated or given up, locked."""
    statement = _open_columns(connection).where(_overdue(now, born_before)).order_by(_A.deadline_at, _A.id).limit(limit)
    return [_open_action(row) for row in connection.execute(dialect.lock(statement, ad_actions))]


def claim(connection: TenantConnection, action_id: str, owner: str, until: Instant) -> None:
    """Gives the order to a worker, with a token greater than all before."""
    _change(connection, action_id, {"claimed_by": owner, "claimed_until": until, "claim_token": _A.claim_token + 1})


def arm(connection: TenantConnection, action_id: str, now: Instant, until: Instant) -> None:
    """Writes down that the request is about to leave, and until when it may arrive. Whoever finds the order after a crash reads
    back first."""
    changes: dict[str, Any] = {
        "sends": _A.sends + 1,
        "step": Step.READ.value,
        "readings": 0,
        "acknowledged": False,
        "next_at": now,
        "claimed_until": until,
        "landing_until": until,
    }
    _change(connection, action_id, changes)


def release_until(connection: TenantConnection, action_id: str, next_at: Instant) -> None:
    """Lets go of an order that may not be worked on now; no attempt is counted."""
    _change(connection, action_id, {"claimed_until": 0, "next_at": next_at})


def write_progress(
    connection: TenantConnection,
    action_id: str,
    progress: Progress,
    now: Instant,
    words: str | None,
    *,
    has_landed: bool = False,
) -> None:
    """Writes where the order stands now, and lets go of the claim. `has_landed`: no request of it is on its way any more."""
    state = progress.state
    changes: dict[str, Any] = {
        "state": state.value,
        "step": progress.step.value,
        "next_at": progress.next_at,
        "confirm_after": progress.confirm_after,
        "readings": progress.readings,
        "attempts": progress.attempts,
        "acknowledged": progress.acknowledged,
        "refused": progress.refused,
        "claimed_until": 0,
    }
    if words is not None:
        changes["words"] = words
    if has_landed:
        changes["landing_until"] = 0
    if state in (ActionState.CONFIRMED, ActionState.FAILED, ActionState.SUPERSEDED):
        changes["settled_at"] = now
    if state is ActionState.CONFIRMED:
        changes["confirmed_at"] = now
    if progress.sends and state is not ActionState.INTENT:
        changes["sent_at"] = case((_A.sent_at.is_(None), now), else_=_A.sent_at)
    if state is ActionState.ESCALATED:
        changes["escalated_at"] = case((_A.escalated_at.is_(None), now), else_=_A.escalated_at)
    _change(connection, action_id, changes)


def escalate(connection: TenantConnection, action_id: str, state: ActionState, now: Instant) -> None:
    """Marks an order as overdue without touching the claim: whoever has it goes on."""
    changes: dict[str, Any] = {"state": state.value}
    changes["escalated_at" if state is ActionState.ESCALATED else "settled_at"] = now
    _change(connection, action_id, changes)


def read_breaker(connection: TenantConnection, dialect: Dialect, connection_id: str) -> Breaker | None:
    """The breaker of a connection, locked; None where its row is gone, which counts as open."""
    statement = select(_B.state, _B.failures, _B.open_until, _B.probe_until).where(
        _B.tenant_id == connection.tenant_id, _B.connection_id == connection_id
    )
    row = connection.execute(dialect.lock(statement, ad_breakers)).first()
    return None if row is None else Breaker(*row)


def write_breaker(connection: TenantConnection, dialect: Dialect, connection_id: str, breaker: Breaker) -> None:
    """Inserts or changes the breaker of a connection."""
    values = (str(breaker.state), breaker.failures, breaker.open_until, breaker.probe_until)
    columns = ("tenant_id", "connection_id", "state", "failures", "open_until", "probe_until")
    row = (connection.tenant_id, connection_id, *values)
    dialect.insert_missing(connection.untenanted(), Insert(ad_breakers, columns, [row]))
    connection.execute(
        update(ad_breakers)
        .where(_B.tenant_id == connection.tenant_id, _B.connection_id == connection_id)
        .values(dict(zip(columns[2:], values, strict=True)))
    )


def add_holds(
    connection: TenantConnection, dialect: Dialect, campaign_ids: Sequence[str], cause: str, now: Instant
) -> None:
    """Lets a cause hold campaigns."""
    rows = [(connection.tenant_id, campaign_id, cause, now) for campaign_id in campaign_ids]
    if rows:
        columns = ("tenant_id", "campaign_id", "cause", "since")
        dialect.insert_missing(connection.untenanted(), Insert(ad_holds, columns, rows))


def remove_holds(connection: TenantConnection, campaign_ids: Sequence[str], cause: str | None) -> None:
    """Lets one cause go, or every one."""
    condition = [_H.tenant_id == connection.tenant_id, _H.campaign_id.in_(campaign_ids)]
    if cause is not None:
        condition.append(_H.cause == cause)
    connection.execute(delete(ad_holds).where(*condition))


def find_held(connection: TenantConnection, campaign_ids: Sequence[str]) -> set[str]:
    """Those of the campaigns that some cause still holds."""
    rows = connection.execute(
        select(_H.campaign_id).where(_H.tenant_id == connection.tenant_id, _H.campaign_id.in_(campaign_ids)).distinct()
    )
    return {row[0] for row in rows}


# -- the worker's looks, over all tenants ----------------------------------------------------------------------------


def find_tenants_with_work(
    connection: Connection, now: Instant, give_up_before: Instant
) -> list[tuple[str, bool, bool, bool]]:
    """(tenant, orders due, resumes to send due, orders overdue). Reads only; who works on them is settled by a command."""
    rows = connection.execute(_tenants_with_work(), {"now": now, "give_up_before": give_up_before})
    return [(row[0], bool(row[1]), bool(row[2]), bool(row[3])) for row in rows]


@cache
def _tenants_with_work() -> Select[Any]:
    # Made once: it is asked all the time by every process, mostly with nothing to be found.
    now = bindparam("now", type_=_A.next_at.type)
    sends_a_resume = and_(_due(now), _A.kind == ActionKind.RESUME.value, _A.step == Step.SEND.value)
    others = and_(_due(now), or_(_A.kind != ActionKind.RESUME.value, _A.step != Step.SEND.value))
    overdue = _overdue(now, bindparam("give_up_before", type_=_A.created_at.type))

    def any_of(condition: ColumnElement[bool]) -> ColumnElement[int]:
        return func.max(case((condition, 1), else_=0))

    return (
        select(_A.tenant_id, any_of(others), any_of(sends_a_resume), any_of(overdue))
        .where(_A.settled_at.is_(None), or_(_A.next_at <= now, overdue))
        .group_by(_A.tenant_id)
    )


def count_states(connection: Connection) -> dict[tuple[str, str], int]:
    """How many orders of each kind and state there are, over all tenants; settled ones are left to their counters."""
    rows = connection.execute(
        select(_A.kind, _A.state, func.count()).where(_A.settled_at.is_(None)).group_by(_A.kind, _A.state)
    )
    return {(row[0], row[1]): row[2] for row in rows}


def count_breakers(connection: Connection) -> dict[str, int]:
    """How many connections stand behind a breaker of each state."""
    rows = connection.execute(select(_B.state, func.count()).group_by(_B.state))
    return {str(row[0]): row[1] for row in rows}


# -- reads of one tenant ---------------------------------------------------------------------------------------------


def find_actions(connection: TenantConnection, action_ids: Sequence[str]) -> list[ActionRecord]:
    """Orders by id, the oldest first."""
    statement = _record_columns(connection).where(_A.id.in_(action_ids)).order_by(_A.created_at, _A.id)
    return [_record(row) for row in connection.execute(statement)]


def list_unconfirmed(connection: TenantConnection, limit: int) -> list[ActionRecord]:
    """Pauses that stand unconfirmed: escalated and failed ones first, then the oldest."""
    first = case((_A.state.in_(("escalated", "failed")), 0), else_=1)
    statement = (
        _record_columns(connection)
        .where(_A.kind == "pause", _C.last_action_id == _A.id, or_(_A.settled_at.is_(None), _A.state == "failed"))
        .order_by(first, _A.created_at, _A.id)
        .limit(limit)
    )
    return [_record(row) for row in connection.execute(statement)]


def list_actions(
    connection: TenantConnection,
    *,
    states: Sequence[str] | None,
    before: tuple[Instant, str] | None,
    limit: int,
) -> list[ActionRecord]:
    """Orders, the newest first."""
    statement = _record_columns(connection)
    if states is not None:
        statement = statement.where(_A.state.in_(states))
    if before is not None:
        at, action_id = before
        statement = statement.where(or_(_A.created_at < at, and_(_A.created_at == at, _A.id < action_id)))
    statement = statement.order_by(_A.created_at.desc(), _A.id.desc()).limit(limit)
    return [_record(row) for row in connection.execute(statement)]


def find_landing(connection: TenantConnection, campaign_ids: Sequence[str], kind: ActionKind) -> dict[str, Instant]:
    """Until when a request of a kind may still arrive, at the campaigns to which one was sent, however its order ended."""
    rows = connection.execute(
        select(_A.campaign_id, func.max(_A.landing_until))
        .where(
            _A.tenant_id == connection.tenant_id,
            _A.campaign_id.in_(campaign_ids),
            _A.kind == kind.value,
            _A.landing_until > 0,
        )
        .group_by(_A.campaign_id)
    )
    return {row[0]: row[1] for row in rows}


def list_in_flight(connection: Connection, tenant_id: str | None, now: Instant) -> list[ActionRecord]:
    """Orders of which a request may be under way at this moment: sent, and not known to have arrived. Of one tenant or of all,
    and those too in whose place another order has come since."""
    statement = _join(select(*_RECORD)).where(
        _A.landing_until > now, _A.sends > 0, _A.state != ActionState.CONFIRMED.value
    )
    if tenant_id is not None:
        statement = statement.where(_A.tenant_id == tenant_id)
    return [_record(row) for row in connection.execute(statement.order_by(_A.created_at, _A.id))]


_RECORD = (
    _A.id,
    _A.campaign_id,
    _C.name,
    _A.connection_id,
    _N.platform,
    _A.kind,
    _A.state,
    _A.reason,
    _A.cause,
    _A.requested_by,
    _A.created_at,
    _A.deadline_at,
    _A.sent_at,
    _A.confirmed_at,
    _A.escalated_at,
    _A.settled_at,
    _A.sends,
    _A.attempts,
    _A.words,
    _C.daily_budget,
    _C.currency,
    _C.last_action_id,
)


def _join(statement: Select[Any]) -> Select[Any]:
    return statement.join_from(
        ad_actions, ad_campaigns, and_(_C.tenant_id == _A.tenant_id, _C.id == _A.campaign_id)
    ).join(ad_connections, and_(_N.tenant_id == _A.tenant_id, _N.id == _A.connection_id))


def _record_columns(connection: TenantConnection) -> Select[Any]:
    return _join(select(*_RECORD)).where(_A.tenant_id == connection.tenant_id)


def _record(row: Any) -> ActionRecord:
    values = [*row[:5], ActionKind(row[5]), ActionState(row[6]), *row[7:-1], row[-1] == row[0]]
    return ActionRecord(*values)


def _open_columns(connection: TenantConnection) -> Select[Any]:
    head = (_A.id, _A.campaign_id, _A.connection_id, _A.claim_token, _A.cause, _A.reason)
    return select(*head, *_PROGRESS).where(_A.tenant_id == connection.tenant_id)


def _open_action(row: Any) -> OpenAction:
    progress: list[Any] = [ActionKind(row[6]), ActionState(row[7]), Step(row[8]), *row[9:]]
    values: list[Any] = [*row[:6], Progress(*progress)]
    return OpenAction(*values)


def _due(now: _Moment) -> ColumnElement[bool]:
    return and_(_A.settled_at.is_(None), _A.next_at <= now, _A.claimed_until <= now)


def _overdue(now: _Moment, born_before: _Moment) -> ColumnElement[bool]:
    late = and_(_A.state.in_(("intent", "sent")), _A.deadline_at <= now)
    return and_(_A.settled_at.is_(None), or_(late, _A.created_at <= born_before))


def _change(connection: TenantConnection, action_id: str, changes: dict[str, Any]) -> None:
    connection.execute(
        update(ad_actions).where(_A.tenant_id == connection.tenant_id, _A.id == action_id).values(**changes)
    )

"""Workers as they were last written down, and how fast they are."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, select, update

from nervio.db.dialects import dialect_of
from nervio.db.writes import Insert, Update
from nervio.kernel.time import Instant
from nervio.modules.fleet.contracts import WorkerRecord, WorkerStatus
from nervio.modules.fleet.models import fleet_speeds, fleet_workers
from nervio.ports.workers import Profile

_W, _S = fleet_workers.c, fleet_speeds.c

_PROFILE = ("kinds", "models", "slots", "credit", "batch", "version", "language")
_COLUMNS = (
    "boot", "owner", "status", "profile", "transport", "in_flight", "tasks_completed", "tasks_failed", "worked_ms",
    "last_seen",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class WorkerState:
    """A worker as the process that it is connected to sees it. Counts are since that process last wrote them down."""

    profile: Profile
    transport: str
    status: WorkerStatus
    in_flight: int
    completed: int
    failed: int
    worked_ms: int
    last_seen: Instant


def write_workers(connection: Connection, owner: str, states: Sequence[WorkerState], now: Instant) -> None:
    """Writes down how workers are. A worker that has gone over to another process meanwhile keeps what that one says of it."""
    dialect = dialect_of(connection)
    fresh = [
        (state.profile.id, state.profile.boot, owner, state.status.value, "{}", state.transport, 0, 0, 0, 0, now, 0)
        for state in sorted(states, key=lambda state: state.profile.id)
    ]
    columns = ("id", "boot", "owner", "status", "profile", "transport", "in_flight", "tasks_completed", "tasks_failed")
    dialect.insert_missing(connection, Insert(fleet_workers, (*columns, "worked_ms", "first_seen", "last_seen"), fresh))
    by_id = {state.profile.id: state for state in states}
    locked = connection.execute(
        select(_W.id, _W.tasks_completed, _W.tasks_failed, _W.worked_ms, _W.last_seen)
        .where(_W.id.in_(sorted(by_id)))
        .order_by(_W.id)
        .with_for_update()
    ).all()
    rows = []
    for worker_id, completed, failed, worked_ms, last_seen in locked:
        state = by_id[worker_id]
        if state.status is WorkerStatus.GONE and last_seen > state.last_seen:
            continue
        profile = {name: getattr(state.profile, name) for name in _PROFILE}
        rows.append(
            (
                worker_id,
                state.profile.boot,
                owner,
                state.status.value,
                json.dumps(profile),
                state.transport,
                state.in_flight,
                completed + state.completed,
                failed + state.failed,
                worked_ms + state.worked_ms,
                state.last_seen,
            )
        )
    dialect.apply(connection, [Update(fleet_workers, ("id",), _COLUMNS, rows)])


def mark_gone(connection: Connection, silent_since: Instant) -> None:
    """Workers of processes that are gone themselves: nobody has written them down for so long."""
    connection.execute(
        update(fleet_workers)
        .where(_W.status != WorkerStatus.GONE.value, _W.last_seen < silent_since)
        .values(status=WorkerStatus.GONE.value, in_flight=0)
    )


def forget_gone(connection: Connection, before: Instant) -> None:
    """Deletes workers that have been gone for long."""
    connection.execute(delete(fleet_workers).where(_W.status == WorkerStatus.GONE.value, _W.last_seen < before))


def list_workers(connection: Connection) -> list[WorkerRecord]:
    """All workers by id."""
    columns = (
        _W.id, _W.status, _W.transport, _W.profile, _W.in_flight, _W.tasks_completed, _W.tasks_failed, _W.worked_ms,
        _W.first_seen, _W.last_seen,
    )  # fmt: skip
    found = []
    for row in connection.execute(select(*columns).order_by(_W.id)):
        profile: dict[str, Any] = json.loads(row[3])
        found.append(
            WorkerRecord(
                id=row[0],
                status=WorkerStatus(row[1]),
                transport=row[2],
                kinds=tuple(profile.get("kinds", ())),
                models=tuple(profile.get("models", ())),
                slots=profile.get("slots", 1),
                credit=profile.get("credit", 1),
                batch=profile.get("batch", 1),
                version=profile.get("version", ""),
                language=profile.get("language", ""),
                in_flight=row[4],
                tasks_completed=row[5],
                tasks_failed=row[6],
                worked_ms=row[7],
                first_seen=row[8],
                last_seen=row[9],
            )
        )
    return found


def read_speeds(connection: Connection) -> list[tuple[tuple[str, str, str], dict[str, Any]]]:
    """What has been learnt: ((kind, model, worker), the line fitted)."""
    rows = connection.execute(select(_S.kind, _S.model, _S.worker, _S.learnt).order_by(_S.kind, _S.model, _S.worker))
    return [((row[0], row[1], row[2]), json.loads(row[3])) for row in rows]


def write_speeds(connection: Connection, learnt: Mapping[tuple[str, str, str], Mapping[str, Any]]) -> None:
    """Writes down what has been learnt; of two processes that learn of one worker the later to write wins."""
    rows: Iterable[tuple[str, str, str, str]] = [(*key, json.dumps(learnt[key])) for key in sorted(learnt)]
    dialect = dialect_of(connection)
    columns = ("kind", "model", "worker", "learnt")
    dialect.insert_missing(connection, Insert(fleet_speeds, columns, list(rows)))
    dialect.apply(connection, [Update(fleet_speeds, columns[:3], ("learnt",), list(rows))])

"""Answers that are kept, and tasks that wait for them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, and_, case, literal_column, or_, select

from nervio.db.dialects import Dialect, look_up
from nervio.db.tables import queue_items
from nervio.kernel.time import LATEST
from nervio.modules.fleet.domain.answers import KeptAnswer
from nervio.modules.fleet.models import fleet_answers
from nervio.modules.fleet.store.tasks import QUEUE

_Q, _A = queue_items.c, fleet_answers.c

AnswerKey = tuple[str, str]
"""(tenant, digest)"""
KEY = ("tenant_id", "digest")
COLUMNS = ("task_id", "priority", "result", "usage", "answered_at", "expires_at", "awaited")


def lock_answers(connection: Connection, dialect: Dialect, keys: Sequence[AnswerKey]) -> dict[AnswerKey, KeptAnswer]:
    """Locks the answers in key order; what is not kept is left out."""
    parameters = dialect.rows_parameters("k", [_A.tenant_id, _A.digest], keys)
    return {(row[0], row[1]): KeptAnswer(*row) for row in look_up(connection, _locked(dialect), parameters)}


@cache
def _locked(dialect: Dialect) -> Select[Any]:
    keys = dialect.rows_table("k", [_A.tenant_id, _A.digest])
    same = and_(_A.tenant_id == keys.c.tenant_id, _A.digest == keys.c.digest)
    rows = select(*(_A[name] for name in (*KEY, *COLUMNS))).join_from(keys, fleet_answers, same)
    return dialect.lock(rows.order_by(_A.tenant_id, _A.digest), fleet_answers)


IS_FOLLOWING = and_(_Q.run_at == literal_column(str(LATEST)), _Q.ended_at.is_(None))
"""Of a task that waits for the answer to another."""


def list_followers(connection: Connection, limit: int) -> list[tuple[str, str, str | None]]:
    """(tenant, task, the one that was to bring the answer and has ended without) of tasks that wait for an answer that is there,
    or that nobody is getting any more."""
    asking = queue_items.alias("asking")
    is_asking = and_(asking.c.tenant_id == _A.tenant_id, asking.c.id == _A.task_id, asking.c.ended_at.is_(None))
    kept = and_(_A.tenant_id == _Q.tenant_id, _A.digest == _Q.digest)
    statement = (
        select(_Q.tenant_id, _Q.id, case((_A.answered_at.is_(None), _A.task_id)))
        .join_from(queue_items, fleet_answers, kept, isouter=True)
        .join(asking, is_asking, isouter=True)
        .where(_Q.queue == QUEUE, IS_FOLLOWING, or_(_A.answered_at.is_not(None), asking.c.id.is_(None)))
        .order_by(_Q.tenant_id, _Q.priority, _Q.id)
        .limit(limit)
    )
    return [(row[0], row[1], row[2]) for row in connection.execute(statement)]

"""Queries of the policy and of what waits for a second person. The nil tenant stands for the installation."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from nervio.db.halt import tenant_of_scope
from nervio.kernel.ids import NIL
from nervio.kernel.time import Instant
from nervio.modules.safety.contracts.halts import POLICY_FIELDS, Policy, RequestKind, ThawRequest
from nervio.modules.safety.models.halts import safety_policies, thaw_requests

p, r = safety_policies.c, thaw_requests.c


def read_policy(connection: Connection, tenant_id: str | None) -> Policy:
    """The policy of a tenant or of the installation; the one that holds until somebody saves one, where nobody has."""
    statement = select(
        p.two_person_thaw,
        p.thaw_stage_seconds,
        p.thaw_jitter_seconds,
        p.confirm_within_seconds,
        p.default_level,
        p.saved_by,
        p.saved_at,
    ).where(p.tenant_id == tenant_of_scope(tenant_id))
    row = connection.execute(statement).first()
    return Policy(tenant_id) if row is None else Policy(tenant_id, *row)


def save_policy(connection: Connection, policy: Policy) -> None:
    """Puts a policy in the place of the one there was."""
    tenant_id = tenant_of_scope(policy.tenant_id)
    connection.execute(delete(safety_policies).where(p.tenant_id == tenant_id))
    connection.execute(insert(safety_policies).values(**{**asdict(policy), "tenant_id": tenant_id}))


def insert_request(connection: Connection, request: ThawRequest) -> None:
    """Adds an open request."""
    changes = None if request.changes is None else dict(request.changes)
    body = {"halts": request.halt_ids, "stages": request.stages, "policy": changes}
    connection.execute(
        insert(thaw_requests).values(
            tenant_id=tenant_of_scope(request.tenant_id),
            id=request.id,
            kind=request.kind,
            body=json.dumps(body),
            reason=request.reason,
            requested_by=request.requested_by,
            requested_at=request.requested_at,
            expires_at=request.expires_at,
        )
    )


def find_open(connection: Connection, tenant_ids: Collection[str | None]) -> list[ThawRequest]:
    """What still waits, the oldest first, whether it has run out by now or not."""
    return _requests(connection, tenant_ids, [r.outcome.is_(None)], newest=False)


def find_lapsed(connection: Connection, now: Instant) -> list[ThawRequest]:
    """Open requests of anybody that nobody confirmed in time."""
    statement = _select().where(r.outcome.is_(None), r.expires_at <= now).order_by(r.requested_at, r.id)
    return [_request(row) for row in connection.execute(statement)]


def find_request(connection: Connection, tenant_ids: Collection[str | None], request_id: str) -> ThawRequest | None:
    """A request of one of these."""
    found = _requests(connection, tenant_ids, [r.id == request_id])
    return found[0] if found else None


def list_requests(connection: Connection, tenant_ids: Collection[str | None], limit: int) -> list[ThawRequest]:
    """Requests, settled ones too, the newest first."""
    return _requests(connection, tenant_ids, [], limit=limit)


def settle(connection: Connection, request: ThawRequest) -> None:
    """Books how a request ended."""
    connection.execute(
        update(thaw_requests)
        .where(r.tenant_id == tenant_of_scope(request.tenant_id), r.id == request.id, r.outcome.is_(None))
        .values(
            outcome=request.outcome, settled_by=request.settled_by, settled_at=request.settled_at, note=request.note
        )
    )


def _select() -> Any:
    return select(
        r.tenant_id,
        r.id,
        r.kind,
        r.body,
        r.reason,
        r.requested_by,
        r.requested_at,
        r.expires_at,
        r.outcome,
        r.settled_by,
        r.settled_at,
        r.note,
    )


def _requests(
    connection: Connection,
    tenant_ids: Collection[str | None],
    conditions: list[Any],
    *,
    newest: bool = True,
    limit: int | None = None,
) -> list[ThawRequest]:
    of_these = r.tenant_id.in_([tenant_of_scope(tenant_id) for tenant_id in tenant_ids])
    order = (r.requested_at.desc(), r.id.desc()) if newest else (r.requested_at, r.id)
    statement = _select().where(of_these, *conditions).order_by(*order).limit(limit)
    return [_request(row) for row in connection.execute(statement)]


def _chosen(stored: Mapping[str, Any]) -> list[str]:
    """The fields that may be changed; a request of an older release holds the whole policy."""
    return [name for name in POLICY_FIELDS if name in stored]


def _request(row: Any) -> ThawRequest:
    body = json.loads(row.body)
    return ThawRequest(
        id=row.id,
        tenant_id=None if row.tenant_id == NIL else row.tenant_id,
        kind=RequestKind(row.kind).value,
        halt_ids=tuple(body["halts"]),
        stages=body["stages"],
        changes=None if body["policy"] is None else {name: body["policy"][name] for name in _chosen(body["policy"])},
        reason=row.reason,
        requested_by=row.requested_by,
        requested_at=row.requested_at,
        expires_at=row.expires_at,
        outcome=row.outcome,
        settled_by=row.settled_by,
        settled_at=row.settled_at,
        note=row.note,
    )

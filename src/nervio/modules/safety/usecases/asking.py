"""What takes two people: one asks, and waits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nervio.db.batch import Batch, Command
from nervio.kernel.errors import Kind, NervioError
from nervio.kernel.ids import new_id
from nervio.kernel.time import SECOND, Instant
from nervio.modules.safety.contracts.halts import Policy, RequestKind, Stages, ThawRequest, Unfreeze
from nervio.modules.safety.store import policies
from nervio.modules.safety.usecases import journalling


def require_person(is_person: bool) -> None:
    """Raises `forbidden` for a program: a key lies where anybody may take it, so it is nobody's first or second word."""
    if not is_person:
        raise NervioError(
            Kind.FORBIDDEN,
            "person_required",
            "This takes two people, each signed in; a key or a program counts as neither.",
        )


def ask_to_thaw(
    batch: Batch,
    command: Command[Unfreeze, Any],
    policy: Policy,
    halt_ids: Sequence[str],
    stages: Stages,
    now: Instant,
) -> ThawRequest:
    """The request for these halts: the one that is open already, else a new one. A halt that begins later is not in it."""
    require_person(command.body.by_person)
    for request in policies.find_open(batch.connection, [policy.tenant_id]):
        if request.kind == RequestKind.THAW and set(request.halt_ids) == set(halt_ids) and request.expires_at > now:
            return request
    request = ThawRequest(
        id=new_id(),
        tenant_id=policy.tenant_id,
        kind=RequestKind.THAW.value,
        halt_ids=tuple(halt_ids),
        stages=stages.value,
        changes=None,
        reason=command.body.reason,
        requested_by=command.actor_id,
        requested_at=batch.now,
        expires_at=now + policy.confirm_within_seconds * SECOND,
    )
    journalling.request(batch, request)
    return request


def ask_to_change(
    batch: Batch, actor_id: str, current: Policy, changes: Mapping[str, int | str], now: Instant
) -> ThawRequest:
    """A request to change these fields of a policy."""
    request = ThawRequest(
        id=new_id(),
        tenant_id=current.tenant_id,
        kind=RequestKind.POLICY.value,
        halt_ids=(),
        stages=None,
        changes=changes,
        reason="two_person_thaw off",
        requested_by=actor_id,
        requested_at=batch.now,
        expires_at=now + current.confirm_within_seconds * SECOND,
    )
    journalling.request(batch, request)
    return request

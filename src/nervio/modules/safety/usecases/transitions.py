"""What the machine found, made into commands: trips with the sentence that says why, and clears."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from nervio.db.context import Ctx
from nervio.kernel.time import Instant
from nervio.modules.identity.contracts import Tenant
from nervio.modules.safety.contracts.rules import RecordClear, Recorded, RecordTrip, Rule
from nervio.modules.safety.domain.rule_kinds import CRITICAL_STOCK
from nervio.modules.safety.domain.rule_words import sentence
from nervio.modules.safety.domain.rules import RuleKind, plan
from nervio.modules.safety.metrics import rules as metrics
from nervio.modules.safety.store import rules as store
from nervio.modules.safety.usecases.rule_records import RECORD_CLEAR, RECORD_TRIP, clear_key, trip_key
from nervio.ports.probes import Reading

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tripping:
    """A rule is about to trip on the subject of a reading."""

    reading: Reading
    at: Instant
    threshold: int


@dataclass(frozen=True, slots=True)
class Clearing:
    """A rule is about to clear on a subject."""

    subject: str
    number: int
    at: Instant
    quiet_at: Instant
    value: int | None
    samples: int


async def record(
    ctx: Ctx, tenant: Tenant, kind: RuleKind, rule: Rule, trips: Sequence[Tripping], clears: Sequence[Clearing]
) -> None:
    """Commits the transitions, each a command of its own. One that was made already by somebody else is left out."""
    actor = replace(ctx, actor_id=f"rule:{kind.name}")
    numbers = await ctx.read(lambda c: store.read_numbers(c, kind.name, [each.reading.subject for each in trips]))
    tripping = [_trip_of(tenant, kind, rule, each, numbers.get(each.reading.subject, 0) + 1) for each in trips]
    clearing = [
        RecordClear(kind.name, each.subject, each.number, each.at, each.quiet_at, each.value, each.samples)
        for each in clears
    ]
    outcomes = await actor.submit_all(
        [
            *(actor.command(RECORD_TRIP, body, trip_key(body)) for body in tripping),
            *(actor.command(RECORD_CLEAR, body, clear_key(body)) for body in clearing),
        ]
    )
    bodies: list[RecordTrip | RecordClear] = [*tripping, *clearing]
    for body, outcome in zip(bodies, outcomes, strict=True):
        if not isinstance(outcome, Recorded):
            log.info(
                "rule_transition_refused", extra={"rule": kind.name, "subject": body.subject, "error": repr(outcome)}
            )
        elif isinstance(body, RecordTrip):
            metrics.TRIPS.labels(kind.name, body.mode.value).inc()
            if kind.name == CRITICAL_STOCK:
                metrics.CRITICAL.inc()
        else:
            metrics.CLEARS.labels(kind.name).inc()


def _trip_of(tenant: Tenant, kind: RuleKind, rule: Rule, trip: Tripping, number: int) -> RecordTrip:
    reading, settings = trip.reading, rule.settings
    deed = plan(kind, settings, reading.product_id, reading.location_id)
    return RecordTrip(
        rule=kind.name,
        subject=reading.subject,
        number=number,
        revision=rule.revision,
        mode=settings.mode,
        action=deed.action,
        reach=deed.reach,
        at=trip.at,
        value=reading.value,
        samples=reading.samples,
        threshold=trip.threshold,
        product_id=reading.product_id,
        location_id=reading.location_id,
        figures=dict(reading.figures),
        sentence=sentence(
            kind.name, tenant.language, kind.unit, tenant.currency, reading.value, trip.threshold, reading.figures
        ),
    )

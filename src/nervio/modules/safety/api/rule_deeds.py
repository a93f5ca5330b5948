"""What a rule that tripped does to the world, in one place: campaigns of the product pause, a scope stops, everybody on duty
hears of it. Everything here may be done again: what was done under a key is not done twice."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from nervio.db.context import Ctx
from nervio.kernel.errors import REMEMBERED_KINDS, NervioError
from nervio.modules.identity.contracts import Tenant
from nervio.modules.safety.api.actions import DEADLINE_SECONDS, pause_campaigns
from nervio.modules.safety.api.alerts import raise_alert
from nervio.modules.safety.api.halts import freeze
from nervio.modules.safety.contracts.alerts import Alert, Severity
from nervio.modules.safety.contracts.halts import Pending, Scope, Target
from nervio.modules.safety.contracts.rules import Action, Conduct, Reach, Trip
from nervio.modules.safety.domain.alerts import LONGEST_BODY, LONGEST_TITLE
from nervio.modules.safety.domain.halts import LONGEST_REASON
from nervio.modules.safety.domain.rule_kinds import KINDS
from nervio.modules.safety.domain.rule_words import sentence, summary, title
from nervio.modules.safety.store import rules as store
from nervio.modules.safety.usecases.surveillance import rule_of

log = logging.getLogger(__name__)

CLEARED_BEFORE = "cleared_before"
ANNOUNCED = "announced"
PAUSED = "paused"
NO_CAMPAIGNS = "no_campaigns"
FROZEN = "frozen"
REFUSED = "refused"
"""What can have come of a trip beside `shadow`; empty while it is still to be acted on."""

MOST_ALONE = 5
"""When more than so many things trip one rule at once, people hear of them in one alert."""

GRAVE = frozenset({"stock_invariant", "ledger_seal", "ledger_chain", "error_rate"})
"""Rules that are about the program itself: when they trip, no figure is to be trusted."""

LINK = "/console/safety/rules"


async def carry_out(
    ctx: Ctx, tenant: Tenant, trips: Sequence[Trip], *, deadline_seconds: int = DEADLINE_SECONDS
) -> Mapping[str, str]:
    """Acts on trips of one rule of one tenant and says of each what was done; one that could not be done is left out.

    `ctx` is the rule's own: what it does is done in its name. A trip that has cleared meanwhile stops nothing any more.
    Pauses of campaigns that are not confirmed within `deadline_seconds` are escalated.
    """
    kind = KINDS[trips[0].rule]
    row = (await ctx.read(store.read_rules)).get(kind.name)
    # A rule that was changed let go of its trips, so what still stands was tripped under these settings.
    settings = rule_of(kind, row).settings
    outcomes: dict[str, str] = {}
    acted = []
    # Trips of one round that stop the same scope are one stop: with an end each would ask for one that is later by an instant.
    stops: dict[Target, str] = {}
    for trip in trips:
        if trip.cleared_at is not None:
            outcomes[trip.id] = CLEARED_BEFORE
            continue
        try:
            done = await _act(ctx, settings, trip, say(trip, tenant), stops, deadline_seconds)
        except NervioError as error:
            if error.kind not in REMEMBERED_KINDS:
                raise
            # It would be refused again however often it is asked; people are told, and nothing else waits behind it.
            log.warning("rule_action_refused", extra={"rule": trip.rule, "trip_id": trip.id, "code": error.code})
            done = REFUSED
        if done:
            outcomes[trip.id] = done
            acted.append(trip)
    await _tell(ctx, tenant, acted)
    return outcomes


def say(trip: Trip, tenant: Tenant) -> str:
    """Why a rule tripped, in the tenant's language, for everybody on duty and for platforms outside. Of a rule whose figures
    tell costs only what it is called: the figures are on its page, for those who may read it."""
    kind = KINDS[trip.rule]
    if kind.tells_costs:
        return _heading(trip, tenant)
    text = sentence(trip.rule, tenant.language, kind.unit, tenant.currency, trip.value, trip.threshold, trip.figures)
    return _printable(text)[:LONGEST_REASON]


def _heading(trip: Trip, tenant: Tenant) -> str:
    return _printable(title(trip.rule, tenant.language, trip.figures))[:LONGEST_TITLE]


def cause_of(trip: Trip) -> str:
    """What holds the campaigns that a trip paused: the rule and what it tripped on."""
    return f"rule:{trip.rule}:{trip.subject}"


async def _act(
    ctx: Ctx, settings: Conduct, trip: Trip, reason: str, stops: dict[Target, str], deadline_seconds: int
) -> str:
    """What was done; empty when it could not be done yet. `stops` is what came of those of this round."""
    if trip.reach is Reach.NOTHING or trip.action is Action.ALERT:
        return ANNOUNCED
    if trip.action is Action.PAUSE_CAMPAIGNS:
        assert trip.product_id is not None, "a rule without a product pauses nothing (see `plan`)"
        products, key = [trip.product_id], f"trip:{trip.id}"
        paused = await pause_campaigns(
            ctx, products=products, reason=reason, cause=cause_of(trip), key=key, deadline_seconds=deadline_seconds
        )
        return PAUSED if paused else NO_CAMPAIGNS
    module = settings.freeze_module if trip.reach is Reach.MODULE else None
    target = Target(ctx.tenant_id, module, trip.location_id if trip.reach is Reach.LOCATION else None)
    if target not in stops:
        answer = await freeze(
            ctx,
            reason,
            scope=Scope.TENANT,
            module=target.module,
            location_id=target.location_id,
            level=settings.freeze_level,
            for_seconds=settings.freeze_minutes * 60 if settings.freeze_minutes else None,
        )
        stops[target] = "" if isinstance(answer, Pending) else FROZEN
    return stops[target]


async def _tell(ctx: Ctx, tenant: Tenant, trips: Sequence[Trip]) -> None:
    if len(trips) > MOST_ALONE:
        first = trips[0]
        sentences = [say(trip, tenant) for trip in trips]
        heading, body = summary(first.rule, tenant.language, sentences)
        alert = Alert(
            severity=_severity(first),
            code=first.rule,
            title=heading,
            body=body[:LONGEST_BODY],
            dedup_key=f"rule:{first.rule}:{first.id}",
            link=LINK,
        )
        await raise_alert(ctx, alert, f"trips:{first.id}:{len(trips)}")
        return
    for trip in trips:
        alert = Alert(
            severity=_severity(trip),
            code=trip.rule,
            title=_heading(trip, tenant),
            body="" if KINDS[trip.rule].tells_costs else say(trip, tenant),
            dedup_key=cause_of(trip),
            link=LINK,
        )
        await raise_alert(ctx, alert, f"trip:{trip.id}")


def _severity(trip: Trip) -> Severity:
    is_grave = trip.rule in GRAVE or trip.reach.size > Reach.CAMPAIGNS.size
    return Severity.CRITICAL if is_grave else Severity.WARNING


def _printable(text: str) -> str:
    # A product may be called anything; a reason is read on every screen and must be printable.
    return "".join(c if c.isprintable() else " " for c in text)

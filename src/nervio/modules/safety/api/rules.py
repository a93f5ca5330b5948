"""The rules that watch a shop: how they are set, how they stand, what they tripped on, and the engine that looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from nervio.db.context import Ctx
from nervio.db.tenancy import TenantConnection
from nervio.kernel.time import DAY, Instant
from nervio.modules.safety.api.actions import DEADLINE_SECONDS
from nervio.modules.safety.api.rule_deeds import carry_out
from nervio.modules.safety.contracts.rules import Bound, ChangeRule, Conduct, Mode, Rule, Standing, Trip
from nervio.modules.safety.domain.rule_kinds import KINDS, changed_settings, kind_of, to_mapping
from nervio.modules.safety.domain.rule_words import format_figure, sentence
from nervio.modules.safety.domain.rules import Danger, RuleKind, bounds_of
from nervio.modules.safety.store import rules as store
from nervio.modules.safety.usecases import surveillance
from nervio.modules.safety.usecases.rule_records import CHANGE_RULE
from nervio.modules.safety.usecases.surveillance import (
    ROUND_SECONDS,
    ListTenants,
    Probe,
    Surveillance,
    list_all_tenants,
    rule_of,
)
from nervio.ports.bus import Event

READ_RULES = "safety.rules.read"
"""Their sentences tell margins and costs: for those who set prices, and for nobody else."""
WRITE_RULES = "safety.rules.write"

LATE_DAYS = 30
"""How far back the rules' standing looks."""

LONGEST_PAGE = 500


def start_surveillance(
    probes: Sequence[Probe], tenants: ListTenants = list_all_tenants, *, deadline_seconds: int = DEADLINE_SECONDS
) -> Surveillance:
    """The engine of the rules over these figures. Call its `run` every `ROUND_SECONDS`, on one process at a time: a round
    looks at what is due for every tenant, records what trips and clears, and acts. Facts that `hear` is told of in the same
    process make it look sooner; it is right without them. Pauses of campaigns that are not confirmed within
    `deadline_seconds` are escalated."""
    return Surveillance(probes, partial(carry_out, deadline_seconds=deadline_seconds), tenants)


async def hear(ctx: Ctx, event: Event) -> None:
    """Lets the engine, where it runs in this process, look at once at what the fact may have changed."""
    surveillance.hear(ctx.tenant_id, event.type)


async def list_rules(ctx: Ctx) -> list[Standing]:
    """Every rule there is as the tenant has set it, and how it stands."""
    ctx.require(READ_RULES)
    since = ctx.clock.now() - LATE_DAYS * DAY

    def query(connection: TenantConnection) -> list[Standing]:
        rows, tripped = store.read_rules(connection), store.count_tripped(connection)
        counts = store.count_trips(connection, since)
        last = store.find_last_trips(connection, KINDS)
        return [
            Standing(
                rule=rule_of(kind, rows.get(kind.name)),
                tripped=tripped.get(kind.name, 0),
                trips_of_late=counts.get(kind.name, (0, 0))[0],
                shadow_trips_of_late=counts.get(kind.name, (0, 0))[1],
                last=last.get(kind.name),
            )
            for kind in KINDS.values()
        ]

    return await ctx.read(query)


async def get_rule(ctx: Ctx, name: str) -> Rule:
    """One rule as the tenant has set it. Raises `not_found`."""
    ctx.require(READ_RULES)
    kind = kind_of(name)
    rows = await ctx.read(store.read_rules)
    return rule_of(kind, rows.get(name))


async def change_rule(ctx: Ctx, name: str, given: Mapping[str, object], key: str | None = None) -> Rule:
    """Sets some of a rule's settings; the others stay. What it had tripped on is let go, so that under its new settings it
    looks at everything anew.

    Raises `not_found` for the rule, `invalid` naming the setting.
    """
    ctx.require(WRITE_RULES)
    kind = kind_of(name)
    current = await ctx.read(store.read_rules)
    settings = changed_settings(kind, rule_of(kind, current.get(name)).settings, given)
    await ctx.submit(CHANGE_RULE, ChangeRule(name, to_mapping(settings)), key)
    rows = await ctx.read(store.read_rules)
    return rule_of(kind, rows.get(name))


async def list_trips(
    ctx: Ctx,
    *,
    rule: str | None = None,
    tripped: bool | None = None,
    before: tuple[Instant, str] | None = None,
    limit: int = 50,
) -> list[Trip]:
    """What the tenant's rules tripped on, the newest first; `before` is (tripped_at, id) of the last one seen."""
    ctx.require(READ_RULES)
    if rule is not None:
        kind_of(rule)
    most = min(limit, LONGEST_PAGE + 1)
    return await ctx.read(lambda c: store.list_trips(c, rule=rule, tripped=tripped, before=before, limit=most))


def say_why(trip: Trip, language: str, currency: str) -> str:
    """Why a rule tripped, in words and with the figures, in a reader's language."""
    return sentence(trip.rule, language, KINDS[trip.rule].unit, currency, trip.value, trip.threshold, trip.figures)


def describe(name: str) -> RuleKind:
    """What is fixed about a rule: its figure's unit, which side is dangerous, the most it may stop. Raises `not_found`."""
    return kind_of(name)


def list_bounds(name: str) -> Mapping[str, Bound]:
    """What each number of a rule's settings may be. Raises `not_found`."""
    return bounds_of(kind_of(name).settings)


def list_settings(settings: Conduct) -> dict[str, int | str]:
    """Settings as plain names and values."""
    return to_mapping(settings)


__all__ = [
    "KINDS",
    "LATE_DAYS",
    "READ_RULES",
    "ROUND_SECONDS",
    "WRITE_RULES",
    "Danger",
    "Mode",
    "Surveillance",
    "change_rule",
    "describe",
    "format_figure",
    "get_rule",
    "hear",
    "list_bounds",
    "list_rules",
    "list_settings",
    "list_trips",
    "say_why",
    "start_surveillance",
]

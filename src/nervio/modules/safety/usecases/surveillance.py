"""The engine of the rules: reads the figures that are due, steps the machine, records what changed, has trips acted on.

One process at a time runs rounds, under a lease. What is tripped or cools down is in the store, so a restart forgets no trip
and repeats none; only waits that have not tripped yet live in memory, and begin anew. Two leaders at once do no harm: a
transition carries its number, and the second is refused.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol
from weakref import WeakSet

from nervio.db.context import Ctx
from nervio.kernel.errors import Kind, NervioError
from nervio.modules.identity import api as identity
from nervio.modules.identity.contracts import Tenant
from nervio.modules.safety.contracts.rules import Mode, Phase, RecordDeed, Rule, Trip
from nervio.modules.safety.domain.rule_kinds import CRITICAL_STOCK, KINDS, decode_settings, window_of
from nervio.modules.safety.domain.rules import QUIET, Limits, RuleKind, State, limits_of, step
from nervio.modules.safety.metrics import rules as metrics
from nervio.modules.safety.store import rules as store
from nervio.modules.safety.store.rules import RuleRow, StateRow
from nervio.modules.safety.usecases import transitions
from nervio.modules.safety.usecases.rule_records import RECORD_DEED
from nervio.modules.safety.usecases.transitions import Clearing, Tripping
from nervio.ports.probes import Question, Reading

log = logging.getLogger(__name__)

ROUND_SECONDS = 1.0
"""How often a round begins."""
LONGEST_ROUND_SECONDS = 0.5
"""After this long a round leaves the rest to the next one, which begins with what has waited longest."""
TENANTS_SECONDS = 30.0
"""How often the list of tenants is read again."""
MOST_TRIPS_A_LOOK = 200
"""Of one rule in one shop; the rest trips in the next rounds, so that no round grows without end."""
MOST_DEEDS_A_ROUND = 200
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0


class Probe(Protocol):
    """What the engine needs of a probe; the manifests' own has these and more."""

    @property
    def name(self) -> str: ...
    @property
    def seconds(self) -> float: ...
    @property
    def hears(self) -> tuple[str, ...]: ...
    @property
    def read(self) -> Callable[[Ctx, Question], Awaitable[Sequence[Reading]]]: ...


CarryOut = Callable[[Ctx, Tenant, Sequence[Trip]], Awaitable[Mapping[str, str]]]
"""Acts on trips of one rule of one tenant; trip id → outcome of those that are settled. The others are tried again."""

ListTenants = Callable[[Ctx], Awaitable[Sequence[Tenant]]]

_running: WeakSet[Surveillance] = WeakSet()


def hear(tenant_id: str, event_type: str) -> None:
    """Lets the surveillance of this process, where one runs, look at once at what the fact may have changed."""
    for surveillance in _running:
        surveillance.hear(tenant_id, event_type)


async def list_all_tenants(ctx: Ctx) -> list[Tenant]:
    """Every tenant of the installation."""
    found: list[Tenant] = []
    while page := await identity.list_tenants(ctx, found[-1].slug if found else None, identity.LONGEST_PAGE):
        found += page
    return found


@dataclass(frozen=True, slots=True)
class _Look:
    """A rule of a tenant that is due."""

    tenant: Tenant
    kind: RuleKind
    rule: Rule
    probe: Probe

    @property
    def key(self) -> tuple[str, str]:
        return self.tenant.id, self.kind.name


class Surveillance:
    """Watches all tenants of the installation, in rounds. See `start_surveillance`."""

    def __init__(self, probes: Sequence[Probe], carry_out: CarryOut, tenants: ListTenants = list_all_tenants) -> None:
        self._probes = {probe.name: probe for probe in probes}
        self._carry_out, self._list_tenants = carry_out, tenants
        self._tenants: dict[str, Tenant] = {}
        self._tenants_until = float("-inf")
        self._due: dict[tuple[str, str], float] = {}
        self._waiting: dict[tuple[str, str], dict[str, State]] = {}
        self._heard: set[tuple[str, str]] = set()
        self._paused: dict[str, tuple[float, float]] = {}
        self.longest_round_seconds = LONGEST_ROUND_SECONDS
        _running.add(self)

    def hear(self, tenant_id: str, event_type: str) -> None:
        """Makes the figures due that hear facts of this type. Only ever makes a look come sooner."""
        self._heard.add((tenant_id, event_type))

    async def run(self, ctx: Ctx) -> int:
        """One round; how many rules were looked at. Raises what the store raises."""
        began = time.perf_counter()
        rules = await ctx.database.read(store.read_all_rules)
        looks = await self._find_due(ctx, {(row.tenant_id, row.rule): row for row in rules})
        done = 0
        for look in looks:
            if done and time.perf_counter() - began > self.longest_round_seconds:
                break
            self._due[look.key] = ctx.clock.monotonic() + look.probe.seconds
            await self._try_to_look(replace(ctx, tenant_id=look.tenant.id), look)
            done += 1
        await self._act(ctx)
        metrics.EVALUATION_SECONDS.observe(time.perf_counter() - began)
        return done

    async def _find_due(self, ctx: Ctx, rules: Mapping[tuple[str, str], RuleRow]) -> list[_Look]:
        """What is due, the longest overdue first."""
        now = ctx.clock.monotonic()
        if now >= self._tenants_until:
            self._tenants = {tenant.id: tenant for tenant in await self._list_tenants(ctx)}
            self._tenants_until = now + TENANTS_SECONDS
        heard, self._heard = self._heard, set()
        found: list[tuple[float, int, _Look]] = []
        for tenant in self._tenants.values():
            for order, kind in enumerate(KINDS.values()):
                probe = self._probes.get(kind.probe)
                rule = rule_of(kind, rules.get((tenant.id, kind.name)))
                if probe is None or rule.settings.mode is Mode.OFF:
                    self._waiting.pop((tenant.id, kind.name), None)
                    continue
                due = self._due.get((tenant.id, kind.name), float("-inf"))
                if any((tenant.id, each) in heard for each in probe.hears):
                    due = min(due, now)
                    self._due[tenant.id, kind.name] = due
                if due <= now:
                    found.append((due, order, _Look(tenant, kind, rule, probe)))
        return [look for *_, look in sorted(found, key=lambda each: each[:2])]

    async def _try_to_look(self, ctx: Ctx, look: _Look) -> None:
        try:
            await self._look(ctx, look)
        except NervioError as error:
            if error.kind is Kind.HALTED:
                return
            self._failed(look, error)
        except Exception as error:  # noqa: BLE001 (a figure that cannot be read must not blind the other rules)
            self._failed(look, error)

    def _failed(self, look: _Look, error: Exception) -> None:
        metrics.PROBES_FAILED.labels(look.probe.name).inc()
        log.warning(
            "rule_not_evaluated",
            extra={
                "rule": look.kind.name,
                "tenant_id": look.tenant.id,
                "error": str(error) or type(error).__name__,
                "error_type": type(error).__name__,
            },
        )

    async def _look(self, ctx: Ctx, look: _Look) -> None:
        settings, now = look.rule.settings, ctx.clock.now()
        # Only of what is due: thousands of things may stand tripped, and most rounds look at few of them.
        standing = await ctx.read(lambda c: store.read_states(c, look.kind.name, now))
        limits = limits_of(look.kind, settings, look.probe.seconds)
        waiting = self._waiting.setdefault(look.key, {})
        question = Question(
            now=now,
            bound=limits.trip,
            subjects=frozenset({*standing, *waiting}),
            tripped=frozenset(subject for subject, row in standing.items() if row.phase is Phase.TRIPPED),
            window_seconds=window_of(settings, "window"),
            baseline_seconds=window_of(settings, "baseline"),
        )
        readings = {reading.subject: reading for reading in await look.probe.read(ctx, question)}
        trips, clears = self._step_all(question, limits, readings, standing, waiting)
        if trips or clears:
            await transitions.record(ctx, look.tenant, look.kind, look.rule, trips, clears)

    def _step_all(
        self,
        question: Question,
        limits: Limits,
        readings: Mapping[str, Reading],
        standing: Mapping[str, StateRow],
        waiting: dict[str, State],
    ) -> tuple[list[Tripping], list[Clearing]]:
        trips: list[Tripping] = []
        clears: list[Clearing] = []
        for subject in [*readings, *(one for one in question.subjects if one not in readings)]:
            reading = readings.get(subject)
            # A subject of which there is nothing to say any more is one that nothing was measured of.
            value, samples = (limits.clear, 0) if reading is None else (reading.value, reading.samples)
            row = standing.get(subject)
            before = waiting.get(subject, QUIET) if row is None else State(row.phase, row.since, question.now)
            after = step(before, limits, question.now, value, samples)
            if after.phase is Phase.TRIPPED and before.phase is not Phase.TRIPPED:
                assert reading is not None
                if len(trips) < MOST_TRIPS_A_LOOK:
                    trips.append(Tripping(reading, question.now, limits.trip))
                    waiting.pop(subject, None)
                continue
            if before.phase is Phase.TRIPPED and after.phase is Phase.COOLING:
                assert row is not None
                measured = None if reading is None else reading.value
                quiet_at = question.now + limits.cooldown
                clears.append(Clearing(subject, row.number + 1, question.now, quiet_at, measured, samples))
            if after.phase is Phase.PENDING:
                waiting[subject] = after
            else:
                waiting.pop(subject, None)
        return trips, clears

    async def _act(self, ctx: Ctx) -> None:
        """Acts on what tripped, in this round or in one that ended before it could."""
        to_do = await ctx.database.read(lambda c: store.read_to_do(c, MOST_DEEDS_A_ROUND + len(self._paused)))
        now, groups = ctx.clock.monotonic(), dict[tuple[str, str], list[Trip]]()
        for tenant_id, trip in to_do:
            if tenant_id in self._tenants and self._paused.get(trip.id, (0.0, 0.0))[0] <= now:
                groups.setdefault((tenant_id, trip.rule), []).append(trip)
        for (tenant_id, rule), trips in groups.items():
            actor = replace(ctx, tenant_id=tenant_id, actor_id=f"rule:{rule}")
            settled: Mapping[str, str] = {}
            try:
                settled = await self._carry_out(actor, self._tenants[tenant_id], trips)
            except Exception as error:  # noqa: BLE001 (what could not be done is tried again, less and less often)
                log.warning(
                    "rule_not_acted_on",
                    extra={"rule": rule, "tenant_id": tenant_id, "trips": len(trips), "error": repr(error)},
                )
            done = [RecordDeed(trip_id, outcome) for trip_id, outcome in settled.items()]
            await actor.submit_all([actor.command(RECORD_DEED, each, f"deed:{each.trip_id}") for each in done])
            if rule == CRITICAL_STOCK:
                metrics.CRITICAL_STOPS.inc(len(done))
            for trip in trips:
                self._pause(trip, now, failed=trip.id not in settled)

    def _pause(self, trip: Trip, now: float, *, failed: bool) -> None:
        before = self._paused.pop(trip.id, (0.0, 0.0))[1]
        if failed:
            metrics.DEEDS_FAILED.labels(trip.rule).inc()
            pause = min(max(FIRST_PAUSE_SECONDS, 2 * before), LONGEST_PAUSE_SECONDS)
            self._paused[trip.id] = (now + pause, pause)


def rule_of(kind: RuleKind, row: RuleRow | None) -> Rule:
    """A rule as a tenant has set it, or as it comes."""
    if row is None:
        return Rule(kind.name, kind.settings())
    return Rule(kind.name, decode_settings(kind, row.settings), row.revision, row.changed_by, row.changed_at)

"""The machine behind every rule, on plain values: when a rule trips on a subject, when it clears, and what it may do then.

    quiet -> pending (over the threshold, waiting) -> tripped -> cooling (cleared, waiting) -> quiet

It is fed with observations in order of time and nothing else: no clock, no I/O, so the same series always gives the same
states.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum

from nervio.kernel.errors import invalid
from nervio.kernel.time import SECOND, Instant
from nervio.modules.safety.contracts.halts import LEVELS
from nervio.modules.safety.contracts.rules import STOPPED_BY_RULE, Action, Bound, Conduct, Mode, Phase, Reach
from nervio.ports.probes import About

SHORTEST_GAP_SECONDS = 120.0


class Danger(StrEnum):
    """On which side of its threshold a figure is dangerous."""

    LOW = "low"
    HIGH = "high"


@dataclass(frozen=True, slots=True)
class RuleKind:
    """What is fixed about a rule: the probe that feeds it, the side that is dangerous, the most it may ever stop, and which
    of its settings are the two thresholds."""

    name: str
    probe: str
    about: About
    settings: type[Conduct]
    danger: Danger
    largest: Reach
    trip: str
    clear: str
    unit: str
    tells_costs: bool = False
    """Whether its figures say what products cost the shop, which is not for everybody who may read an alert or a stop."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the machine needs of a rule's settings. Durations in microseconds. A wait that nobody watched for longer than
    `gap` begins anew: what was not seen did not last."""

    trip: int
    clear: int
    danger: Danger
    min_samples: int
    hold: int
    cooldown: int
    gap: int

    def is_bad(self, value: int, samples: int) -> bool:
        """Whether an observation is a cause to trip: at the threshold or beyond, on enough samples."""
        return samples >= max(1, self.min_samples) and self._reaches(value, self.trip)

    def is_calm(self, value: int, samples: int) -> bool:
        """Whether an observation is a cause to clear: at the other threshold or beyond, on enough samples, or nothing left to
        measure at all."""
        if samples == 0:
            return True
        return samples >= self.min_samples and self._reaches(-value, -self.clear)

    def _reaches(self, value: int, threshold: int) -> bool:
        return value >= threshold if self.danger is Danger.HIGH else value <= threshold


@dataclass(frozen=True, slots=True)
class State:
    """Where the machine stands: since when, and when it last saw anything."""

    phase: Phase = Phase.QUIET
    since: Instant = 0
    seen: Instant = 0


QUIET = State()


def step(state: State, limits: Limits, at: Instant, value: int, samples: int) -> State:
    """The state after an observation. A clock that was set back counts as no time passed."""
    if state.phase is Phase.TRIPPED:
        if limits.is_calm(value, samples):
            return State(Phase.COOLING, at, at)
        return State(Phase.TRIPPED, state.since, at)
    if state.phase is Phase.COOLING and at - state.since < limits.cooldown:
        return State(Phase.COOLING, state.since, at)
    if not limits.is_bad(value, samples):
        return State(Phase.QUIET, at, at)
    waited = state.phase is Phase.PENDING and at - state.seen <= limits.gap
    since = state.since if waited else at
    if at - since >= limits.hold:
        return State(Phase.TRIPPED, at, at)
    return State(Phase.PENDING, since, at)


def limits_of(kind: RuleKind, settings: Conduct, seconds: float) -> Limits:
    """The machine's limits under these settings, fed every so many seconds."""
    return Limits(
        trip=getattr(settings, kind.trip),
        clear=getattr(settings, kind.clear),
        danger=kind.danger,
        min_samples=settings.min_samples,
        hold=settings.hold_seconds * SECOND,
        cooldown=settings.cooldown_seconds * SECOND,
        gap=int(max(SHORTEST_GAP_SECONDS, 3 * seconds) * SECOND),
    )


@dataclass(frozen=True, slots=True)
class Deed:
    """What a trip does, or in shadow would have done, and how much that stops."""

    action: Action
    reach: Reach
    acts: bool


def plan(kind: RuleKind, settings: Conduct, product_id: str | None, location_id: str | None) -> Deed:
    """What a rule that trips on a subject does. Never more than the rule's largest reach, whatever its settings say; an action
    that lacks what it needs (a product, a location) becomes an alert and never anything larger."""
    acts = settings.mode is Mode.ON
    reach = reach_of(settings)
    possible = {
        Reach.NOTHING: True,
        Reach.CAMPAIGNS: product_id is not None,
        Reach.MODULE: True,
        Reach.LOCATION: location_id is not None,
        Reach.TENANT: True,
    }
    if reach.size > kind.largest.size or not possible[reach]:
        return Deed(Action.ALERT, Reach.NOTHING, acts)
    return Deed(settings.action, reach, acts)


def reach_of(settings: Conduct) -> Reach:
    """How much the settings ask to stop."""
    match settings.action:
        case Action.ALERT:
            return Reach.NOTHING
        case Action.PAUSE_CAMPAIGNS:
            return Reach.CAMPAIGNS
        case Action.FREEZE:
            return settings.freeze_reach


def bounds_of(settings: type[Conduct]) -> Mapping[str, Bound]:
    """What each number of a rule's settings may be, by the name of the setting."""
    return {f.name: f.metadata["bound"] for f in fields(settings) if "bound" in f.metadata}


def check_settings(kind: RuleKind, settings: Conduct) -> Conduct:
    """The settings, if every number is within its bounds, the thresholds leave a gap on the right side, and the action stays
    within the rule's reach. Raises `invalid` naming the setting."""
    for name, bound in bounds_of(kind.settings).items():
        value = getattr(settings, name)
        if not bound.least <= value <= bound.most:
            raise invalid(
                "rule_out_of_bounds",
                f"{name} must lie between {bound.least} and {bound.most} {bound.unit}.",
                field=name,
            )
    trip, clear = getattr(settings, kind.trip), getattr(settings, kind.clear)
    if kind.danger is Danger.HIGH and clear >= trip:
        raise invalid("rule_clear_not_below", f"{kind.clear} must be below {kind.trip} ({trip}).", field=kind.clear)
    if kind.danger is Danger.LOW and clear <= trip:
        raise invalid("rule_clear_not_above", f"{kind.clear} must be above {kind.trip} ({trip}).", field=kind.clear)
    _check_action(kind, settings)
    return settings


def _check_action(kind: RuleKind, settings: Conduct) -> None:
    if settings.freeze_reach in (Reach.NOTHING, Reach.CAMPAIGNS):
        raise invalid("rule_reach_not_frozen", "freeze_reach must be module, location or tenant.", field="freeze_reach")
    if settings.freeze_module not in STOPPED_BY_RULE:
        raise invalid(
            "rule_module_unknown", f"freeze_module must be one of {', '.join(STOPPED_BY_RULE)}.", field="freeze_module"
        )
    if settings.freeze_level not in LEVELS:
        raise invalid("invalid_level", f"freeze_level must be one of {', '.join(LEVELS)}.", field="freeze_level")
    if settings.action is Action.PAUSE_CAMPAIGNS and kind.about not in (About.PRODUCT, About.LEVEL):
        raise invalid(
            "rule_has_no_product", "This rule speaks of no product, so it cannot pause its campaigns.", field="action"
        )
    if settings.action is not Action.FREEZE:
        return
    if settings.freeze_reach is Reach.LOCATION and kind.about not in (About.LOCATION, About.LEVEL):
        raise invalid(
            "rule_has_no_location", "This rule speaks of no location, so it cannot stop one.", field="freeze_reach"
        )
    if settings.freeze_reach.size > kind.largest.size:
        raise invalid(
            "rule_reach_too_large", f"This rule may stop at most: {kind.largest.value}.", field="freeze_reach"
        )

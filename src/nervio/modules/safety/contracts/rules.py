"""The rules that watch a shop: what can be set of each, what they do, and what has happened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from nervio.kernel.time import Instant

STOPPED_BY_RULE = ("sales", "stock", "catalog")
"""Modules whose writes a rule may stop; getting in, the journal and the console are left to people."""


class Mode(StrEnum):
    """Whether a rule looks, and whether it acts on what it sees."""

    OFF = "off"
    SHADOW = "shadow"
    """Says what it would have done and does nothing."""
    ON = "on"


class Action(StrEnum):
    """What a rule does when it trips. Each includes the one before: everybody hears of a pause and of a freeze."""

    ALERT = "alert"
    PAUSE_CAMPAIGNS = "pause_campaigns"
    FREEZE = "freeze"


class Reach(StrEnum):
    """How much a rule may stop, from least to most."""

    NOTHING = "nothing"
    CAMPAIGNS = "campaigns"
    """The advertising campaigns of the one product."""
    MODULE = "module"
    LOCATION = "location"
    TENANT = "tenant"

    @property
    def size(self) -> int:
        """Its place in that order."""
        return tuple(Reach).index(self)


class Phase(StrEnum):
    """Where a rule stands with one subject."""

    QUIET = "quiet"
    PENDING = "pending"
    """Over the threshold, for less time than the rule waits."""
    TRIPPED = "tripped"
    COOLING = "cooling"
    """Cleared, and not to trip again for a while."""


@dataclass(frozen=True, slots=True)
class Bound:
    """What a whole number of a rule's settings may be, and its unit."""

    least: int
    most: int
    unit: str


def _number(default: int, least: int, most: int, unit: str) -> int:
    value: int = field(default=default, metadata={"bound": Bound(least, most, unit)})
    return value


_FOREVER_SECONDS = 7 * 86_400
_BP = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Conduct:
    """What every rule has: whether it acts, what it does, and how patient it is. `freeze_minutes` 0 lasts until a person
    resumes."""

    mode: Mode = Mode.SHADOW
    action: Action = Action.ALERT
    freeze_reach: Reach = Reach.MODULE
    freeze_module: str = "sales"
    freeze_level: str = "reduce_only"
    freeze_minutes: int = _number(0, 0, 10_080, "minutes")
    min_samples: int = _number(1, 1, 1_000_000, "count")
    hold_seconds: int = _number(0, 0, _FOREVER_SECONDS, "seconds")
    cooldown_seconds: int = _number(300, 0, _FOREVER_SECONDS, "seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class CriticalStock(Conduct):
    """What is available of a product at a location, in percent of its critical level."""

    mode: Mode = Mode.ON
    action: Action = Action.PAUSE_CAMPAIGNS
    cooldown_seconds: int = _number(0, 0, _FOREVER_SECONDS, "seconds")
    trip_percent: int = _number(100, 0, 1_000, "percent")
    clear_percent: int = _number(120, 1, 10_000, "percent")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningOut(Conduct):
    """Days until a product is sold out at the rate at which the window sold it."""

    min_samples: int = _number(3, 1, 1_000_000, "count")
    cooldown_seconds: int = _number(3_600, 0, _FOREVER_SECONDS, "seconds")
    lead_time_days: int = _number(7, 0, 365, "days")
    clear_days: int = _number(10, 1, 730, "days")
    window_days: int = _number(14, 1, 90, "days")


@dataclass(frozen=True, slots=True, kw_only=True)
class NegativeMargin(Conduct):
    """The lowest margin at which a product was sold in the window: price without tax less cost, of the price without tax."""

    trip_margin_bp: int = _number(-1, -_BP, 10_000, "bp")
    clear_margin_bp: int = _number(200, -_BP, 10_000, "bp")
    window_minutes: int = _number(60, 1, 1_440, "minutes")


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginFall(Conduct):
    """How far the margin of the window lies below the margin of the days before it."""

    min_samples: int = _number(20, 1, 1_000_000, "count")
    hold_seconds: int = _number(300, 0, _FOREVER_SECONDS, "seconds")
    cooldown_seconds: int = _number(3_600, 0, _FOREVER_SECONDS, "seconds")
    trip_fall_bp: int = _number(500, 1, _BP, "bp")
    clear_fall_bp: int = _number(250, -_BP, _BP, "bp")
    window_hours: int = _number(24, 1, 168, "hours")
    baseline_days: int = _number(28, 1, 90, "days")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refunds(Conduct):
    """How much more of a location's money goes back in the window than did in the days before it."""

    min_samples: int = _number(10, 1, 1_000_000, "count")
    hold_seconds: int = _number(60, 0, _FOREVER_SECONDS, "seconds")
    cooldown_seconds: int = _number(1_800, 0, _FOREVER_SECONDS, "seconds")
    trip_excess_bp: int = _number(1_500, 1, _BP, "bp")
    clear_excess_bp: int = _number(500, -_BP, _BP, "bp")
    window_minutes: int = _number(120, 1, 1_440, "minutes")
    baseline_days: int = _number(28, 1, 90, "days")


@dataclass(frozen=True, slots=True, kw_only=True)
class Discounts(Conduct):
    """How much of the list prices a location gave away in the window."""

    min_samples: int = _number(10, 1, 1_000_000, "count")
    hold_seconds: int = _number(60, 0, _FOREVER_SECONDS, "seconds")
    cooldown_seconds: int = _number(1_800, 0, _FOREVER_SECONDS, "seconds")
    trip_share_bp: int = _number(2_000, 1, 10_000, "bp")
    clear_share_bp: int = _number(1_000, 0, 10_000, "bp")
    window_minutes: int = _number(120, 1, 1_440, "minutes")


@dataclass(frozen=True, slots=True, kw_only=True)
class AdsWithoutStock(Conduct):
    """What the running campaigns of a product that is sold out spend a day, in minor units of the campaigns' currency."""

    action: Action = Action.PAUSE_CAMPAIGNS
    hold_seconds: int = _number(60, 0, _FOREVER_SECONDS, "seconds")
    trip_spend_minor: int = _number(1, 1, 10**12, "minor")
    clear_spend_minor: int = _number(0, 0, 10**12, "minor")


@dataclass(frozen=True, slots=True, kw_only=True)
class StockInvariant(Conduct):
    """Levels that do not agree with the journal, with their lots or with what is promised."""

    trip_findings_count: int = _number(1, 1, 1_000_000, "count")
    clear_findings_count: int = _number(0, 0, 1_000_000, "count")


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerSeal(Conduct):
    """How long the oldest entry of the journal has been waiting for its seal."""

    hold_seconds: int = _number(30, 0, _FOREVER_SECONDS, "seconds")
    trip_wait_seconds: int = _number(120, 1, _FOREVER_SECONDS, "seconds")
    clear_wait_seconds: int = _number(30, 0, _FOREVER_SECONDS, "seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerChain(Conduct):
    """Places where the journal is not what was sealed, or the chain of seals is broken."""

    trip_findings_count: int = _number(1, 1, 1_000_000, "count")
    clear_findings_count: int = _number(0, 0, 1_000_000, "count")


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorRate(Conduct):
    """How many of the requests in the window ended with a fault of ours."""

    min_samples: int = _number(20, 1, 1_000_000, "count")
    hold_seconds: int = _number(30, 0, _FOREVER_SECONDS, "seconds")
    trip_share_bp: int = _number(500, 1, 10_000, "bp")
    clear_share_bp: int = _number(100, 0, 10_000, "bp")
    window_minutes: int = _number(5, 1, 60, "minutes")


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule as one tenant has it set. `revision` 0: nobody has changed it. `settings` is the dataclass of the rule."""

    name: str
    settings: Conduct
    revision: int = 0
    changed_by: str | None = None
    changed_at: Instant | None = None


@dataclass(frozen=True, slots=True)
class ChangeRule:
    """New settings of a rule, as JSON of its dataclass; what the rule had tripped on before is let go."""

    rule: str
    settings: Mapping[str, int | str]


@dataclass(frozen=True, slots=True)
class RuleSaved:
    """The revision that a change made."""

    revision: int


@dataclass(frozen=True, slots=True)
class RecordTrip:
    """A rule trips on a subject. `number` counts the trips and clears of that rule and subject."""

    rule: str
    subject: str
    number: int
    revision: int
    mode: Mode
    action: Action
    reach: Reach
    at: Instant
    value: int
    samples: int
    threshold: int
    product_id: str | None
    location_id: str | None
    figures: Mapping[str, int | str]
    sentence: str


@dataclass(frozen=True, slots=True)
class RecordClear:
    """A rule that had tripped on a subject clears. `quiet_at` is when it may trip again."""

    rule: str
    subject: str
    number: int
    at: Instant
    quiet_at: Instant
    value: int | None
    samples: int


@dataclass(frozen=True, slots=True)
class RecordDeed:
    """What came of the action of a trip."""

    trip_id: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """The trip that a transition belongs to."""

    trip_id: str


@dataclass(frozen=True, slots=True)
class Trip:
    """A rule tripped on a subject, and what became of it. `outcome` is empty until the action was carried out; `action` is
    what was done, or in shadow what would have been done. `reach` is how much that stops."""

    id: str
    rule: str
    subject: str
    mode: Mode
    action: Action
    reach: Reach
    product_id: str | None
    location_id: str | None
    tripped_at: Instant
    value: int
    samples: int
    threshold: int
    figures: Mapping[str, int | str]
    outcome: str
    cleared_at: Instant | None
    cleared_value: int | None
    cleared_by: str | None


@dataclass(frozen=True, slots=True)
class Standing:
    """How a rule stands: how many subjects it is tripped on now, and what it did in the last 30 days."""

    rule: Rule
    tripped: int
    trips_of_late: int
    shadow_trips_of_late: int
    last: Trip | None

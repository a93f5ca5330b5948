"""Request and response models of the rules that watch a shop."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt

from nervio.kernel.time import to_iso
from nervio.modules.safety.api import rules as api
from nervio.modules.safety.contracts.rules import Action, Mode, Reach, Rule, Standing, Trip
from nervio.ports.probes import About

_EXAMPLE: dict[str, Any] = {
    "rule": "critical_stock",
    "settings": {"mode": "on", "trip_percent": 100, "clear_percent": 150},
}


class BoundReply(BaseModel):
    """What a number of a rule's settings may be."""

    least: int
    most: int
    unit: str = Field(
        description="`bp` are basis points: 100 are one per cent. `minor` are minor units of the currency."
    )


class RuleReply(BaseModel):
    """A rule as the shop has it set."""

    rule: str = Field(examples=["critical_stock"])
    mode: Mode = Field(description="`shadow` says what it would have done and does nothing.")
    settings: dict[str, int | str] = Field(description="Every setting by its name, which ends in its unit.")
    bounds: dict[str, BoundReply]
    about: About = Field(description="What it watches one by one. `level` is a product at a location.")
    danger: Literal["low", "high"] = Field(description="On which side of `trip` the figure is dangerous.")
    trip: str = Field(description="The setting at which it trips.", examples=["trip_percent"])
    clear: str = Field(description="The setting at which it clears.", examples=["clear_percent"])
    largest_reach: Reach = Field(description="The most that it may ever stop, whatever its settings say.")
    revision: int = Field(description="How often it was changed; 0 as it comes.")
    changed_by: str | None
    changed_at: str | None

    @classmethod
    def of(cls, rule: Rule) -> RuleReply:
        return cls.model_validate(_fields(rule))


class TripReply(BaseModel):
    """Something a rule tripped on. In mode `shadow` `action` and `reach` are what it would have done."""

    id: str
    rule: str
    subject: str = Field(description="What it tripped on; empty is the shop itself.")
    product_id: str | None
    location_id: str | None
    mode: Mode
    action: Action
    reach: Reach
    sentence: str = Field(description="Why, in words and with the figures, in the language asked for.")
    value: int
    samples: int = Field(description="How many observations the figure rests on.")
    threshold: int
    figures: dict[str, int | str] = Field(description="What the sentence quotes; names end in their unit.")
    outcome: str = Field(description="What was done; empty while it is still to be done.", examples=["announced"])
    tripped_at: str
    cleared_at: str | None
    cleared_value: int | None
    cleared_by: str | None = Field(description="`rule:<name>` when it cleared by itself, else who changed the rule.")

    @classmethod
    def of(cls, trip: Trip, language: str, currency: str) -> TripReply:
        return cls(
            id=trip.id,
            rule=trip.rule,
            subject=trip.subject,
            product_id=trip.product_id,
            location_id=trip.location_id,
            mode=trip.mode,
            action=trip.action,
            reach=trip.reach,
            sentence=api.say_why(trip, language, currency),
            value=trip.value,
            samples=trip.samples,
            threshold=trip.threshold,
            figures=dict(trip.figures),
            outcome=trip.outcome,
            tripped_at=to_iso(trip.tripped_at),
            cleared_at=None if trip.cleared_at is None else to_iso(trip.cleared_at),
            cleared_value=trip.cleared_value,
            cleared_by=trip.cleared_by,
        )


class StandingReply(RuleReply):
    """A rule and how it stands."""

    tripped: int = Field(description="How many products, places or shops it stands tripped on.")
    trips_30_days: int = Field(description="How often it tripped in the last 30 days, in shadow too.")
    shadow_trips_30_days: int = Field(description="How often in the last 30 days it would have acted.")
    last_trip: TripReply | None

    @classmethod
    def told(cls, standing: Standing, language: str, currency: str) -> StandingReply:
        """The reply for a reader of a language."""
        last = None if standing.last is None else TripReply.of(standing.last, language, currency)
        return cls.model_validate(
            {
                **_fields(standing.rule),
                "tripped": standing.tripped,
                "trips_30_days": standing.trips_of_late,
                "shadow_trips_30_days": standing.shadow_trips_of_late,
                "last_trip": last,
            }
        )


class RulesReply(BaseModel):
    """Every rule there is."""

    items: list[StandingReply]


class RuleRequest(BaseModel):
    """Settings of a rule to change; those left out stay as they are."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    rule: str = Field(description="The rule's name.", max_length=60, examples=["critical_stock"])
    settings: dict[str, StrictInt | str] = Field(
        description="Names and values, as `GET` shows them.", examples=[_EXAMPLE["settings"]]
    )


def _fields(rule: Rule) -> dict[str, object]:
    kind = api.describe(rule.name)
    return {
        "rule": rule.name,
        "mode": rule.settings.mode,
        "settings": api.list_settings(rule.settings),
        "bounds": {
            name: BoundReply(least=bound.least, most=bound.most, unit=bound.unit)
            for name, bound in api.list_bounds(rule.name).items()
        },
        "about": kind.about,
        "danger": kind.danger.value,
        "trip": kind.trip,
        "clear": kind.clear,
        "largest_reach": kind.largest,
        "revision": rule.revision,
        "changed_by": rule.changed_by,
        "changed_at": None if rule.changed_at is None else to_iso(rule.changed_at),
    }

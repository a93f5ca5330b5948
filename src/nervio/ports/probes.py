"""Figures that one module measures and another watches: what a probe is asked and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from nervio.kernel.time import Instant


class About(StrEnum):
    """What the subjects of a probe are."""

    TENANT = "tenant"
    PRODUCT = "product"
    LOCATION = "location"
    LEVEL = "level"
    """A product at a location."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a probe is asked. `bound`: subjects whose value lies beyond it on the calm side may be left out of the answer,
    except those in `subjects`, which are answered wherever there is anything to say of them. Windows end at `now`; the
    baseline is what came before the window. A probe that needs none of them ignores them. Of those of the subjects that are
    `tripped` nobody reads figures."""

    now: Instant
    bound: int
    subjects: frozenset[str] = frozenset()
    tripped: frozenset[str] = frozenset()
    window_seconds: int = 0
    baseline_seconds: int = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """The value of one subject in the probe's unit, and how many observations it rests on.

    `subject` is an id that never changes, empty for the tenant itself. `figures` is what a sentence about it quotes; each
    number's name ends in its unit (`_milli`, `_minor`, `_bp`, `_percent`, `_days`, `_seconds`, `_count`), texts are names.
    """

    subject: str
    value: int
    samples: int = 1
    product_id: str | None = None
    location_id: str | None = None
    figures: Mapping[str, int | str] = field(default_factory=dict)

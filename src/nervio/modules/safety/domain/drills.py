"""Rules of drills on plain values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, time, timedelta

from nervio.kernel.errors import invalid
from nervio.kernel.time import DAY, Instant
from nervio.modules.safety.contracts.drills import Drill, DrillScope, DrillState
from nervio.modules.safety.contracts.halts import STOPPABLE_MODULES

PARTS = (None, *STOPPABLE_MODULES)
"""What is drilled of a shop: all of it, and each module by itself."""
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def check_part(module: str | None) -> str | None:
    """A module that can be drilled, or None for the whole."""
    if module not in PARTS:
        raise invalid("unknown_module", f"module must be one of {', '.join(STOPPABLE_MODULES)}.", field="module")
    return module


def scopes_of(tenant_ids: Iterable[str]) -> list[tuple[str | None, str | None]]:
    """Every scope that matters: the installation, and of each tenant the whole and every module."""
    return [(None, None), *((tenant_id, part) for tenant_id in tenant_ids for part in PARTS)]


def stand_of(
    scope: tuple[str | None, str | None],
    last: Mapping[tuple[str | None, str | None], Drill],
    now: Instant,
    red_after_days: int,
) -> DrillScope:
    """How a scope stands, told from its last drill."""
    drill = last.get(scope)
    if drill is None:
        state = DrillState.NEVER
    elif drill.outcome == "running":
        state = DrillState.RUNNING
    elif drill.outcome == "failed":
        state = DrillState.FAILED
    elif drill.started_at <= now - red_after_days * DAY:
        state = DrillState.OLD
    else:
        state = DrillState.PASSED
    return DrillScope(*scope, state, drill)


def last_slot(weekday: str, at: time, now: datetime) -> datetime:
    """The last moment, not after `now`, that was that day of the week and that time on the clocks of `now`'s zone."""
    today = now.replace(hour=at.hour, minute=at.minute, second=0, microsecond=0)
    slot = today - timedelta(days=(now.weekday() - WEEKDAYS.index(weekday)) % 7)
    return slot if slot <= now else slot - timedelta(days=7)

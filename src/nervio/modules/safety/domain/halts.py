"""Rules of the stop on plain values."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from nervio.kernel.errors import invalid
from nervio.kernel.ids import is_id
from nervio.kernel.time import SECOND, Instant, to_iso
from nervio.modules.safety.contracts.halts import (
    LEVELS,
    STOPPABLE_MODULES,
    Freeze,
    HaltRecord,
    Policy,
    Status,
    Target,
)

LONGEST_REASON = 500


def check_reason(reason: str) -> str:
    """The reason without surrounding space. It ends up on every screen and in the journal, so there must be one."""
    given = reason.strip()
    if not 1 <= len(given) <= LONGEST_REASON or not given.isprintable():
        raise invalid(
            "invalid_reason", f"reason must say why, in 1 to {LONGEST_REASON} printable characters.", field="reason"
        )
    return given


def check_level(level: str) -> str:
    """One of the levels."""
    if level not in LEVELS:
        raise invalid("invalid_level", f"level must be one of {', '.join(LEVELS)}.", field="level")
    return level


def check_target(target: Target) -> Target:
    """Refuses a target that would stop nothing."""
    if target.module is not None and target.module not in STOPPABLE_MODULES:
        raise invalid("unknown_module", f"module must be one of {', '.join(STOPPABLE_MODULES)}.", field="module")
    if target.location_id is not None and not is_id(target.location_id):
        raise invalid("invalid_location", "location_id must be the id of a location.", field="location_id")
    return target


def status_of(halts: Iterable[HaltRecord]) -> Status:
    """The status that the halts in force add up to; where there are several, the widest and strictest speaks."""

    def rank(halt: HaltRecord) -> tuple[int, int, int, str]:
        named = sum(part is not None for part in (halt.tenant_id, halt.module, halt.location_id))
        return named, -LEVELS.index(halt.level), halt.activated_at, halt.id

    worst = min(halts, key=rank, default=None)
    if worst is None:
        return Status(active=False)
    return Status(True, to_iso(worst.activated_at), worst.activated_by, worst.reason)


# -- time ------------------------------------------------------------------------------------------------------------

SHORTEST_STOP_SECONDS = 1
LONGEST_STOP_SECONDS = 366 * 24 * 3600
LONGEST_STAGE_SECONDS = 3600
LONGEST_CONFIRMATION_SECONDS = 7 * 24 * 3600


def check_length(seconds: float | None, until: Instant | None) -> None:
    """Refuses a stop with two ends, and one that is over before anybody notices it. `until` is compared in the transaction."""
    if seconds is not None and until is not None:
        raise invalid("invalid_expiry", "Give for_seconds or expires_at, not both.", field="expires_at")
    if seconds is not None and not SHORTEST_STOP_SECONDS <= seconds <= LONGEST_STOP_SECONDS:
        raise invalid(
            "invalid_expiry",
            "A stop lasts between a second and a year; for_seconds says how long.",
            field="for_seconds",
        )


def expiry_of(freeze: Freeze, now: Instant) -> Instant | None:
    """When a stop that is asked for now runs out; None for one that is latched."""
    if freeze.seconds is not None:
        return now + round(freeze.seconds * SECOND)
    if freeze.until is None:
        return None
    if not SHORTEST_STOP_SECONDS * SECOND <= freeze.until - now <= LONGEST_STOP_SECONDS * SECOND:
        raise invalid("invalid_expiry", "expires_at must lie ahead, and within a year.", field="expires_at")
    return freeze.until


def changed_policy(policy: Policy, changes: Mapping[str, Any]) -> Policy:
    """The policy with the fields that are given changed, every figure in its bounds."""
    return check_policy(replace(policy, **changes))


def check_policy(policy: Policy) -> Policy:
    """The policy, with every figure in its bounds."""
    check_level(policy.default_level)
    bounds = {
        "thaw_stage_seconds": (policy.thaw_stage_seconds, 0, LONGEST_STAGE_SECONDS),
        "thaw_jitter_seconds": (policy.thaw_jitter_seconds, 0, LONGEST_STAGE_SECONDS),
        "confirm_within_seconds": (policy.confirm_within_seconds, 30, LONGEST_CONFIRMATION_SECONDS),
    }
    for field, (value, least, most) in bounds.items():
        if not least <= value <= most:
            raise invalid("invalid_policy", f"{field} must be from {least} to {most}.", field=field)
    return policy


def is_at_least(halt: HaltRecord, expires_at: Instant | None) -> bool:
    """Whether a halt of the same scope and level already holds for as long as what is asked for, and nobody thaws it."""
    if halt.next_stage_at is not None:
        return False
    return halt.expires_at is None or (expires_at is not None and halt.expires_at >= expires_at)


def level_below(level: str) -> str | None:
    """The next stage of a thaw; None after the last."""
    place = LEVELS.index(level)
    return LEVELS[place - 1] if place else None


def stage_length(halt_id: str, level: str, seconds: int, jitter_seconds: int) -> int:
    """Microseconds until the next stage of one tenant's thaw: never shorter than asked for, longer by a share of the jitter
    that differs from halt to halt, so that many shops that thaw at once do not come back in step. No seconds are none."""
    if not seconds:
        return 0
    share = zlib.crc32(f"{halt_id}|{level}".encode()) / 2**32
    return round((seconds + share * jitter_seconds) * SECOND)

"""Rules of the stop on plain values."""

from __future__ import annotations

from collections.abc import Iterable

from nervio.kernel.errors import invalid
from nervio.kernel.ids import is_id
from nervio.kernel.time import to_iso
from nervio.modules.safety.contracts import LEVELS, STOPPABLE_MODULES, HaltRecord, Status, Target

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

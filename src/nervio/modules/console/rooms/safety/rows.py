"""What the stop panel shows, drawn from what safety knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nervio.kernel.time import Instant, to_datetime
from nervio.modules.console.requests import Frame, name_of
from nervio.modules.safety import api as safety
from nervio.modules.safety.api import drills
from nervio.modules.safety.contracts.drills import Drill, DrillScope
from nervio.modules.safety.contracts.halts import LEVELS, STOPPABLE_MODULES, HaltRecord, Policy, Scope, ThawRequest

LENGTHS = ("", "600", "1800", "7200", "28800", "86400")
"""Seconds of a stop that are offered; empty: until somebody resumes."""


def halt_row(frame: Frame, halt: HaltRecord, people: Mapping[str, str]) -> dict[str, Any]:
    """A stop, in force or over."""
    return {
        "id": halt.id,
        "scope": scope_of(frame, halt.tenant_id, halt.module, halt.location_id),
        "level": halt.level,
        "asked_level": halt.asked_level or halt.level,
        "reason": halt.reason,
        "by": name_of(people, halt.activated_by),
        "since": to_datetime(halt.activated_at),
        "expires_at": moment(halt.expires_at),
        "next_stage_at": moment(halt.next_stage_at),
        "thawed_by": "" if halt.thawed_by is None else name_of(people, halt.thawed_by),
        "cleared_by": "" if halt.cleared_by is None else name_of(people, halt.cleared_by),
        "cleared_at": moment(halt.cleared_at),
        "clear_reason": halt.clear_reason or "",
        "may_thaw": frame.may(safety.RESUME_INSTALLATION if halt.tenant_id is None else safety.RESUME),
    }


def request_row(frame: Frame, request: ThawRequest, people: Mapping[str, str]) -> dict[str, Any]:
    """What waits for a second person."""
    is_mine = request.requested_by == frame.ctx.actor_id
    may = frame.may(safety.RESUME_INSTALLATION if request.tenant_id is None else safety.RESUME)
    return {
        "id": request.id,
        "kind": request.kind,
        "scope": scope_of(frame, request.tenant_id, None, None),
        "reason": request.reason if request.kind == "thaw" else "",
        "by": name_of(people, request.requested_by),
        "expires_at": to_datetime(request.expires_at),
        "may_confirm": may and not is_mine,
        "may_refuse": may,
    }


def policy_row(frame: Frame, policy: Policy) -> dict[str, Any]:
    """A policy as its form shows it."""
    is_whole = policy.tenant_id is None
    return {
        "scope": (Scope.INSTALLATION if is_whole else Scope.TENANT).value,
        "title": scope_of(frame, policy.tenant_id, None, None),
        "two_person_thaw": policy.two_person_thaw,
        "thaw_stage_seconds": policy.thaw_stage_seconds,
        "thaw_jitter_seconds": policy.thaw_jitter_seconds,
        "confirm_minutes": policy.confirm_within_seconds // 60,
        "default_level": policy.default_level,
        "may_write": frame.may(safety.WRITE_INSTALLATION_POLICY if is_whole else safety.WRITE_POLICY),
    }


def choices(frame: Frame) -> dict[str, list[tuple[str, str]]]:
    """What the form of a stop offers."""
    t = frame.t
    whose = [(Scope.TENANT.value, frame.shell.shop_name)]
    if frame.may(safety.STOP_INSTALLATION):
        whose.append((Scope.INSTALLATION.value, t("stop.installation")))
    return {
        "scopes": whose,
        "levels": [("", t("safety.level_default")), *((level, t(f"stop.level_{level}")) for level in reversed(LEVELS))],
        "modules": [("", t("safety.any_module")), *((one, t(f"safety.module_{one}")) for one in STOPPABLE_MODULES)],
        "places": [("", t("safety.any_place")), *frame.places],
        "lengths": [(one, t(f"safety.for_{one or 'ever'}")) for one in LENGTHS],
    }


def drill_row(frame: Frame, stand: DrillScope, people: Mapping[str, str]) -> dict[str, Any]:
    """A scope and its last drill."""
    is_whole = stand.tenant_id is None
    return {
        "scope": stand.scope.value,
        "module": stand.module or "",
        "title": scope_of(frame, stand.tenant_id, stand.module, None),
        "state": stand.state.value,
        "red": stand.is_red,
        "last": None if stand.last is None else past_drill(frame, stand.last, people),
        "may_run": frame.may(drills.RUN_INSTALLATION_DRILL if is_whole else drills.RUN_DRILL),
    }


def past_drill(frame: Frame, drill: Drill, people: Mapping[str, str]) -> dict[str, Any]:
    """A drill and how it went."""
    t = frame.t
    known = [f"safety.finding_{code}" for code in drill.findings]
    return {
        "title": scope_of(frame, drill.tenant_id, drill.module, None),
        "outcome": drill.outcome,
        "at": to_datetime(drill.started_at),
        "by": name_of(people, drill.asked_by),
        "freeze": _milliseconds(frame, drill.freeze_us),
        "everywhere": _milliseconds(frame, drill.everywhere_us),
        "processes": drill.processes,
        "findings": [t(key) if t.knows(key) else code for key, code in zip(known, drill.findings, strict=True)],
    }


def scope_of(frame: Frame, tenant_id: str | None, module: str | None, location_id: str | None) -> str:
    """A scope in words."""
    parts = [frame.t("stop.installation") if tenant_id is None else frame.shell.shop_name]
    if module is not None:
        key = f"safety.module_{module}"
        parts.append(frame.t(key) if frame.t.knows(key) else module)
    if location_id is not None:
        parts.append(frame.place_name(location_id))
    return " · ".join(parts)


def moment(at: Instant | None) -> Any:
    """A time to show, or nothing."""
    return None if at is None else to_datetime(at)


def _milliseconds(frame: Frame, microseconds: int | None) -> str:
    if microseconds is None:
        return "—"
    return f"{frame.formats.number(max(1, round(microseconds / 1000)))} ms"

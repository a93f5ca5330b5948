"""What the pages of the stop are given in the suites of the shell."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from nervio.modules.console.i18n import Texts

NOW = datetime(2026, 3, 12, 20, 41, tzinfo=UTC)
ENTRY = "0195a8c2-7f1e-7000-8000-00000000000a"
PLACES = [("loc-1", "Salón"), ("loc-2", "Depósito")]


def _safety(t: Texts) -> dict[str, Any]:
    halt = {
        "id": ENTRY, "scope": "Almacén La Esquina · Ventas · Depósito", "level": "read_only", "asked_level": "all",
        "reason": "Precios mal cargados en góndola 4", "by": "Marina Duarte", "since": NOW,
        "expires_at": NOW + timedelta(minutes=30), "next_stage_at": None, "thawed_by": "", "cleared_by": "",
        "cleared_at": None, "clear_reason": "", "may_thaw": True,
    }  # fmt: skip
    thawing = {
        **halt,
        "id": "halt-2",
        "expires_at": None,
        "next_stage_at": NOW + timedelta(seconds=9),
        "thawed_by": "Joaquín",
    }
    over = {**halt, "id": "halt-3", "cleared_by": "nervio", "cleared_at": NOW, "clear_reason": "expired"}
    request = {
        "id": "request-1", "kind": "thaw", "scope": "Almacén La Esquina", "reason": "Precios corregidos", "by": "Joaquín",
        "expires_at": NOW + timedelta(minutes=15), "may_confirm": True, "may_refuse": True,
    }  # fmt: skip
    mine = {**request, "id": "request-2", "kind": "policy", "reason": "", "may_confirm": False}
    policies = [
        {"scope": scope, "title": title, "two_person_thaw": True, "thaw_stage_seconds": 10, "thaw_jitter_seconds": 5,
         "confirm_minutes": 15, "default_level": "all", "may_write": True}
        for scope, title in (("tenant", "Almacén La Esquina"), ("installation", t("stop.installation")))
    ]  # fmt: skip
    choices = {
        "scopes": [("tenant", "Almacén La Esquina")], "levels": [("", t("safety.level_default"))],
        "modules": [("", t("safety.any_module"))], "places": [("", t("safety.any_place")), *PLACES],
        "lengths": [("", t("safety.for_ever"))],
    }  # fmt: skip
    return {"halts": [halt, thawing], "requests": [request, mine], "history": [over], "policies": policies,
            "choices": choices, "may_stop": True, "error": t("problem.invalid_expiry")}  # fmt: skip


def _safety_drills(t: Texts) -> dict[str, Any]:
    drill = {
        "title": "Almacén La Esquina · Ventas", "outcome": "failed", "at": NOW, "by": "nervio", "freeze": "12 ms",
        "everywhere": "31 ms", "processes": 4, "findings": [t("safety.finding_passed_during")],
    }  # fmt: skip
    passed = {**drill, "title": "Almacén La Esquina", "outcome": "passed", "findings": []}
    scopes = [
        {"scope": "tenant", "module": "sales", "title": drill["title"], "state": "failed", "red": True, "last": drill, "may_run": True},
        {"scope": "installation", "module": "", "title": t("stop.installation"), "state": "never", "red": True, "last": None, "may_run": False},
        {"scope": "tenant", "module": "", "title": passed["title"], "state": "passed", "red": False, "last": passed, "may_run": True},
    ]  # fmt: skip
    return {"scopes": scopes, "red": 2, "history": [drill, passed], "error": ""}


CONTEXTS: dict[str, Callable[[Texts], dict[str, Any]]] = {"safety": _safety, "safety_drills": _safety_drills}
PATHS = {"safety": "/console/safety", "safety_drills": "/console/safety/drills"}

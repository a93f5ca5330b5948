"""What the pages of background jobs are given in the suites of the shell."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from nervio.modules.console.i18n import Texts
from nervio.modules.console.rooms.jobs.routes import COLUMNS
from nervio.modules.console.tables import Choice, Filter, Table

NOW = datetime(2026, 3, 12, 20, 41, tzinfo=UTC)
JOB = "0195a8c2-7f1e-7000-8000-0000000000a1"
ERROR = "TimeoutError: " + "https://proveedor.example/" + "lista" * 30


def _row(t: Texts, state: str, done: int | None = 12_400, total: int | None = 21_000, **more: Any) -> dict[str, Any]:
    title = t("jobs.name.console.import_products")
    row = {"id": JOB, "title": title, "state": state, "done": done, "total": total, "at": NOW, "error": ""}
    return {**row, **more}


def _jobs(t: Texts) -> dict[str, Any]:
    rows = [
        _row(t, "running"),
        _row(t, "waiting", error=ERROR),
        _row(t, "done", 21_000),
        _row(t, "failed", None, None, error=ERROR),
        _row(t, "cancelled", 3, None, title="retired.job"),
    ]
    table = Table(
        path="/console/jobs", columns=COLUMNS, name="jobs", shown=5, next_cursor="c2",
        filters=(Filter("state", "jobs.any_state", (Choice("failed", t("jobs.state.failed")),)),),
    )  # fmt: skip
    return {"table": table, "rows": rows}


def job(t: Texts, state: str = "failed", reason: str = "") -> dict[str, Any]:
    """A job in a state; one that waits does so for a reason."""
    is_over = state in ("done", "failed", "cancelled")
    facts = {
        **_row(t, state, error=ERROR if state in ("waiting", "failed") else ""), "name": "console.import_products",
        "by": "Marina Duarte", "attempts": 2, "most_attempts": 4, "is_over": is_over,
        "can_retry": is_over and state != "done", "run_at": NOW + timedelta(seconds=7), "deadline_at": NOW,
        "ended_at": NOW if is_over else None, "retry_key": f"{JOB} 1",
    }  # fmt: skip
    result = '{\n  "saved": 21000,\n  "refused": 0\n}' if state == "done" else ""
    return {"job": facts, "reason": reason, "payload": '{"rows": 21000}', "result": result, "error": "",
            "is_live": not is_over}  # fmt: skip


CONTEXTS: dict[str, Callable[[Texts], dict[str, Any]]] = {"jobs": _jobs, "job": job}
PATHS = {"jobs": "/console/jobs", "job": f"/console/jobs/{JOB}"}

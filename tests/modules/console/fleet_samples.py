"""What the pages of AI work are given in the suites of the shell."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from nervio.modules.console.contracts import SavedView
from nervio.modules.console.i18n import Texts
from nervio.modules.console.rooms.tasks import reading
from nervio.modules.console.rooms.tasks.routes import COLUMNS
from nervio.modules.console.tables import Choice, Filter, Table

NOW = datetime(2026, 3, 12, 20, 41, tzinfo=UTC)
TASK = "0195a8c2-7f1e-7000-8000-0000000000f1"
QUESTION = (
    "¿Qué productos conviene pedir el lunes para no quedarnos sin stock el fin de semana largo, y cuántos de cada uno?"
)
ANSWER = (
    "Con las ventas de las últimas cuatro semanas:\n\n"
    "• Yerba mate suave 1 kg: quedan 3, se venden 11 por semana. Pedir 24.\n"
    "• Galletitas de agua pack × 3: quedan 0. Pedir 30.\n\n"
    "Del resto alcanza hasta el jueves. " + "https://proveedor.example/" + "pedido" * 30
)
HOST = "local-caja-principal-8f3a2c"


def _row(n: int, state: str, kind: str = "chat", **more: Any) -> dict[str, Any]:
    return {
        "id": TASK, "about": QUESTION, "kind": kind, "model": "gemini-2.5-flash" if n % 2 else "", "state": state,
        "priority": ("normal", "high", "low")[n % 3], "worker": HOST if state in ("running", "done") else "",
        "took": 2.34 + 7 * n if state == "done" else None, "at": NOW - timedelta(minutes=9 * n), "error": "", **more,
    }  # fmt: skip


def _tasks(t: Texts) -> dict[str, Any]:
    error = "HTTP 429: Resource has been exhausted (e.g. check quota)."
    rows = [
        _row(0, "running"),
        _row(1, "waiting", error=error),
        _row(2, "done", "ocr", about='{"file":"facturas/0001-00004711.pdf","language":"es"}'),
        _row(3, "done"),
        _row(4, "failed", error=error),
        _row(5, "cancelled", "price-tags"),
        _row(6, "done", "embed", about='{"texts":["Yerba mate suave 1 kg","Galletitas de agua pack × 3"]}'),
    ]
    table = Table(
        path="/console/tasks", columns=COLUMNS, name="tasks",
        filters=(Filter("state", "tasks.any_state", (Choice("failed", t("tasks.state.failed")),)),
                 Filter("kind", "tasks.any_kind", (Choice("chat", t("fleet.kind.chat")),))),
        views=(SavedView("Las que fallaron", "state=failed"),), shown=7, previous_cursor="c0", next_cursor="c2",
    )  # fmt: skip
    figures = {"waiting": 12, "last_minute": 38, "p95": 9.4, "average": 2.1, "error_rate": "1,7\u00a0%", "errors": 4,
               "last_error": error}  # fmt: skip
    return {"table": table, "rows": rows, "figures": figures}


def task(_t: Texts, state: str = "done", reason: str = "") -> dict[str, Any]:
    """A task in a state; one that waits does so for a reason."""
    error = "HTTP 503: the model is overloaded, try again later" if state in ("waiting", "failed") else ""
    payload = {"messages": [{"role": "system", "content": "Breve."}, {"role": "user", "content": QUESTION}]}
    moments = {"run_at": NOW + timedelta(seconds=7), "deadline_at": NOW + timedelta(hours=2), "started_at": NOW}
    is_over = state in ("done", "failed", "cancelled")
    facts = {
        **_row(3, state), **moments, "error": error, "by": "Marina Duarte", "attempts": 2, "most_attempts": 4,
        "is_over": is_over, "can_retry": is_over and state != "done", "ended_at": NOW if is_over else None,
        "retry_key": f"{TASK} 1",
    }  # fmt: skip
    attempt = {
        "n": 1,
        "worker": HOST,
        "ending": "failed",
        "error": "HTTP 503: overloaded",
        "started_at": NOW,
        "took": 0.04,
    }
    last = {**attempt, "n": 2, "ending": state if is_over else "", "error": "", "took": 2.34 if is_over else None}
    return {
        "task": facts,
        "reason": reason,
        "asked": reading.conversation(payload),
        "payload": reading.pretty(payload),
        "answer": reading.cut(ANSWER) if state == "done" else None,
        "result": reading.pretty({"text": ANSWER, "finish": "stop"}) if state == "done" else None,
        "usage": reading.usage(
            {"input_tokens": 1830, "output_tokens": 212, "model": "gemini-2.5-flash", "cached": False}
        ),
        "attempts": [attempt] if state == "waiting" else [attempt, last],
        "error": "",
        "is_live": not is_over,
    }


def _ask(t: Texts) -> dict[str, Any]:
    return {
        "typed": {"question": QUESTION, "model": "un modelo", "priority": "normal"},
        "errors": {"": "", "question": "", "model": t("problem.invalid_model"), "priority": ""},
        "models": ["deepseek-chat", "gemini-2.5-flash"],
        "is_anybody_there": False,
        "key": "k",
    }


def _workers(_t: Texts) -> dict[str, Any]:
    worker = {
        "id": HOST, "status": "busy", "transport": "local", "kinds": ("chat", "ocr", "price-tags"),
        "models": ("gemini-2.5-flash", "deepseek-chat"), "in_flight": 3, "credit": 4, "done": 18_204, "failed": 31,
        "mean": 2.34, "version": "0.1.0", "language": "python", "silent": None,
    }  # fmt: skip
    idle = {
        **worker,
        "id": "deposito-go-1",
        "status": "idle",
        "models": (),
        "language": "go",
        "in_flight": 0,
        "mean": None,
    }
    gone = {**idle, "id": "vieja-notebook", "status": "gone", "silent": 93_000.0}
    learnt = [
        {
            "kind": kind,
            "model": model,
            "worker": where,
            "samples": samples,
            "seconds": seconds,
            "off": off,
            "known": known,
        }
        for kind, model, where, samples, seconds, off, known in (
            ("chat", "", "", 18_204, 2.34, 22, "fair"),
            ("chat", "gemini-2.5-flash", HOST, 412, 1.9, 9, "sure"),
            ("ocr", "", "deposito-go-1", 2, 14.2, 0, "few"),
            ("price-tags", "", HOST, 60, 0.04, 160, "rough"),
        )
    ]
    used = {"submitted": 1204, "done": 1180, "failed": 4, "cancelled": 20, "attempts_failed": 31, "worked": 8_154.0,
            "input_tokens": 1_204_811, "output_tokens": 98_220}  # fmt: skip
    usage = [{"kind": kind, **used} for kind in ("chat", "ocr", "price-tags")]
    return {"workers": [worker, idle, gone], "present": 2, "predictions": learnt, "usage": usage, "month": NOW}


def limits(t: Texts, *, is_wrong: bool = False) -> dict[str, Any]:
    """Limits of which some are reached; or a form that was not taken."""
    row = {"currency": "", "free_at": NOW}
    quotas = [
        {**row, "name": "tasks_per_day", "used": "5.000", "limit": "5.000", "percent": 100, "state": "reached"},
        {**row, "name": "tokens_per_month", "used": "41.204.811", "limit": "50.000.000", "percent": 82, "state": "near"},
        {**row, "name": "money_per_month", "currency": "USD", "used": "US$\u00a07,412077", "limit": "US$\u00a020,00",
         "percent": 37, "state": ""},
    ]  # fmt: skip
    line = {"kind": "chat", "currency": "USD", "tasks": 1180, "tokens": 1_303_031, "today": "US$\u00a00,412301",
            "month": "US$\u00a07,412077"}  # fmt: skip
    values = {"tasks_per_day": "5000", "tokens_per_month": "50000000", "most_running": "8"}
    counts = ("tasks_per_day", "tasks_per_month", "tokens_per_day", "tokens_per_month", "most_running")
    wrong = t("limits.not_a_number") if is_wrong else ""
    money = {"n": 0, "currency": "USD", "per_day": "", "per_month": "20,00", "currency_error": "", "per_day_error": "",
             "per_month_error": t("limits.not_money") if is_wrong else ""}  # fmt: skip
    return {
        "quotas": quotas, "running": 3, "most_running": 8,
        "lines": [line, {**line, "kind": "price-tags", "currency": "", "today": "", "month": ""}, {**line, "kind": "embed"}],
        "totals": [{"currency": "USD", "today": "US$\u00a00,824602", "month": "US$\u00a014,824154"}], "since": NOW,
        "counts": [{"name": name, "value": values.get(name, ""), "error": wrong if name == "tasks_per_day" else ""}
                   for name in counts],
        "money": [money, {**money, "n": 1, "currency": "", "per_month": "", "per_month_error": ""}],
        "general": t("problem.idempotency_key_reused") if is_wrong else "", "key": "k", "saved": not is_wrong,
        "changed_by": "Marina Duarte", "changed_at": NOW, "reused": 1204, "saved_tokens": 812_004, "saved_money": "US$\u00a03,104200", "months": [("2026-03", "mar 2026"), ("2026-02", "feb 2026")],
    }  # fmt: skip


CONTEXTS: dict[str, Callable[[Texts], dict[str, Any]]] = {
    "tasks": _tasks, "task": task, "ask": _ask, "workers": _workers, "limits": limits,
}  # fmt: skip

PATHS = {
    "tasks": "/console/tasks", "task": f"/console/tasks/{TASK}", "ask": "/console/ask", "workers": "/console/workers",
    "limits": "/console/limits",
}  # fmt: skip

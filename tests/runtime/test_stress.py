"""`nervio stress` against real servers, and its judgement on histories that are wrong."""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nervio.kernel.time import SECOND, to_iso
from nervio.runtime.cli.output import Exit
from nervio.runtime.stress.buyers import Seen
from nervio.runtime.stress.judging import StopTimes, Verdict, judge
from tests.builders import NOON
from tests.runtime.program import Server, a_server, nervio
from tests.runtime.test_server import ok
from tests.runtime.test_two_processes import a_port, shop_url

__all__ = ["shop_url"]

SMALL = ("--buyers", "12", "--units", "80", "--seconds", "3", "--json")


def stressed(server: Server, *arguments: str) -> tuple[int, dict[str, Any]]:
    """The exit code and what it printed."""
    run = nervio(
        server.folder, "stress", *arguments, STRESS_EMAIL="admin@nervio.local", STRESS_PASSWORD=server.first_password()
    )
    assert run.returncode in {0, Exit.FOUND}, run.stdout + run.stderr
    return run.returncode, json.loads(run.stdout)


def it_held(verdict: Mapping[str, Any]) -> None:
    assert verdict["broken"] == []
    assert (verdict["oversold"], verdict["lost"], verdict["doubled"], verdict["commits_after_stop"]) == (0, 0, 0, 0)
    assert 0 < verdict["sold"] <= verdict["units"]
    for what in ("cut", "repeated", "halted", "held", "released", "sold_after_thaw"):
        assert verdict[what] > 0, f"nothing was {what}, so nothing is shown"


def left_behind(server: Server) -> list[int]:
    """What stock the test left, by level, and that the shop goes on."""
    levels = ok(server.call("GET", "/api/stock/levels", headers=server.login()))["items"]
    assert server.call("GET", "/api/admin/emergency/status").json()["active"] is False
    return [level["on_hand_milli"] for level in levels]


@pytest.mark.slow
def test_a_server_on_sqlite_holds_what_it_promises(tmp_path: Path, free_port: int) -> None:
    with a_server(tmp_path, free_port) as server:
        code, verdict = stressed(server, "--url", server.url, *SMALL)
        assert code == 0
        it_held(verdict)
        assert verdict["refused"] > 0
        assert set(left_behind(server)) <= {0}
    with a_server(tmp_path, free_port, NERVIO_ENVIRONMENT="production") as server:
        refused = nervio(tmp_path, "stress", "--url", server.url, STRESS_TOKEN="any")
        assert (refused.returncode, "production" in refused.stderr) == (Exit.USAGE, True), refused.stderr
    gone = nervio(tmp_path, "stress", "--url", f"http://127.0.0.1:{free_port}", STRESS_TOKEN="any")
    assert gone.returncode == Exit.UNREACHABLE
    assert "Traceback" not in gone.stderr


@pytest.mark.slow
@pytest.mark.services("postgres")
def test_two_processes_on_postgresql_hold_what_they_promise(tmp_path: Path, shop_url: str) -> None:
    given = {"DATABASE_URL": shop_url.replace("postgresql+asyncpg", "postgresql")}
    with ExitStack() as stack:
        first = stack.enter_context(a_server(tmp_path, a_port(), "up", **given))
        second = stack.enter_context(a_server(tmp_path, a_port(), "serve", "--roles", "web", **given))
        code, verdict = stressed(first, "--url", first.url, "--url", second.url, *SMALL)
        assert code == 0
        it_held(verdict)
        assert set(left_behind(first)) <= {0}


# -- the judgement -----------------------------------------------------------------------------------------------------

STOP = StopTimes(10.0, 12.0, to_iso(NOON), to_iso(NOON + 2 * SECOND), 5.0, 0.1)


def entry(document: str, units: int, seconds: float = -1.0, kind: str = "sale") -> dict[str, Any]:
    posting = {"unit": "milli", "amount": units * 1000}
    money = {"unit": "minor", "amount": 77}
    at = to_iso(NOON + int(seconds * SECOND))
    return {"document_id": document, "kind": kind, "recorded_at": at, "postings": [money, posting]}


def a_history() -> tuple[Seen, list[dict[str, Any]], dict[str, int]]:
    seen = Seen(enough=1, sold={"a": 2, "b": 1}, answered=[(9.0, 9.1), (12.5, 12.6)], milliseconds=[1.0, 2.0, 9.0])
    entries = [entry("r", 5, -9, "receipt"), entry("a", 2), entry("b", 1, 3)]
    return seen, entries, {"on_hand_milli": 2000}


def judged(**changed: Any) -> Verdict:
    seen, entries, level = a_history()
    return judge(5, changed.get("seen", seen), changed.get("entries", entries), changed.get("level", level), STOP)


def test_a_history_that_is_right_breaks_nothing() -> None:
    verdict = judged()
    assert verdict.broken == []
    assert (verdict.sold, verdict.sold_after_thaw, verdict.p50_ms, verdict.p99_ms) == (3, 1, 2.0, 9.0)


def test_each_broken_promise_is_found() -> None:
    seen, entries, level = a_history()
    assert judged(entries=entries[:2], level={"on_hand_milli": 3000}).broken == ["lost"]
    assert judged(entries=[*entries, entry("c", 1)], level={"on_hand_milli": 1000}).broken == ["doubled"]
    assert judged(entries=[*entries, entry("a", 2)], level={"on_hand_milli": 0}).broken == ["doubled"]
    assert judged(level={"on_hand_milli": 3000}).broken == ["oversold"], "units that came from nowhere"
    assert judged(level={"on_hand_milli": -1000}).oversold > 0
    assert judged(entries=[*entries[:2], entry("b", 1, 1.0)]).broken == ["commits_after_stop"], "by the journal"
    assert judged(seen=replace(seen, answered=[(10.5, 11.0)])).broken == ["commits_after_stop"], "by an answer"
    assert judged(seen=replace(seen, other_answers=1)).broken == ["other_answers"]
    assert level == {"on_hand_milli": 2000}

"""The rounds, on contenders in memory: who oversells is caught, who cannot run is left out, and the exit code says so."""

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from bench import __main__ as command
from bench.report import Options, goals_of
from bench.stock import database, load, run
from bench.stock.contender import Audit, Contender, Entry, UnavailableError

PLAN = run.Plan(
    warm_seconds=0.01, seconds=0.05, last_units=5, buyers=40, ours_attempts=0, steady=(("hot_64", load.HOT, 4),)
)


class Shelf:
    """Sells what it has, remembers keys; `blind` sells to everybody, `amnesia` forgets the keys."""

    durable = True
    stopped = 0

    def __init__(self, *, blind: bool = False, amnesia: bool = False) -> None:
        self.blind, self.amnesia = blind, amnesia
        self.units: list[int] = []
        self.sold: list[int] = []
        self.keys: set[str] = set()

    async def start(self, workdir: Path) -> None:
        assert list(workdir.iterdir()) == []  # noqa: ASYNC240 - an empty directory

    async def prepare(self, units: Sequence[int]) -> None:
        self.units, self.sold, self.keys = list(units), [0] * len(units), set()

    async def sell(self, sku_index: int, key: str) -> bool:
        await asyncio.sleep(0.001)
        if key in self.keys and not self.amnesia:
            return True
        if self.sold[sku_index] >= self.units[sku_index] and not self.blind:
            return False
        self.sold[sku_index] += 1
        self.keys.add(key)
        return True

    async def audit(self) -> Audit:
        return Audit(sold=self.sold, movements=sum(self.sold))

    async def stop(self) -> None:
        Shelf.stopped += 1


class Absent(Shelf):
    async def start(self, workdir: Path) -> None:
        raise UnavailableError("there is no such server")


class Failing(Shelf):
    async def prepare(self, units: Sequence[int]) -> None:
        raise OSError("disk full")


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing() -> dict[str, str]:
        return {}

    monkeypatch.setattr(run, "_QUICK", PLAN)
    monkeypatch.setattr(database, "describe", nothing)


@pytest.fixture
def entries(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def install(*table: Entry) -> None:
        monkeypatch.setattr(run, "ENTRIES", table)

    return install


def ours(make: Callable[[], Contender]) -> Entry:
    return Entry("ours_postgres", make, ours=True)


def options(runs: int = 1) -> Options:
    return Options(quick=True, runs=runs, note=lambda _text: None)


def test_figures_of_both_and_their_ratio(entries: Callable[..., None]) -> None:
    entries(Entry("for_update", Shelf), ours(Shelf))
    report = run.run(options(runs=2))
    assert report.broken == []
    assert report.figures["ours_postgres/for_update.hot_64"] > 0
    assert report.figures["ours.oversold"] == 0
    assert goals_of(report)["ours_postgres.hot_64.p99_ms"]["value"] == report.figures["ours_postgres.hot_64.p99_ms"]
    assert [row["load"] for row in report.table] == ["hot_64", "40 buyers, 5 units"] * 2
    assert report.table[1]["sold"] == 10  # five units in each of two rounds


def test_ours_overselling_fails_the_command(entries: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    entries(ours(lambda: Shelf(blind=True)))
    assert command.main(["stock", "--quick", "--json"]) == 1
    read = json.loads(capsys.readouterr().out)
    assert read["goals"]["ours.oversold"] == {"goal": "== 0", "value": 35, "met": False}


def test_ours_forgetting_a_key_fails_the_command(entries: Callable[..., None]) -> None:
    entries(ours(lambda: Shelf(amnesia=True)))
    assert run.run(options()).broken == ["ours_postgres: 5 sold keys answered otherwise the second time"]


def test_a_peer_overselling_is_shown_and_fails_nothing(
    entries: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    entries(Entry("careless", lambda: Shelf(blind=True), example_only=True), ours(Shelf))
    assert command.main(["stock", "--quick", "--json"]) == 0
    read = json.loads(capsys.readouterr().out)
    assert read["figures"]["careless.oversold"] == 35
    assert "careless.hot_64.tps" not in read["figures"]


def test_a_missed_goal_fails_nothing(entries: Callable[..., None]) -> None:
    entries(ours(Shelf))
    assert command.main(["stock", "--quick", "--json"]) == 0


def test_a_peer_that_cannot_run_is_left_out_with_its_reason_and_stopped(entries: Callable[..., None]) -> None:
    entries(Entry("absent", Absent), Entry("failing", Failing), ours(Shelf))
    before = Shelf.stopped
    report = run.run(options(runs=2))
    assert {row["contender"]: row["left out"] for row in report.table if "left out" in row} == {
        "absent": "there is no such server",
        "failing": "failed: OSError: disk full",
    }
    assert Shelf.stopped == before + 4  # each of the two once, ours in both rounds


def test_an_error_of_ours_is_not_hidden_as_left_out(entries: Callable[..., None]) -> None:
    entries(ours(Failing))
    with pytest.raises(OSError, match="disk full"):
        run.run(options())


def test_slow_starters_stay_out_of_a_quick_run(entries: Callable[..., None]) -> None:
    entries(Entry("slow", Shelf, full_only=True))
    assert [row["contender"] for row in run.run(options()).table if "left out" in row] == ["slow"]


def test_the_scarce_load_makes_up_the_attempts(entries: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_QUICK", run.Plan(**{**PLAN.__dict__, "ours_attempts": 3000}))
    entries(ours(Shelf))
    report = run.run(options())
    assert report.figures["ours.attempts"] >= 3000
    assert report.figures["ours.oversold"] == 0


def test_runs_must_be_one_or_more() -> None:
    with pytest.raises(SystemExit):
        command.main(["stock", "--runs", "0"])


@pytest.mark.slow
def test_all_writes_the_page(
    entries: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entries(ours(Shelf))
    # The others measure on real servers, each in its own test.
    monkeypatch.setattr(command, "BENCHES", {name: command.BENCHES[name] for name in ("seal", "stock", "till")})
    monkeypatch.setattr(command, "_PAGE", tmp_path / "docs" / "benchmarks.md")
    assert command.main(["all", "--quick"]) == 0
    page = (tmp_path / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert "`python -m bench all --quick`" in page
    assert "| ours_postgres | hot_64 |" in page
    assert "ours_postgres" in capsys.readouterr().out

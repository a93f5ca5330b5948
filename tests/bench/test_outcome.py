"""From measurements to the figures, goals and broken promises of the stock bench."""

from collections import Counter

from bench.report import Report, goals_of
from bench.stock.contender import Entry
from bench.stock.load import Measured
from bench.stock.outcome import Results, broken, figures, goals, table
from bench.stock.postgres import ForUpdate
from bench.stock.tally import CLEAN, Answers, Verdict

ENTRIES = (Entry("for_update", ForUpdate), Entry("ours_postgres", ForUpdate, ours=True))


def measured(tps: float, *, sold: int = 100, p99_ms: float = 5.0) -> Measured:
    answers = Answers(sold=(sold,), refused=7, failed=1)
    return Measured(answers, tps, 1.0, p99_ms, seconds=1.0, sold_keys=(), failures=Counter({"OSError": 1}))


def results() -> Results:
    return Results(last_units=200, buyers=2000)


def test_a_ratio_is_the_median_of_the_rounds_ratios_and_not_the_ratio_of_medians() -> None:
    found = results()
    for ours, peer in ((300.0, 10.0), (400.0, 100.0), (1000.0, 20.0)):
        found.add("ours_postgres", "hot_64", measured(ours), CLEAN)
        found.add("for_update", "hot_64", measured(peer), CLEAN)
    values = figures(found, ENTRIES)
    assert values["ours_postgres/for_update.hot_64"] == 30  # of 30, 4 and 50; the medians give 400 / 20
    assert values["ours_postgres.hot_64.tps"] == 400
    report = Report(bench="stock", figures=values, goals=goals(), table=[])
    assert goals_of(report)["ours_postgres/for_update.hot_64"]["met"] is True
    assert goals_of(report)["ours_postgres/skip_locked.hot_64"] == {"goal": ">= 4", "value": None, "met": False}


def test_a_peer_that_sold_nothing_gives_no_ratio() -> None:
    found = results()
    found.add("ours_postgres", "hot_64", measured(300.0), CLEAN)
    found.add("for_update", "hot_64", measured(0.0), CLEAN)
    assert "ours_postgres/for_update.hot_64" not in figures(found, ENTRIES)


def test_attempts_and_wrongs_are_summed_over_loads_and_rounds() -> None:
    found = results()
    found.add("ours_postgres", "hot_64", measured(1.0), Verdict(oversold=1, lost=0, doubled=0, drift=0))
    found.add("ours_postgres", "hot_64", measured(1.0), CLEAN)
    found.add("ours_postgres", "last_units", measured(1.0), Verdict(oversold=2, lost=1, doubled=0, drift=3))
    values = figures(found, ENTRIES)
    assert values["ours.attempts"] == 3 * 108
    assert (values["ours.oversold"], values["ours_postgres.lost"]) == (3, 1)


def test_only_ours_breaks_promises() -> None:
    found = results()
    found.add("for_update", "last_units", measured(1.0), Verdict(oversold=9, lost=9, doubled=9, drift=9))
    found.add("ours_postgres", "hot_64", measured(1.0), CLEAN)
    assert broken(found, ENTRIES) == []
    found.add("ours_postgres", "hot_64", measured(1.0), Verdict(oversold=1, lost=0, doubled=2, drift=0))
    found.forgotten["ours_postgres"] += 1
    assert broken(found, ENTRIES) == [
        "ours_postgres: 1 units oversold",
        "ours_postgres: 2 movements beyond the answered sales",
        "ours_postgres: 1 sold keys answered otherwise the second time",
    ]


def test_the_table_names_failures_and_gives_the_reason_of_who_was_left_out() -> None:
    found = results()
    found.add("ours_postgres", "last_units", measured(50.0), CLEAN)
    found.durable["ours_postgres"] = True
    found.skipped["for_update"] = "PostgreSQL does not answer"
    left_out, row = table(found, ENTRIES)
    assert left_out == {"contender": "for_update", "left out": "PostgreSQL does not answer"}
    assert row["load"] == "2000 buyers, 200 units"
    assert (row["sold"], row["refused"], row["failed"]) == (100, 7, "1 OSError")

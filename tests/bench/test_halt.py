"""What the bench of the stop makes of its runs."""

import pytest

from bench.halt.run import Measured, Runs, report_of


def run_of(milliseconds: float, after: int = 0) -> Measured:
    return Measured(freeze_ms=[milliseconds], acknowledged_ms=[milliseconds / 2], after=[after])


def test_figures_are_medians_of_runs_and_a_ratio_is_that_of_its_own_run() -> None:
    own, peer = [run_of(10), run_of(20), run_of(40)], [run_of(10_000, 7), run_of(4_000, 1), run_of(4_000)]
    runs = Runs(own=own, lost_ms=[1500, 1900, 1700], fair=own, default=peer, lost_writes=[400])
    figures = runs.figures()
    assert figures["freeze_p99_ms"] == 20
    assert figures["acknowledged_p99_ms"] == 10
    assert figures["store_lost_frozen_ms"] == 1900, "the promise is about the worst"
    assert figures["flag_writes_after_acknowledgement"] == 8
    assert figures["ratio_to_flag"] == 200, "of 1000, 200 and 100; not 4000 over 20"
    assert [row["stops"] for row in runs.table()] == [3, 3, 3]


@pytest.mark.parametrize(
    ("own", "lost_ms", "said"),
    [(run_of(10), 1900, []), (run_of(10, 2), 1900, ["2 transactions"]), (run_of(10), 2500, ["not frozen"])],
)
def test_a_broken_promise_is_said_and_a_missing_peer_noted(own: Measured, lost_ms: float, said: list[str]) -> None:
    report = report_of(Runs(own=[own], lost_ms=[lost_ms], absent="no node"), {})
    assert len(report.broken) == len(said)
    assert all(words in sentence for words, sentence in zip(said, report.broken, strict=True))
    assert report.notes == ["no node"]
    assert "ratio_to_flag" not in report.figures

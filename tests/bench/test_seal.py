"""The arithmetic of the seal bench."""

from bench import seal
from bench.seal import Results, kept


def test_a_window_is_compared_with_the_one_beside_it() -> None:
    """A machine that halves its speed for a while changes neither ratio nor verdict."""
    assert kept([1000, 500, 1000], [950, 475, 950]) == 0.95


def test_figures_leave_out_what_was_not_measured() -> None:
    results = Results(
        tps={("sqlite", False): [100.0, 110.0], ("sqlite", True): [95.0, 104.5]},
        audits={"sqlite": [2.0]},
        entries={"sqlite": 1000},
        skipped={"postgresql": "does not answer"},
    )
    figures = seal._figures(results)
    assert figures["sealed_ratio_sqlite"] == 0.95
    assert figures["audit_entries_per_s_sqlite"] == 500
    assert not any("postgresql" in key or "bean" in key for key in figures)
    table = seal._table(results, seal._QUICK)
    assert table[-1] == {"database": "postgresql", "what": "left out: does not answer"}

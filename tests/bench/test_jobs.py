"""What the bench of background jobs makes of its runs."""

from bench.jobs.run import Results, report_of
from bench.report import goals_of


def test_the_worse_of_ours_is_held_against_the_goal_and_a_peer_is_not() -> None:
    results = Results(skipped={"ours_postgres_idle": "no server"})
    for value in (4.0, 6.0, 90.0):
        results.add("ours_sqlite", "dispatch_p50_ms", value)
    results.add("ours_postgres", "dispatch_p50_ms", 14.0)
    results.add("dbos", "dispatch_p50_ms", 968.0)
    results.add("ours_sqlite", "resume_seconds", 2.5)

    report = report_of(results, {})

    assert report.figures["ours_sqlite_dispatch_p50_ms"] == 6
    assert report.figures["dispatch_p50_ms"] == 14
    assert report.figures["dbos_dispatch_p50_ms"] == 968
    met = {name: goal["met"] for name, goal in goals_of(report).items()}
    assert met == {
        "dispatch_p50_ms": True,
        "resume_seconds": False,
        "takeover_seconds": False,
        "idle_cpu_percent": False,
    }
    assert report.table[-1]["dispatch p50 ms"] == "left out: no server"

"""What the bench of the fleet makes of its runs, and that its simulation is one of workers."""

from bench.fleet import balancing
from bench.fleet.fairness import Served
from bench.fleet.peers import cpu_seconds, tree_of
from bench.fleet.run import Measured, Results, report_of


def test_ratios_are_of_medians_and_what_did_not_run_has_none() -> None:
    ours = Measured(a_second=[900, 1000, 5000], cpu_us=[10, 20, 90], p50_ms=[2, 1, 3], p99_ms=[9, 8, 7])
    celery = Measured(a_second=[100, 200, 300], cpu_us=[100, 100, 100], p50_ms=[4, 4, 4], p99_ms=[4, 4, 4])
    results = Results(queues={"ours_sqlite": ours, "celery": celery}, skipped={"taskiq": "no network"})

    report = report_of(results, {})

    assert report.figures["tasks_to_celery"] == 5
    assert report.figures["cpu_to_celery"] == 0.2
    assert report.figures["p50_to_celery"] == 0.5
    assert report.figures["p99_to_celery"] == 2
    assert "tasks_to_dramatiq" not in report.figures
    assert [row["tasks/s"] for row in report.table] == [1000, 200, "left out: no network"]


def test_shares_are_told_by_how_far_they_are_from_a_third() -> None:
    served = Served([("a", 0)] * 40 + [("b", 1)] * 30 + [("c", 2)] * 30)

    assert round(served.largest_share_error(), 9) == 0.2
    assert served.low_share() == 0.3


def test_every_policy_does_every_task_and_the_blind_one_is_the_worst() -> None:
    found = {name: balancing.simulate(policy, 3_000, 1) for name, policy in balancing.POLICIES.items()}

    assert all(0 < one["mean"] <= one["p99"] for one in found.values())
    assert max(found, key=lambda name: found[name]["p99"]) == "round_robin"


def test_processor_time_is_that_of_a_process_and_of_all_that_it_started() -> None:
    tree = tree_of(1)

    assert 1 in tree
    assert cpu_seconds(1) >= 0
    assert cpu_seconds(2**22 + 1) == 0

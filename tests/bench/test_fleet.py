"""What the bench of the fleet makes of its runs, and that its simulation is one of workers."""

from types import SimpleNamespace
from typing import Any

import pytest

from bench.fleet import balancing, providers, storm
from bench.fleet.fairness import Served
from bench.fleet.parts import Figures, Part
from bench.fleet.peers import cpu_seconds, tree_of
from bench.fleet.queues import Measured
from bench.fleet.run import PARTS, Results, report_of
from nervio.modules.fleet.contracts import TaskState

CELERY = Measured(a_second=[100, 200, 300], cpu_us=[100, 100, 100], p50_ms=[4, 4, 4], p99_ms=[4, 4, 4])


def test_goals_are_of_the_whole_path_with_the_ratios_in_process_beside() -> None:
    whole = Measured(a_second=[900, 1000, 5000], cpu_us=[10, 20, 90], p50_ms=[2, 1, 3], p99_ms=[9, 8, 7])
    in_process = Measured(a_second=[2000], cpu_us=[5], p50_ms=[1], p99_ms=[2])
    queues = {"ours_mqtt": whole, "ours_sqlite": in_process, "celery": CELERY}

    report = report_of(Results(queues=queues, skipped={"taskiq": "no network"}), {})

    assert report.figures["tasks_to_celery"] == 5
    assert report.figures["cpu_to_celery"] == 0.2
    assert report.figures["p50_to_celery"] == 0.5
    assert report.figures["p99_to_celery"] == 2
    assert report.figures["in_process_tasks_to_celery"] == 10
    assert report.figures["in_process_cpu_to_celery"] == 0.05
    assert "tasks_to_dramatiq" not in report.figures
    assert [row["tasks/s"] for row in report.table] == [1000, 2000, 200, "left out: no network"]


def test_the_path_in_process_alone_meets_no_goal() -> None:
    report = report_of(Results(queues={"ours_sqlite": CELERY, "celery": CELERY}), {})

    assert report.figures["in_process_tasks_to_celery"] == 1
    assert "tasks_to_celery" in report.goals
    assert "tasks_to_celery" not in report.figures


def test_requests_are_beside_the_same_celery_as_medians() -> None:
    rounds: list[Figures] = [{"rest_tasks_a_second": found} for found in (100.0, 500.0, 300.0)]

    report = report_of(Results(queues={"celery": CELERY}, parts={"rest": rounds}), {})

    assert report.figures["rest_tasks_a_second"] == 300
    assert report.figures["rest_to_celery"] == 1.5
    (row,) = [row for row in report.table if row.get("figure") == "rest_tasks_a_second"]
    assert (row["contender"], row["value"], row["spread"]) == ("rest", 300, "100-500")
    assert "rest_to_celery" not in report_of(Results(parts={"rest": rounds}), {}).figures


def test_a_task_that_was_lost_in_one_of_several_storms_is_a_broken_promise() -> None:
    calm: Figures = {"storm_results": 300.0, "storm_lost": 0.0, "storm_double": 0.0}
    bad: Figures = {"storm_results": 298.0, "storm_lost": 2.0, "storm_double": 1.0}

    assert report_of(Results(parts={"storm": [calm, calm]}), {}).broken == []
    report = report_of(Results(parts={"storm": [calm, bad, calm]}), {})

    assert (report.figures["storm_results"], report.figures["storm_lost"], report.figures["storm_double"]) == (
        300,
        2,
        1,
    )
    assert [sentence.split()[0] for sentence in report.broken] == ["2", "1"]


def test_one_answer_that_is_not_what_was_made_is_a_broken_promise() -> None:
    whole: Figures = {"chunks_spoilt": 0.0, "in_process_chunks_spoilt": 0.0}
    spoilt: Figures = {"chunks_spoilt": 1.0, "in_process_chunks_spoilt": 0.0}

    assert report_of(Results(parts={"chunks": [whole, whole, whole]}), {}).broken == []
    assert len(report_of(Results(parts={"chunks": [whole, spoilt, whole]}), {}).broken) == 1


def test_every_part_says_what_it_is_and_has_figures_of_its_own() -> None:
    assert len({part.name for part in PARTS}) == len(PARTS)
    goals = [goal for part in PARTS for goal in part.goals]
    assert len(set(goals)) == len(goals)
    report = report_of(Results(), {})
    assert {part.name for part in PARTS} <= report.legend.keys()
    assert set(goals) <= report.goals.keys()
    assert not report.figures


def test_a_part_that_was_never_measured_has_no_figures() -> None:
    async def measure(_quick: bool) -> dict[str, float]:
        return {}

    assert Part("p", measure, {}, "").combine([]) == {}


def a_task(n: int, result: Any, state: TaskState = TaskState.DONE) -> Any:
    """What the storm looks at of a task that is to say `n`."""
    return SimpleNamespace(id=f"t{n}", payload={"echo": n}, result=result, state=state)


@pytest.mark.parametrize(
    ("found", "endings", "counted", "lost", "double"),
    [
        ([a_task(0, 0), a_task(1, 1)], {("t0", "done"): 1, ("t1", "done"): 1}, 2, 0, 0),
        ([a_task(0, 0), a_task(1, 1)], {("t0", "done"): 1, ("t0", "lost"): 3, ("t1", "done"): 1}, 2, 0, 0),
        ([a_task(0, 0), a_task(1, 1)], {("t0", "done"): 2, ("t1", "done"): 1}, 2, 0, 1),
        ([a_task(0, 0), a_task(1, 1)], {("t0", "done"): 1, ("t1", "done"): 1}, 4, 0, 2),
        ([a_task(0, 0), a_task(1, 0)], {("t0", "done"): 1, ("t1", "done"): 1}, 2, 1, 0),
        ([a_task(0, 0), a_task(1, None, TaskState.WAITING)], {("t0", "done"): 1}, 1, 1, 0),
        ([a_task(0, 0)], {("t0", "done"): 1}, 1, 1, 0),
    ],
    ids=["calm", "tried again", "taken twice", "counted twice", "another's result", "still waiting", "gone"],
)
def test_a_storm_is_judged_by_what_the_store_says(
    found: list[Any], endings: dict[tuple[str, str], int], counted: int, lost: int, double: int
) -> None:
    figures = storm.judge(2, found, endings, counted)

    assert (figures["storm_lost"], figures["storm_double"]) == (lost, double)
    assert figures["storm_results"] == 2 - lost
    assert bool(storm.broken(figures)) == bool(lost or double)


def test_a_client_of_models_is_beside_the_other_by_call_and_by_part() -> None:
    names = ("ours_call", "ours_chunk", "litellm_call", "litellm_chunk")
    figures = {f"provider_{name}_cpu_us": value for name, value in zip(names, (1.0, 2.0, 4.0, 20.0), strict=True)}

    assert providers.ratios_of(figures) == {"provider_cpu_to_litellm": 0.25, "provider_stream_cpu_to_litellm": 0.1}


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

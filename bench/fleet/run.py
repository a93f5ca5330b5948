"""The bench of the fleet: tasks a second, round trips and processor time beside Celery, Dramatiq and Taskiq; which worker gets a
task beside the usual ways to choose one; who is served when much more waits than can be done; and the parts of `PARTS`."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench import machine
from bench.figures import spread
from bench.fleet import balancing, chunks, fairness, light_tenant, providers, queues, requeue, rest, storm
from bench.fleet.parts import Figures, Part
from bench.fleet.queues import Load, Measured
from bench.report import Options, Report, cell
from bench.stock import database
from bench.stock.contender import UnavailableError

PARTS: Sequence[Part] = (rest.PART, chunks.PART, light_tenant.PART, requeue.PART, storm.PART, providers.PART)
"""What stands by itself, in the order in which it is measured. A further part goes here and nowhere else."""


@dataclass(frozen=True)
class Plan:
    """How much is asked of everybody."""

    load: Load
    balanced: int
    queued: int


_FULL = Plan(Load(burst=10_000, warm_up=1_000, trips=300), balanced=40_000, queued=10_000)
_QUICK = Plan(Load(burst=2_000, warm_up=200, trips=50), balanced=4_000, queued=1_800)


@dataclass
class Results:
    """What was measured by contender, policy and part, and what could not run."""

    queues: dict[str, Measured] = field(default_factory=dict)
    policies: dict[str, dict[str, float]] = field(default_factory=dict)
    served: fairness.Served | None = None
    parts: dict[str, list[Figures]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


def run(options: Options) -> Report:
    """Measure everybody in turn, as often as there are runs."""
    plan, results = _QUICK if options.quick else _FULL, Results()
    facts = machine.describe()
    try:
        facts |= asyncio.run(database.describe())
    except UnavailableError as reason:
        results.skipped["ours_postgres"] = str(reason)
    asyncio.run(queues.measure(results.queues, results.skipped, plan.load, options))
    options.note("choosing workers")
    for name, policy in balancing.POLICIES.items():
        runs = [balancing.simulate(policy, plan.balanced, seed) for seed in range(1, 1 + max(options.runs, 3))]
        results.policies[name] = {key: spread([one[key] for one in runs]).median for key in runs[0]}
    options.note("serving three tenants")
    results.served = fairness.measure(plan.queued)
    for part in PARTS:
        _measure_part(results, part, options)
    return report_of(results, facts)


def _measure_part(results: Results, part: Part, options: Options) -> None:
    rounds = results.parts.setdefault(part.name, [])
    try:
        for number in range(options.runs):
            options.note(f"{part.name}, run {number + 1} of {options.runs}")
            rounds.append(asyncio.run(part.measure(options.quick)))
    except (UnavailableError, OSError) as reason:
        results.skipped[part.name] = str(reason)


def report_of(results: Results, facts: dict[str, str]) -> Report:
    """The figures, each ratio that of medians of the same runs."""
    figures = {**queues.figures_of(results.queues), **_policy_figures(results.policies)}
    if results.served is not None:
        figures["tenant_share_error"] = results.served.largest_share_error()
        figures["low_priority_share"] = results.served.low_share()
    of_parts = {part.name: part.combine(results.parts.get(part.name, ())) for part in PARTS}
    for found in of_parts.values():
        figures.update(found)
    if rest.A_SECOND in figures and f"{queues.BASE}_tasks_a_second" in figures:
        figures["rest_to_celery"] = figures[rest.A_SECOND] / figures[f"{queues.BASE}_tasks_a_second"]
    return Report(
        bench="fleet",
        figures=figures,
        goals={
            **queues.GOALS,
            "p99_to_credit_only": "<= 0.75",
            "p99_to_round_robin": "<= 0.05",
            "tenant_share_error": "<= 0.05",
            "low_priority_share": ">= 0.04",
            **{key: goal for part in PARTS for key, goal in part.goals.items()},
        },
        table=_table(results, of_parts),
        machine=facts,
        legend={
            **queues.LEGEND,
            "policies": "ten workers of speeds 4, 2 and 1 with one slot each, lognormal sizes, 80 % load, in virtual time: seconds",
            **{part.name: part.legend for part in PARTS},
        },
        broken=[sentence for part in PARTS if of_parts[part.name] for sentence in part.broken(of_parts[part.name])],
        notes=(
            "Ours are on the disk before anybody is told, and the goals compare with peers whose Redis does the same (appendfsync always).",
            "Where Redis keeps nothing (`in_memory`), the peers' tasks and results die with it.",
            "SQLite and its commits run inside our process and count; the time of PostgreSQL, Redis and the broker counts for nobody.",
        ),
    )


def _policy_figures(policies: dict[str, dict[str, float]]) -> dict[str, float]:
    return {f"p99_to_{name}": policies["ours"]["p99"] / policies[name]["p99"] for name in policies if name != "ours"}


def _table(results: Results, of_parts: Mapping[str, Figures]) -> list[dict[str, Any]]:
    rows = queues.rows_of(results.queues)
    rows += [{"contender": name, "tasks/s": f"left out: {reason}"} for name, reason in results.skipped.items()]
    rows += [
        {"contender": f"policy {name}", "mean s": found["mean"], "p95 s": found["p95"], "p99 s": found["p99"]}
        for name, found in results.policies.items()
    ]
    for name, found in of_parts.items():
        for key, value in found.items():
            seen = [one[key] for one in results.parts[name]]
            spread_of = {"spread": f"{cell(min(seen))}-{cell(max(seen))}"} if len(seen) > 1 else {}
            rows.append({"contender": name, "figure": key, "value": value, **spread_of})
    return rows

"""`python -m bench simulation`: planted races found by the simulation and by a plain Hypothesis state machine over the same
api, each with the same budget of processor time for each race.

Compared are races that are known from other shops' software, in what both of them do. Races of the stop's ends, of locks,
handlers and orders are looked for by the simulation alone: the state machine has no part in which they could be.
"""

import json
from dataclasses import dataclass
from typing import Any

from bench import machine
from bench.report import Options, Report
from tests.simulation import planting
from tests.simulation.mutants import KNOWN_RACES, MUTANTS


@dataclass(frozen=True)
class Plan:
    """Seconds for each race and searcher, and for the product as it is."""

    budget: float
    sound: float


_FULL = Plan(budget=60.0, sound=60.0)
_QUICK = Plan(budget=12.0, sound=3.0)
_FIRST_SEED = 1


def run(options: Options) -> Report:
    """Search for every planted race with both, and for any failure of the product as it is."""
    plan = _QUICK if options.quick else _FULL
    rows, broken = [], []
    ours: list[dict[str, Any]] = []
    plain: list[dict[str, Any]] = []
    for name in KNOWN_RACES if options.quick else MUTANTS:
        for number in range(options.runs):
            options.note(f"{name}, run {number + 1} of {options.runs}")
            seed = _FIRST_SEED + 1000 * number
            ours.append(_simulate(plan.budget, seed, name) | {"mutant": name})
            if name in KNOWN_RACES:
                plain.append(_plain(plan.budget, name) | {"mutant": name})
        rows.append(_row(name, ours, plain))
    options.note("the product as it is")
    known = [one for one in ours if one["mutant"] in KNOWN_RACES]
    of_parts = [one for one in ours if one["mutant"] not in KNOWN_RACES]
    sound = _simulate(plan.sound, _FIRST_SEED)
    if sound["found"]:
        broken.append(f"seed {sound['seed']}: {sound['promise']}: {sound['detail']}")
    return Report(
        bench="simulation",
        figures={
            "found": _always_found(known),
            "found_plain": _ever_found(plain),
            "longest_cpu_seconds": max(one["cpu_seconds"] for one in ours),
            "slowest_cpu_seconds_to_find": max((one["cpu_seconds"] for one in ours if one["found"]), default=0.0),
            "bugs_per_cpu_minute": _rate(known),
            "bugs_per_cpu_minute_plain": _rate(plain),
            "rate_to_plain": _rate(known) / _rate(plain, at_least=1),
            **({} if options.quick else {"found_of_parts": _always_found(of_parts)}),
            "sound_seeds": float(sound["seeds"]),
            "sound_verdicts": float(sound["verdicts"]),
            "sound_cpu_seconds": float(sound["cpu_seconds"]),
        },
        goals={
            "found": f">= {len(KNOWN_RACES)}",
            "found_plain": "<= 4",
            "longest_cpu_seconds": "<= 60",
            "rate_to_plain": ">= 3",
            **({} if options.quick else {"found_of_parts": f">= {len(MUTANTS) - len(KNOWN_RACES)}"}),
        },
        table=rows,
        machine=machine.describe(),
        legend={
            "found": f"of {len(KNOWN_RACES)} known races those that the simulation finds in every run",
            "found_plain": "of the same races those that the plain state machine finds in any run",
            "found_of_parts": "of the races in the stop's ends, locks, handlers and orders those that it finds in every run",
            "plain": "hypothesis.stateful over the same api, model and promises, on SQLite",
        },
        broken=broken,
        notes=[
            f"Each race has {plan.budget:g} s of processor time with each; one that is not found counts with all it used.",
            "Begun at seed 1, run n at seed 1 + 1000 (n - 1); shown are means over the runs, and the first run's seed.",
            "A race that needs a key taken out of the schema is looked for over a database that works without that key.",
            "again: python -m tests.simulation --mutant NAME --seed SEED",
        ],
    )


def _simulate(seconds: float, seed: int, mutant: str | None = None) -> dict[str, Any]:
    planted = [] if mutant is None else ["--mutant", mutant]
    given = ["--json", "--seed", str(seed), "--seconds", str(seconds), *planted]
    return _told(planting.run("tests.simulation", given))


def _plain(seconds: float, mutant: str) -> dict[str, Any]:
    return _told(planting.run("bench.simulation.plain", [str(seconds), mutant], mutant))


def _told(done: Any) -> dict[str, Any]:
    if not done.stdout:
        raise RuntimeError(done.stderr[-2000:])
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def _row(name: str, ours: list[dict[str, Any]], plain: list[dict[str, Any]]) -> dict[str, object]:
    mine = [one for one in ours if one["mutant"] == name]
    theirs = [one for one in plain if one["mutant"] == name]
    return {
        "race": name,
        "found": f"{sum(one['found'] for one in mine)} of {len(mine)}",
        "cpu seconds": sum(one["cpu_seconds"] for one in mine) / len(mine),
        "seed": mine[0].get("seed", "none"),
        "seeds": sum(one["seeds"] for one in mine) / len(mine),
        "plain found": f"{sum(one['found'] for one in theirs)} of {len(theirs)}" if theirs else "not its part",
        "plain cpu seconds": sum(one["cpu_seconds"] for one in theirs) / len(theirs) if theirs else None,
        "promise": mine[0].get("promise", ""),
    }


def _always_found(runs: list[dict[str, Any]]) -> float:
    return float(len({one["mutant"] for one in runs} - {one["mutant"] for one in runs if not one["found"]}))


def _ever_found(runs: list[dict[str, Any]]) -> float:
    return float(len({one["mutant"] for one in runs if one["found"]}))


def _rate(runs: list[dict[str, Any]], at_least: int = 0) -> float:
    """Races found in a minute of processor time; a comparison gives a peer that found none the one it may find next."""
    found, seconds = (float(sum(one[key] for one in runs)) for key in ("found", "cpu_seconds"))
    return 60 * max(found, at_least) / max(seconds, 1e-9)

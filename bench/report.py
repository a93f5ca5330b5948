"""What a bench hands back: figures, goals and a table, printed as one JSON object or for a person."""

import json
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}


@dataclass(frozen=True)
class Options:
    """How a bench is to run: `runs` repetitions of each measurement, `quick` for under a minute altogether."""

    quick: bool
    runs: int
    note: Callable[[str], None]


@dataclass(frozen=True)
class Report:
    """The answer of one bench.

    `goals` maps the key of a figure to what it should be (">= 30"). `broken` holds one sentence for each promise that a
    contender of ours broke; only that makes the command fail, a goal that was missed does not. `machine`, `legend` (what
    each name in the table means) and `notes` (how to read it) are for people; the JSON object leaves them out.
    """

    bench: str
    figures: Mapping[str, float]
    goals: Mapping[str, str]
    table: Sequence[Mapping[str, Any]]
    machine: Mapping[str, str] = field(default_factory=dict)
    legend: Mapping[str, str] = field(default_factory=dict)
    broken: Sequence[str] = ()
    notes: Sequence[str] = ()


def met(goal: str, value: float | None) -> bool:
    """Say whether a value satisfies a goal such as ">= 30"; a value that was not measured satisfies none."""
    comparison, _, bound = goal.partition(" ")
    if comparison not in _COMPARISONS:
        raise ValueError(f"a goal starts with one of {', '.join(_COMPARISONS)} and a space, not {goal!r}")
    limit = float(bound)
    return value is not None and _COMPARISONS[comparison](value, limit)


def goals_of(report: Report) -> dict[str, dict[str, Any]]:
    """Return each goal with the figure of the same key (None when it was not measured) and whether it is met."""
    return {
        key: {"goal": goal, "value": report.figures.get(key), "met": met(goal, report.figures.get(key))}
        for key, goal in report.goals.items()
    }


def as_json(report: Report) -> str:
    """Return the report as the one JSON object that scripts read."""
    return json.dumps(
        {
            "bench": report.bench,
            "figures": dict(report.figures),
            "goals": goals_of(report),
            "table": [dict(row) for row in report.table],
        },
        allow_nan=False,
    )


def columns_of(table: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return every column that some row has, in the order in which they first appear."""
    return list(dict.fromkeys(column for row in table for column in row))


def cell(value: Any) -> str:
    """Return a value as a person reads it: thousands separated, three significant digits below ten."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    if isinstance(value, int):
        return f"{value:,}"
    return str(value)


def print_report(report: Report, console: Console) -> None:
    """Print the table, the goals and the broken promises for a person."""
    columns = columns_of(report.table)
    table = Table(title=f"bench {report.bench}")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in report.table:
        table.add_row(*(cell(row.get(column)) for column in columns))
    console.print(table)
    for name, meaning in report.legend.items():
        console.print(f"{name}: {meaning}", highlight=False)
    for note in report.notes:
        console.print(note, highlight=False)
    goals = Table(title="goals")
    for column in ("figure", "goal", "value", "met"):
        goals.add_column(column)
    for key, goal in goals_of(report).items():
        goals.add_row(key, goal["goal"], cell(goal["value"]) or "not measured", cell(goal["met"]))
    console.print(goals)
    for sentence in report.broken:
        console.print(f"PROMISE BROKEN: {sentence}", style="bold red")

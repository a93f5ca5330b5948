"""docs/benchmarks.md: every bench's table and goals, with machine, date and command."""

from collections.abc import Sequence

from bench.report import Report, cell, columns_of, goals_of

_HEAD = """# Benchmarks

Written by `python -m bench all`; do not edit by hand. Ours and the peers run interleaved in one run on one machine, so
the ratios carry further than the figures themselves. Values are medians of the runs; `spread` is lowest to highest.
"""


def _rows(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    lines += ["| " + " | ".join(value.replace("|", "\\|") for value in row) + " |" for row in rows]
    return lines


def markdown(reports: Sequence[Report], *, date: str, command: str) -> str:
    """Return the whole page. `date` is the day of the run, `command` the line that repeats it."""
    lines = [_HEAD, f"Measured on {date} with `{command}`.", ""]
    for report in reports:
        columns = columns_of(report.table)
        lines += [f"## {report.bench}", "", f"`python -m bench {report.bench} --json`", ""]
        lines += [f"- {name}: {value}" for name, value in report.machine.items()] + [""]
        lines += _rows(columns, [[cell(row.get(column)) for column in columns] for row in report.table])
        lines += ["", *(f"- {name}: {meaning}" for name, meaning in report.legend.items())]
        lines += [line for note in report.notes for line in ("", note)]
        goals = [
            [key, goal["goal"], cell(goal["value"]) or "not measured", cell(goal["met"])]
            for key, goal in goals_of(report).items()
        ]
        lines += ["", *_rows(["figure", "goal", "value", "met"], goals), ""]
        lines += [f"**Promise broken:** {sentence}" for sentence in report.broken]
    return "\n".join(lines).rstrip() + "\n"

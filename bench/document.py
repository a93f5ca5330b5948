"""docs/benchmarks.md: every bench's table and goals, with machine, date and command."""

from collections.abc import Mapping, Sequence

from bench.report import Report, cell, columns_of, goals_of

_HEAD = """# Benchmarks

Written by `python -m bench all`, or a part by `python -m bench NAME --write`; do not edit by hand. Ours and the peers run
interleaved in one run on one machine, so the ratios carry further than the figures themselves. Values are medians of the
runs; `spread` is lowest to highest.
"""


def _rows(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    lines += ["| " + " | ".join(value.replace("|", "\\|") for value in row) + " |" for row in rows]
    return lines


def section(report: Report, *, date: str, command: str) -> str:
    """A bench's part of the page. `date` is the day of the run, `command` the line that repeats it."""
    columns = columns_of(report.table)
    lines = [f"## {report.bench}", "", f"Measured on {date} with `{command}`.", ""]
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


def rewritten(page: str, order: Sequence[str], written: Mapping[str, str]) -> str:
    """The page with some benches' parts put in their place; the others stay as they are, those of benches that are no more go."""
    parts = dict(written)
    for old in page.split("\n## ")[1:]:
        parts.setdefault(old.partition("\n")[0].strip(), f"## {old.rstrip()}\n")
    return "\n".join([_HEAD, *(parts[name] for name in order if name in parts)])

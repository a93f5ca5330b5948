"""`python -m bench NAME [--json] [--quick] [--runs N] [--write]`; `python -m bench all` writes all of docs/benchmarks.md."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from bench import document, report, seal, till
from bench.events import run as events
from bench.fleet import run as fleet
from bench.halt import run as halt
from bench.jobs import run as jobs
from bench.locks import run as locks
from bench.simulation import run as simulation
from bench.stock import run as stock

# Every bench there is. A bench takes Options and returns its Report; nothing registers itself from elsewhere.
BENCHES: Mapping[str, Callable[[report.Options], report.Report]] = {
    "events": events.run,
    "locks": locks.run,
    "halt": halt.run,
    "fleet": fleet.run,
    "jobs": jobs.run,
    "seal": seal.run,
    "simulation": simulation.run,
    "stock": stock.run,
    "till": till.run,
}

_PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
_FULL_RUNS = 3
_QUICK_RUNS = 1
# Of a table that goes into a file or a pipe.
_WIDTH = 170


def _arguments(line: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("name", choices=[*BENCHES, "all"], help="which bench; `all` also writes docs/benchmarks.md")
    parser.add_argument("--json", action="store_true", help="print one JSON object (for `all`, one a line)")
    parser.add_argument("--write", action="store_true", help="put the outcome into docs/benchmarks.md, as `all` does")
    parser.add_argument("--quick", action="store_true", help="under a minute a bench: short loads, one run")
    parser.add_argument("--runs", type=int, help=f"repetitions (default {_FULL_RUNS}, with --quick {_QUICK_RUNS})")
    arguments = parser.parse_args(line)
    if arguments.runs is not None and arguments.runs < 1:
        parser.error("--runs must be 1 or more")
    return arguments


def _write(outcome: report.Report, command: str) -> None:
    part = document.section(outcome, date=datetime.now(UTC).date().isoformat(), command=command)
    page = _PAGE.read_text(encoding="utf-8") if _PAGE.exists() else ""
    _PAGE.parent.mkdir(exist_ok=True)
    _PAGE.write_text(document.rewritten(page, list(BENCHES), {outcome.bench: part}), encoding="utf-8")


def main(line: Sequence[str]) -> int:
    """Run the benches and return the exit code: 1 where a promise broke, 0 else (a missed goal is no failure)."""
    arguments = _arguments(line)
    progress = Console(stderr=True)
    options = report.Options(
        quick=arguments.quick,
        runs=arguments.runs or (_QUICK_RUNS if arguments.quick else _FULL_RUNS),
        note=lambda text: progress.print(text, highlight=False, style="dim"),
    )
    names = list(BENCHES) if arguments.name == "all" else [arguments.name]
    reports = []
    for name in names:
        outcome = BENCHES[name](options)
        reports.append(outcome)
        if arguments.write or arguments.name == "all":
            # At once: a bench that fails an hour later costs no other its figures.
            _write(outcome, " ".join(["python -m bench", *line]))
            progress.print(f"wrote docs/{_PAGE.name}", style="dim")
        if arguments.json:
            print(report.as_json(outcome), flush=True)
        else:
            report.print_report(outcome, Console(width=None if sys.stdout.isatty() else _WIDTH))
    return 1 if any(outcome.broken for outcome in reports) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

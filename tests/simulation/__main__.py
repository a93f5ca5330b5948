"""`python -m tests.simulation [--seed N] [--mutant NAME] [--seconds S] [--seeds N] [--only DECISIONS] [--shrink S] [--json]`

Plays seeds until a promise breaks or the time is over. Prints the seed that failed, the promise and the end of its trace, and
exits with 1; with 0 where nothing broke. `--seed N` alone plays that one and no other. A mutant is planted in a copy of
the package first. What failed is played again with ever fewer of its decisions, for as long as the same promise breaks; the
shortest trace is printed with the command that plays just that.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence

from tests.simulation import planting
from tests.simulation.decisions import spell, unspell
from tests.simulation.mutants import MUTANTS

TRACE_LINES = 60
SHRINK_SECONDS = 30.0
_PLANTED = "NERVIO_SIMULATION_PLANTED"


def main(line: Sequence[str]) -> int:
    """Plays; see the module."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="the first seed; without --seconds and --seeds the only one")
    parser.add_argument("--seeds", type=int, help="play at most so many")
    parser.add_argument(
        "--seconds", type=float, help="begin no further seed after so many seconds of processor time (default 60)"
    )
    parser.add_argument("--mutant", choices=sorted(MUTANTS), help="plant a known race first")
    parser.add_argument("--trace", type=int, default=TRACE_LINES, help="how many lines of the trace to print (0: all)")
    parser.add_argument("--only", type=unspell, help="let only these decisions of the seed happen")
    parser.add_argument(
        "--shrink", type=float, help="look so many seconds for a shorter trace (default 30; 0 with --json or --only)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args(line)
    if os.environ.get("PYTHONHASHSEED") != "0" or (arguments.mutant and os.environ.get(_PLANTED) != arguments.mutant):
        return _again(line, arguments.mutant)
    return _play(arguments)


def _again(line: Sequence[str], mutant: str | None) -> int:
    """Once more, with sets in one order and the race in place: both must be so before Python begins."""
    os.environ[_PLANTED] = mutant or ""
    done = planting.run("tests.simulation", line, mutant)
    sys.stdout.write(done.stdout)
    sys.stderr.write(done.stderr)
    return done.returncode


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _play(arguments: argparse.Namespace) -> int:
    from tests.simulation.searching import search  # late: only now the package is the one with the race in it

    only = arguments.seed is not None and arguments.seconds is None and arguments.seeds is None
    first = arguments.seed if arguments.seed is not None else time.time_ns() % 10**9
    given = arguments.only is not None or arguments.json
    seconds = arguments.shrink if arguments.shrink is not None else 0.0 if given else SHRINK_SECONDS
    most = 1 if only else arguments.seeds
    found = search(
        first, arguments.seconds or 60.0, arguments.mutant, most, only=arguments.only, shrink_seconds=seconds
    )
    failed = found.failed
    if arguments.json:
        told: dict[str, object] = {
            "mutant": found.mutant,
            "first_seed": first,
            "seeds": found.stories,
            "steps": found.steps,
            "verdicts": found.judged,
            "cpu_seconds": round(found.cpu_seconds, 3),
            "faults": dict(sorted(found.faults.items())),
            "found": failed is not None,
        }
        if failed is not None and failed.failure is not None:
            told |= {"seed": failed.seed, "trace_hash": failed.trace_hash, "promise": failed.failure.promise}
            decisions = len(failed.taken)
            told |= {"detail": failed.failure.detail, "failing_steps": failed.steps, "failing_decisions": decisions}
        if found.shrunk is not None:
            shortest = found.shrunk.story
            told |= {"shortest_steps": shortest.steps, "only": spell(shortest.taken), "tries": found.shrunk.tries}
        _say(json.dumps(told))
    elif failed is None:
        _say(f"{found.stories} seeds from {first}, {found.judged} verdicts, {found.cpu_seconds:.1f} s: nothing broke")
    else:
        shortest = failed if found.shrunk is None else found.shrunk.story
        assert shortest.failure is not None
        _say("\n".join(shortest.trace[-arguments.trace :]))
        planted = f" --mutant {found.mutant}" if found.mutant else ""
        _say(f"\nbroken: {shortest.failure.promise}\n        {shortest.failure.detail}")
        _say(f"seed {failed.seed}, trace {failed.trace_hash}, {failed.steps} steps, {found.cpu_seconds:.1f} s")
        again = f"python -m tests.simulation --seed {failed.seed}{planted}"
        _say(f"again:  {again}")
        if found.shrunk is not None:
            told_of = f"{len(shortest.taken)} of {len(failed.taken)} decisions, {found.shrunk.tries} tries"
            least = "" if found.shrunk.is_least else "; there was no time to look for a shorter one"
            _say(f"shortest trace: {shortest.steps} of {failed.steps} steps, {told_of}{least}")
            _say(f"again:  {again} --only '{spell(shortest.taken)}'")
    return 0 if failed is None else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

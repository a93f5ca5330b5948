"""The product breaks no promise in any seed; a planted race breaks one, is found, and is found again by its seed alone."""

import json
import time
from dataclasses import replace
from typing import Any

import pytest

from tests.simulation import planting
from tests.simulation.mutants import MUTANTS, DoesNotApply, Patch

QUICK = ("concurrent_reservation",)
"""Found in a second, and run with every `make test`; the others with `make test-all`."""
ALWAYS = 400
"""Seeds from here on are played in every run; others are new each time."""


def simulate(*arguments: str) -> dict[str, Any]:
    """What one run of `python -m tests.simulation` tells."""
    done = planting.run("tests.simulation", ["--json", *arguments], timeout=170)
    assert done.stdout, done.stderr[-2000:]
    told: dict[str, Any] = json.loads(done.stdout)
    assert told["found"] == (done.returncode == 1)
    return told


def assert_sound(told: dict[str, Any]) -> None:
    """No promise broke, and there was something that might have broken."""
    again = f"python -m tests.simulation --seed {told.get('seed')}"
    assert not told["found"], f"{told.get('promise')}: {told.get('detail')}\n{again}"
    assert told["verdicts"] > 0


def test_a_few_seeds_break_no_promise() -> None:
    assert_sound(simulate("--seed", str(ALWAYS), "--seeds", "3", "--seconds", "60"))


@pytest.mark.slow
def test_more_seeds_break_no_promise() -> None:
    told = simulate("--seed", str(time.time_ns() % 10**9), "--seconds", "20")
    assert_sound(told)
    assert {"crash", "stall", "clock", "serialization_failure", "lost_after_commit"} <= told["faults"].keys()


def found_and_found_again(name: str) -> None:
    """The race is found by a promise that it is known to break, and its seed alone does the same once more."""
    told = simulate("--mutant", name, "--seed", str(MUTANTS[name].seed), "--seconds", "60")
    assert told["found"], f"{name} was not found in {told['seeds']} seeds"
    assert told["promise"] in MUTANTS[name].breaks, told["detail"]
    again = simulate("--mutant", name, "--seed", str(told["seed"]))
    for what in ("seed", "promise", "detail", "trace_hash"):
        assert again[what] == told[what]


@pytest.mark.parametrize("name", QUICK)
def test_a_planted_race_is_found_and_replays(name: str) -> None:
    found_and_found_again(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(MUTANTS.keys() - set(QUICK)))
def test_every_other_planted_race_is_found_and_replays(name: str) -> None:
    found_and_found_again(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(name for name in MUTANTS if MUTANTS[name].schema))
def test_a_race_that_takes_a_key_away_is_not_seen_by_the_missing_key(name: str) -> None:
    """The peer of the bench, which does one thing after another, finds nothing in the product over such a database."""
    done = planting.run("bench.simulation.plain", ["4", name], timeout=170)
    told = json.loads(done.stdout)
    assert told["examples"] > 3
    assert not told["found"], told["detail"]


@pytest.mark.parametrize("name", sorted(MUTANTS))
def test_every_race_can_be_planted(name: str) -> None:
    with planting.planted(name) as folder:
        for patch in MUTANTS[name].patches:
            assert patch.new in (folder / "nervio" / patch.file).read_text(encoding="utf-8")
            assert patch.old in (planting.PACKAGE / patch.file).read_text(encoding="utf-8"), "the product is untouched"


def test_a_patch_whose_text_is_gone_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = Patch("db/leases.py", "a line that nobody wrote", "")
    everywhere = Patch("db/leases.py", "lease", "")
    for patch in (gone, everywhere, Patch("db/nowhere.py", "def", "")):
        broken = replace(MUTANTS["release_by_non_owner"], patches=(patch,))
        monkeypatch.setitem(MUTANTS, "broken", broken)
        with pytest.raises(DoesNotApply), planting.planted("broken"):
            pass

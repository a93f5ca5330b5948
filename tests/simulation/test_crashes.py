"""One seed drives commands, their grouping, time, crashes around every statement and commit, and retries.

At the end the store is what the oracle says: nothing lost, nothing twice. A failing seed is in the test's name and in its
message; `NERVIO_SIMULATION_SEED=123` runs that one alone.
"""

import asyncio
import os
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy import func, select

from nervio.db.batch import Command
from nervio.db.context import Ctx
from nervio.db.database import Database
from nervio.db.execution import Outcome
from nervio.db.tables import commits
from nervio.db.tenancy import TenantConnection
from nervio.kernel.ids import new_id
from nervio.modules.ledger.models import journal_entries
from nervio.modules.stock import store
from nervio.modules.stock.contracts import SettleHold
from nervio.modules.stock.usecases import holds
from tests.builders import SetClock, create_sqlite_file
from tests.deeds import draw_deed
from tests.oracle import OK, Deed, Place, Shop
from tests.performing import command_of, compare, day, furnishing, verdict
from tests.simulation.process import AFTER_COMMIT, BEFORE_COMMIT, Crash, Process

DEEDS = 60
MOST_STATEMENTS = 40
"""More than a batch executes, so that some crashes that are planned find nothing left to interrupt."""
SECONDS = 10.0
MOST_SEEDS = 400


class World:
    """A store, its oracle, and the callers between them who do not give up."""

    def __init__(self, path: Path, seed: int) -> None:
        self.random = Random(seed)
        self.path = path
        self.clock = SetClock()
        self.shop = Shop(self.clock.now())
        nobody: Any = None
        database: Database = nobody  # the process executes batches itself
        self.ctx = Ctx(new_id(), "simulation", database, self.clock)
        self.process = Process(path, self.clock)
        self.hold_ids: dict[str, str] = {}
        self.waiting: list[tuple[str, Deed]] = []
        self.expected: dict[str, str] = {}
        self.answers: dict[str, str] = {}
        self.crashes: Counter[str] = Counter()
        self.verdicts: Counter[str] = Counter()

    def run(self) -> None:
        """The whole story."""
        assert {verdict(outcome) for outcome in self.process.execute(furnishing(self.ctx), None)} == {OK}
        made = 0
        while made < DEEDS or self.waiting:
            while made < DEEDS and len(self.waiting) < self.random.randint(1, 6):
                deed = draw_deed(self.random, self.shop, f"n{made}")
                if not self._names_an_unknown_hold(deed):
                    self.waiting.append((f"key-{made}", deed))
                made += 1
            self.random.shuffle(self.waiting)
            self._round(self.waiting[: self.random.randint(1, 6)])
            self._let_time_pass()
        self._compare_all()

    def _names_an_unknown_hold(self, deed: Deed) -> bool:
        """Nobody can settle a hold whose id was lost in a crash and not yet asked for again."""
        return getattr(deed, "name", None) in self.shop.holds and getattr(deed, "name", "") not in self.hold_ids

    def _round(self, batch: list[tuple[str, Deed]]) -> None:
        commands = [command_of(self.ctx, deed, key, self.hold_ids) for key, deed in batch]
        repeated = self._repeats(batch, commands)
        crash_at = self.random.choice((None, None, BEFORE_COMMIT, AFTER_COMMIT, self.random.randrange(MOST_STATEMENTS)))
        try:
            outcomes = self.process.execute(commands, crash_at)
        except Crash:
            self._restart("after commit" if crash_at == AFTER_COMMIT else "before commit")
            if crash_at == AFTER_COMMIT:
                self._become_true(batch)  # committed, although nobody was told
            return
        self._become_true(batch)
        for (key, deed), outcome in zip(batch, outcomes, strict=False):
            self._hear(key, deed, outcome)
            self.waiting.remove((key, deed))
        assert [repr(outcomes[n]) for n in repeated.values()] == [repr(outcomes[n]) for n in repeated]

    def _repeats(self, batch: list[tuple[str, Deed]], commands: list[Command[Any, Any]]) -> dict[int, int]:
        """Sends some of the batch twice in it: place of the repetition → place of the first."""
        repeated = {}
        for n, (key, deed) in enumerate(batch):
            if self.random.random() < 0.2:
                repeated[len(commands)] = n
                commands.append(command_of(self.ctx, deed, key, self.hold_ids))
        return repeated

    def _become_true(self, batch: list[tuple[str, Deed]]) -> None:
        for key, deed in batch:
            if key not in self.expected:
                self.expected[key] = self.shop.do(deed, day(self.shop))
                self.verdicts[self.expected[key]] += 1

    def _hear(self, key: str, deed: Deed, outcome: Outcome) -> None:
        assert (key, deed, verdict(outcome)) == (key, deed, self.expected[key])
        assert self.answers.setdefault(key, repr(outcome)) == repr(outcome)
        if isinstance(deed, Place) and verdict(outcome) == OK:
            self.hold_ids[deed.name] = outcome.hold_id  # type: ignore[attr-defined]

    def _restart(self, when: str) -> None:
        self.crashes[when] += 1
        self.process.die()
        self.process = Process(self.path, self.clock)

    def _let_time_pass(self) -> None:
        self.clock.advance(self.random.choice((0, 0, 0, 1, 61, 3601, 40_000)))
        self.shop.now = self.clock.now()
        if self.random.random() < 0.15:
            with self.process.connection.begin():
                due = store.read_due_holds(self.process.connection, self.clock.now(), 1000)
            commands = [
                Command(holds.EXPIRE, tenant_id, "sweeper", None, SettleHold(hold_id)) for tenant_id, hold_id in due
            ]
            assert self.shop.sweep() == len(due)
            if commands:
                assert {verdict(outcome) for outcome in self.process.execute(commands, None)} == {OK}

    def _compare_all(self) -> None:
        with self.process.connection.begin():
            connection = TenantConnection(self.process.connection, self.ctx.tenant_id)
            compare(connection, self.shop)
            entries = self.process.connection.execute(select(func.count()).select_from(journal_entries)).scalar_one()
            assert entries == self.shop.booked, "every deed that happened is in the journal, once"
            count, last = self.process.connection.execute(
                select(func.count(), func.max(commits.c.position)).select_from(commits)
            ).one()
            assert count == last, "positions are dense"
        assert set(self.answers) == set(self.expected), "every caller was answered"
        self.process.die()


async def test_crashes_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    named = os.environ.get("NERVIO_SIMULATION_SEED")
    first = int(named) if named else time.time_ns() % 10**9
    seeds = [first] if named else range(first, first + MOST_SEEDS)
    crashes: Counter[str] = Counter()
    verdicts: Counter[str] = Counter()
    deadline = time.monotonic() + SECONDS
    for seed in seeds:
        path = tmp_path / f"{seed}.db"
        await create_sqlite_file(path)
        world = World(path, seed)
        try:
            await asyncio.to_thread(world.run)
        except BaseException as failure:
            failure.add_note(f"NERVIO_SIMULATION_SEED={seed} replays this")
            raise
        crashes += world.crashes
        verdicts += world.verdicts
        if time.monotonic() > deadline:
            break
    assert crashes["before commit"]
    assert crashes["after commit"]
    assert verdicts[OK]

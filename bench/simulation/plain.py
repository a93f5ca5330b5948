"""The peer: Hypothesis's RuleBasedStateMachine over the product's own api, as one writes it without a simulation.

`python -m bench.simulation.plain SECONDS` runs it over the package it finds until something fails or the time is over, and
prints one JSON object. It does every deed beside the same model, compares every verdict and everything there is after each,
sends deeds together and again, stops and resumes, sweeps, takes and lets go of a lease, empties the breaker's table, and
hears what is published. The store is SQLite, as in any such test: there is one writer, and nothing fails.
"""

import asyncio
import contextlib
import functools
import json
import logging
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from sqlalchemy import Connection, delete

from nervio.db import leases
from nervio.db.dialects import dialect_of
from nervio.db.tenancy import TenantConnection
from nervio.kernel.errors import Kind, NervioError
from nervio.modules.safety import api as safety
from nervio.modules.safety.domain import breakers
from nervio.modules.safety.models.actions import ad_breakers
from nervio.modules.safety.store import actions
from nervio.modules.stock import api as stock
from tests import builders
from tests.oracle import OK, Deed, Place, Shop
from tests.performing import command_of, compare, day, furnishing, verdict
from tests.simulation.customers import draw
from tests.simulation.mutants import MUTANTS

SEEDS = st.integers(0, 2**32 - 1)
PLATFORM = "01955000-0000-7000-8000-00000000beef"
LEASE, SECONDS = "plain", 3.0


def while_there_is_time(does: Callable[..., None]) -> Callable[..., None]:
    """A rule that does nothing when the time is over."""

    @functools.wraps(does)
    def unless_over(self: Any, **given: Any) -> None:
        if not self.over:
            does(self, **given)

    return unless_over


class Plain(RuleBasedStateMachine):
    """Does every deed twice over, in the store and in the model."""

    schema: tuple[str, ...] = ()
    until = 0.0
    examples = 0

    def __init__(self) -> None:
        super().__init__()
        # Hypothesis is not to be stopped in the middle; what it still asks for when the time is over does nothing.
        self.over = time.process_time() > self.until
        if self.over:
            return
        type(self).examples += 1
        self.loop = asyncio.Runner()
        self.open = AsyncExitStack()
        self.folder = tempfile.TemporaryDirectory()
        folder = Path(self.folder.name)
        self.run(builders.create_sqlite_file(folder / "nervio.db"))
        with contextlib.closing(sqlite3.connect(folder / "nervio.db")) as raw:
            raw.executescript(";\n".join(self.schema))
        self.store = self.run(self.open.enter_async_context(builders.a_store(folder)))
        self.published: list[str] = []
        self.shop = Shop(self.store.clock.now())
        self.hold_ids: dict[str, str] = {}
        self.done: list[tuple[Deed, str, object]] = []
        self.holders: dict[str, int] = {}

    def run(self, work: Any) -> Any:
        return self.loop.run(work)

    def bookkeep(self, work: Any) -> Any:
        return self.run(self.store.database.bookkeep("lease", work))

    @initialize()
    @while_there_is_time
    def furnish(self) -> None:
        writer: Any = self.store.database
        info = writer._connection().info  # noqa: SLF001 (a bus for the race that publishes too early)
        info["publish"] = lambda rows: self.published.extend(row[2] for row in rows)
        for outcome in self.run(self.store.ctx.submit_all(furnishing(self.store.ctx))):
            assert verdict(outcome) == OK

        def close(connection: Connection) -> None:
            tenant = TenantConnection(connection, self.store.ctx.tenant_id)
            actions.write_breaker(tenant, dialect_of(connection), PLATFORM, breakers.CLOSED)

        self.bookkeep(close)

    @rule(seed=SEEDS, size=st.integers(1, 5))
    @while_there_is_time
    def deeds_together(self, seed: int, size: int) -> None:
        random = Random(seed)
        names = [f"{len(self.done) + n}" for n in range(size)]
        deeds = [draw(random, self.shop, name) for name in names]
        commands = [
            command_of(self.store.ctx, deed, f"key-{name}", self.hold_ids)
            for deed, name in zip(deeds, names, strict=True)
        ]
        outcomes = self.run(self.store.ctx.submit_all(commands))
        for deed, name, outcome in zip(deeds, names, outcomes, strict=True):
            assert verdict(outcome) == self.shop.do(deed, day(self.shop))
            if isinstance(deed, Place) and verdict(outcome) == OK:
                self.hold_ids[deed.name] = outcome.hold_id
            self.done.append((deed, f"key-{name}", outcome))
        self.look()

    @rule(seed=SEEDS)
    @while_there_is_time
    def a_deed_again(self, seed: int) -> None:
        if self.done:
            deed, key, first = Random(seed).choice(self.done)
            again = self.run(self.store.ctx.submit_all([command_of(self.store.ctx, deed, key, self.hold_ids)]))[0]
            assert repr(again) == repr(first)

    @rule(seconds=st.sampled_from([1, 4, 61]))
    @while_there_is_time
    def time_passes(self, seconds: int) -> None:
        self.store.clock.advance(seconds)
        self.shop.now = self.store.clock.now()

    @rule()
    @while_there_is_time
    def sweep(self) -> None:
        assert self.run(stock.sweep_holds(self.store.ctx)) == self.shop.sweep()
        self.look()

    @rule(seed=SEEDS)
    @while_there_is_time
    def stop_and_resume(self, seed: int) -> None:
        self.run(safety.freeze(self.store.ctx, "plain", level="all"))
        deed = draw(Random(seed), self.shop, "never")
        command = command_of(self.store.ctx, deed, f"stopped-{seed}", self.hold_ids)
        (outcome,) = self.run(self.store.ctx.submit_all([command]))
        assert isinstance(outcome, NervioError)
        assert outcome.kind is Kind.HALTED
        self.run(safety.unfreeze(self.store.ctx, "plain"))

    @rule(owner=st.sampled_from("abc"))
    @while_there_is_time
    def take_lease(self, owner: str) -> None:
        now = self.store.clock.now()
        token = self.bookkeep(lambda c: leases.acquire(c, LEASE, owner, now, SECONDS))
        others = [until for other, until in self.holders.items() if other != owner and until > now]
        assert (token is None) == bool(others)
        if token is not None:
            self.holders[owner] = now + int(SECONDS * 1_000_000)

    @rule(owner=st.sampled_from("abc"))
    @while_there_is_time
    def let_lease_go(self, owner: str) -> None:
        self.bookkeep(lambda c: leases.release(c, LEASE, owner))
        self.holders.pop(owner, None)

    @rule(lost=st.booleans())
    @while_there_is_time
    def call_outside(self, *, lost: bool) -> None:
        def ask(connection: Connection) -> bool:
            if lost:
                connection.execute(delete(ad_breakers))
            tenant, dialect = TenantConnection(connection, self.store.ctx.tenant_id), dialect_of(connection)
            found = actions.read_breaker(tenant, dialect, PLATFORM)
            admitted, breaker = breakers.admit(found, self.store.clock.now())
            actions.write_breaker(tenant, dialect, PLATFORM, breaker)
            return admitted

        assert not (self.bookkeep(ask) and lost)

    def look(self) -> None:
        def query(connection: TenantConnection) -> set[str]:
            compare(connection, self.shop)
            raw = connection.untenanted()
            doubled = raw.exec_driver_sql(
                "SELECT count(*) FROM (SELECT 1 FROM stock_levels "
                "GROUP BY tenant_id, location_id, product_id HAVING count(*) > 1) AS d"
            ).scalar_one()
            assert doubled == 0
            return {row[0] for row in raw.exec_driver_sql("SELECT id FROM outbox")}

        assert set(self.published) <= self.run(self.store.ctx.read(query))

    def teardown(self) -> None:
        if self.over:
            return
        self.run(self.open.aclose())
        self.loop.close()
        self.folder.cleanup()


def main(seconds: float, mutant: str) -> None:
    """Runs the machine with fresh seeds until it fails or the time is over."""
    logging.disable(logging.CRITICAL)
    Plain.schema = MUTANTS[mutant].schema if mutant else ()
    cpu = time.process_time()
    Plain.until = cpu + seconds
    given = settings(
        max_examples=60,
        stateful_step_count=30,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    failure = ""
    try:
        while time.process_time() - cpu < seconds:
            run_state_machine_as_test(Plain, settings=given)
    except BaseException as error:  # noqa: BLE001 (whatever a promise's end looks like here)
        failure = f"{type(error).__name__}: {error}".splitlines()[0][:200]
    told = {
        "found": bool(failure),
        "examples": Plain.examples,
        "cpu_seconds": round(time.process_time() - cpu, 3),
        "detail": failure,
    }
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2])

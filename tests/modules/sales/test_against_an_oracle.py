"""Stock and sales through the real store, step by step beside a slow and obvious model of a shop."""

import asyncio
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from nervio.db.tenancy import TenantConnection
from nervio.modules.stock import api as stock
from tests import builders
from tests.deeds import draw_deed
from tests.oracle import OK, Deed, Place, Shop
from tests.performing import command_of, compare, day, furnishing, verdict

SEEDS = st.integers(0, 2**32 - 1)


class ShopMachine(RuleBasedStateMachine):
    """Does every deed twice over: in the store and in the oracle, and compares both after each."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.Runner()
        self.open = AsyncExitStack()
        self.folder = tempfile.TemporaryDirectory()
        self.store = self.run(self.open.enter_async_context(builders.a_store(Path(self.folder.name))))
        self.shop = Shop(self.store.clock.now())
        self.hold_ids: dict[str, str] = {}
        self.done: list[tuple[Deed, str, object]] = []

    def run(self, work: Any) -> Any:
        return self.loop.run(work)

    @initialize()
    def furnish(self) -> None:
        for outcome in self.run(self.store.ctx.submit_all(furnishing(self.store.ctx))):
            assert verdict(outcome) == OK

    @rule(seed=SEEDS, size=st.integers(1, 4))
    def deeds_that_arrive_together_are_decided_in_order(self, seed: int, size: int) -> None:
        random = Random(seed)
        names = [f"{len(self.done) + n}" for n in range(size)]
        deeds = [draw_deed(random, self.shop, name) for name in names]
        commands = [
            command_of(self.store.ctx, deed, f"key-{name}", self.hold_ids)
            for deed, name in zip(deeds, names, strict=True)
        ]
        outcomes = self.run(self.store.ctx.submit_all(commands))
        for deed, name, outcome in zip(deeds, names, outcomes, strict=True):
            assert (deed, verdict(outcome)) == (deed, self.shop.do(deed, day(self.shop)))
            if isinstance(deed, Place) and verdict(outcome) == OK:
                self.hold_ids[deed.name] = outcome.hold_id
            self.done.append((deed, f"key-{name}", outcome))
        self.compare()

    @rule(seed=SEEDS)
    def a_repeated_deed_changes_nothing(self, seed: int) -> None:
        if self.done:
            deed, key, first = Random(seed).choice(self.done)
            again = self.run(self.store.ctx.submit_all([command_of(self.store.ctx, deed, key, self.hold_ids)]))[0]
            assert repr(again) == repr(first)
            self.compare()

    @rule(seconds=st.sampled_from([1, 61, 3601, 86_400]))
    def time_passes(self, seconds: int) -> None:
        self.store.clock.advance(seconds)
        self.shop.now = self.store.clock.now()

    @rule()
    def holds_are_swept(self) -> None:
        assert self.run(stock.sweep_holds(self.store.ctx)) == self.shop.sweep()
        self.compare()

    def compare(self) -> None:
        def query(connection: TenantConnection) -> None:
            compare(connection, self.shop)

        self.run(self.store.ctx.read(query))

    def teardown(self) -> None:
        self.run(self.open.aclose())
        self.loop.close()
        self.folder.cleanup()


TestShop = ShopMachine.TestCase
TestShop.settings = settings(max_examples=12, stateful_step_count=16)

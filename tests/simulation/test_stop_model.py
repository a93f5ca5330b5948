"""The stop against a slow, obvious model: any order of stops, resumptions and deeds over tenants, modules, places and
levels, with the process started again in between.

The model holds the halts in force and asks of each deed, one halt at a time, whether somebody who reads that halt aloud
would say that it forbids the deed.
"""

import asyncio
import contextlib
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from nervio.db.sqlite import SQLiteDatabase
from nervio.kernel.errors import Kind, NervioError
from nervio.kernel.time import SECOND
from nervio.modules.catalog.contracts import Product
from nervio.modules.safety import api as safety
from nervio.modules.safety.contracts.halts import Frozen, Scope, Stages, Thawed
from nervio.modules.sales import api as sales
from nervio.modules.sales.contracts import RecordReturn, SaleLine
from nervio.modules.stock import api as stock
from nervio.modules.stock.contracts import StockDocument, StockLine
from tests.builders import (
    MAIN,
    QUEUE_CAPACITY,
    Store,
    a_location,
    a_product,
    a_receipt,
    a_sale_of,
    a_store,
    assert_sound,
    level_of,
    milli,
)

T = TypeVar("T")

TENANTS = (0, 1)
PLACES = (MAIN, "DEPOSIT")
MODULES = (None, "sales", "stock", "catalog")
LEVELS = ("reduce_only", "read_only", "all")
SKU = "HOT"
PLENTY = 1000
SHORT_SECONDS, LONG_SECONDS = 60, 120
"""A halt for a time, and a while after which it is over for everybody and every stage is due."""

tenants = st.sampled_from(TENANTS)
places = st.sampled_from(PLACES)
scopes = st.fixed_dictionaries(
    {
        "tenant": st.sampled_from((None, *TENANTS)),
        "module": st.sampled_from(MODULES),
        "place": st.sampled_from((None, *((tenant, place) for tenant in TENANTS for place in PLACES))),
    }
)


@dataclass(frozen=True)
class ModelHalt:
    """A halt as a person would write it down. A place belongs to a tenant, so it is named with it."""

    tenant: int | None
    module: str | None
    place: tuple[int, str] | None
    level: str

    def forbids(self, tenant: int, modules: set[str], places: set[str], *, gives_back: bool) -> bool:
        """Whether the deed of a tenant, which writes to these modules at these places, may not happen."""
        if self.tenant is not None and self.tenant != tenant:
            return False
        if self.module is not None and self.module not in modules:
            return False
        if self.place is not None and not any(self.place == (tenant, place) for place in places):
            return False
        return not (gives_back and self.level == "reduce_only")


@dataclass(eq=False)
class ModelRow:
    """A halt in the book: it may run out by itself, and it may be on its way down from stage to stage."""

    halt: ModelHalt
    expires_at: int | None = None
    next_stage_at: int | None = None
    asked: str | None = None
    """The level from which it is on its way down; it is still found by that."""

    def is_at_least(self, halt: ModelHalt, expires_at: int | None) -> bool:
        """Whether somebody who asks for such a halt already has one."""
        if self.halt != halt or self.next_stage_at is not None:
            return False
        return self.expires_at is None or (expires_at is not None and self.expires_at >= expires_at)


async def unless_halted(work: Coroutine[Any, Any, T]) -> T | None:
    """Its answer, or None where a stop forbids it. Any other refusal is a failure here."""
    try:
        return await work
    except NervioError as refusal:
        if refusal.kind is not Kind.HALTED:
            raise
        return None


class StopMachine(RuleBasedStateMachine):
    """Drives a SQLite store and the model side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.open = contextlib.AsyncExitStack()
        self.rows: list[ModelRow] = []
        self.on_hand = {(tenant, place): PLENTY for tenant in TENANTS for place in PLACES}
        self.sold: list[tuple[int, str, str]] = []
        self.settled: dict[tuple[int, str], tuple[str, object]] = {}
        self.keys = 0
        self.run(self.prepare())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    async def prepare(self) -> None:
        first = await self.open.enter_async_context(a_store(Path(self.folder.name)))
        self.stores: list[Store] = [first, await first.another_tenant()]
        self.products: list[Product] = []
        self.place_ids: dict[tuple[int, str], str] = {}
        for tenant, store in enumerate(self.stores):
            self.place_ids[tenant, MAIN] = store.main.id
            self.place_ids[tenant, "DEPOSIT"] = (await a_location(store)).id
            product = await a_product(store, SKU)
            self.products.append(product)
            for place in PLACES:
                await a_receipt(store, product, PLENTY, location=place)

    def teardown(self) -> None:
        self.run(self.finish())
        self.runner.close()
        self.folder.cleanup()

    async def finish(self) -> None:
        try:
            await assert_sound(self.stores)
        finally:
            await self.open.aclose()

    # -- stopping ----------------------------------------------------------------------------------------------------

    @property
    def halts(self) -> list[ModelHalt]:
        """Those in force."""
        return [row.halt for row in self.rows]

    @rule(scope=scopes, level=st.sampled_from(LEVELS), seconds=st.sampled_from((None, None, SHORT_SECONDS)))
    def freeze(self, scope: dict[str, Any], level: str, seconds: int | None) -> None:
        halt = ModelHalt(**scope, level=level)
        given = {**self.given(halt), "level": level, "for_seconds": seconds}
        answer = self.run(safety.freeze(self.stores[halt.tenant or 0].ctx, "drill", **given))
        assert isinstance(answer, Frozen)
        expires_at = None if seconds is None else self.stores[0].clock.now() + seconds * SECOND
        already = any(row.is_at_least(halt, expires_at) for row in self.rows)
        assert answer.already == already
        if not already:
            self.rows.append(ModelRow(halt, expires_at))

    @rule(booked=st.booleans())
    def time_passes(self, booked: bool) -> None:
        """Halts for a time are over whether that was booked or not; a thaw takes its next stage only when it is booked."""
        clock = self.stores[0].clock
        clock.advance(LONG_SECONDS)
        self.rows = [row for row in self.rows if row.expires_at is None]
        if booked:
            self.run(safety.advance(self.stores[0].ctx))
            for row in [row for row in self.rows if row.next_stage_at is not None]:
                self.step_down(row)

    @rule(data=st.data())
    def thaw_one_in_stages(self, data: st.DataObject) -> None:
        """Of a tenant: those of an installation follow one after another, which a suite of its own looks at."""
        own = [row for row in self.rows if row.halt.tenant is not None and row.next_stage_at is None]
        if not own:
            return
        like = data.draw(st.sampled_from(own)).halt
        ctx = self.stores[like.tenant or 0].ctx
        given = {**self.given(like), "level": like.level, "stages": Stages.POLICY}
        answer = self.run(safety.unfreeze(ctx, "over", **given))
        assert isinstance(answer, Thawed)
        now = self.stores[0].clock.now()
        for row in [row for row in self.rows if row.halt == like and row.next_stage_at is None]:
            row.asked = like.level
            row.next_stage_at = now
            self.step_down(row)

    def step_down(self, row: ModelRow) -> None:
        """One stage: everything, writing, nothing but giving back, gone."""
        place = LEVELS.index(row.halt.level)
        if place == 0:
            self.rows.remove(row)
        else:
            row.halt = replace(row.halt, level=LEVELS[place - 1])

    @rule(scope=scopes, level=st.sampled_from((None, *LEVELS)))
    def unfreeze(self, scope: dict[str, Any], level: str | None) -> None:
        self.thaw(ModelHalt(**scope, level="all"), level)

    @rule(data=st.data())
    def unfreeze_one_in_force(self, data: st.DataObject) -> None:
        if self.halts:
            self.thaw(data.draw(st.sampled_from(self.halts)), None)

    def thaw(self, like: ModelHalt, level: str | None) -> None:
        over = [
            row
            for row in self.rows
            if replace(row.halt, level="") == replace(like, level="") and level in (None, row.halt.level, row.asked)
        ]
        answer = self.run(safety.unfreeze(self.stores[like.tenant or 0].ctx, "over", level=level, **self.given(like)))
        assert isinstance(answer, Thawed)
        assert len(answer.cleared) == len(over)
        self.rows = [row for row in self.rows if row not in over]

    def given(self, halt: ModelHalt) -> dict[str, Any]:
        return {
            "scope": Scope.INSTALLATION if halt.tenant is None else Scope.TENANT,
            "module": halt.module,
            "location_id": None if halt.place is None else self.place_ids[halt.place],
        }

    @rule()
    def start_again(self) -> None:
        """A restart changes nothing."""
        self.run(self.reopen())

    async def reopen(self) -> None:
        store = self.stores[0]
        await store.database.close()
        database = SQLiteDatabase(Path(store.address), store.clock, QUEUE_CAPACITY)
        await database.start()
        self.open.push_async_callback(database.close)
        self.stores = [replace(s, database=database, ctx=replace(s.ctx, database=database)) for s in self.stores]

    # -- deeds -------------------------------------------------------------------------------------------------------

    @rule(tenant=tenants, place=places)
    def sell(self, tenant: int, place: str) -> None:
        """Under a new key each time; a halted one is tried again later, under the same key."""
        self.keys += 1
        key = f"K{self.keys}"
        passed = self.attempt(
            tenant, self.selling(tenant, place, key), {"sales", "stock"}, {place}, gives_back=False, key=(key, place)
        )
        if passed is not None:
            self.on_hand[tenant, place] -= 1
            self.sold.append((tenant, place, passed.number))

    @rule(data=st.data())
    def sell_again_under_a_key(self, data: st.DataObject) -> None:
        """A key whose sale went through gives the first answer or is halted, but never sells a second time; one whose
        sale was halted sells as soon as nothing forbids it."""
        if not self.settled:
            return
        tenant, key = data.draw(st.sampled_from(sorted(self.settled)))
        place, first = self.settled[tenant, key]
        forbidden = self.is_forbidden(tenant, {"sales", "stock"}, {place}, gives_back=False)
        again = self.run(unless_halted(self.selling(tenant, place, key)))
        if again is None:
            assert forbidden
            return
        if first is not None:
            assert again == first
            return
        assert not forbidden
        self.settled[tenant, key] = place, again
        self.on_hand[tenant, place] -= 1
        self.sold.append((tenant, place, again.number))

    @rule(data=st.data())
    def take_back(self, data: st.DataObject) -> None:
        if not self.sold:
            return
        tenant, place, number = data.draw(st.sampled_from(self.sold))
        body = RecordReturn(place, (SaleLine(SKU, milli(1)),), original=number)
        work = sales.record_return(self.stores[tenant].ctx, body)
        if self.attempt(tenant, work, {"sales", "stock"}, {place}, gives_back=True) is not None:
            self.on_hand[tenant, place] += 1
            self.sold.remove((tenant, place, number))

    @rule(tenant=tenants, place=places)
    def move(self, tenant: int, place: str) -> None:
        to = next(other for other in PLACES if other != place)
        body = StockDocument(place, (StockLine(SKU, milli(1)),), to_location=to)
        work = stock.record_document(self.stores[tenant].ctx, "transfer", body)
        if self.attempt(tenant, work, {"stock"}, set(PLACES), gives_back=False) is not None:
            self.on_hand[tenant, place] -= 1
            self.on_hand[tenant, to] += 1

    def selling(self, tenant: int, place: str, key: str) -> Coroutine[Any, Any, Any]:
        return sales.record_sale(self.stores[tenant].ctx, a_sale_of((self.products[tenant], 1), location=place), key)

    def is_forbidden(self, tenant: int, modules: set[str], where: set[str], *, gives_back: bool) -> bool:
        return any(halt.forbids(tenant, modules, where, gives_back=gives_back) for halt in self.halts)

    def attempt(
        self,
        tenant: int,
        work: Coroutine[Any, Any, T],
        modules: set[str],
        where: set[str],
        *,
        gives_back: bool,
        key: tuple[str, str] | None = None,
    ) -> T | None:
        forbidden = self.is_forbidden(tenant, modules, where, gives_back=gives_back)
        answer = self.run(unless_halted(work))
        assert (answer is None) == forbidden, self.halts
        if key is not None:
            self.settled[tenant, key[0]] = key[1], answer
        return answer

    # -- always ------------------------------------------------------------------------------------------------------

    @invariant()
    def what_is_in_force_is_what_the_model_holds(self) -> None:
        for tenant, store in enumerate(self.stores):
            listed = self.run(safety.list_halts(store.ctx, active=True, limit=500))
            assert len(listed) == sum(halt.tenant in (None, tenant) for halt in self.halts)

    @invariant()
    def nothing_moved_that_was_forbidden(self) -> None:
        for (tenant, place), units in self.on_hand.items():
            assert self.run(level_of(self.stores[tenant], self.products[tenant], place)) == (units, 0)


TestStop = StopMachine.TestCase
TestStop.settings = settings(max_examples=8, stateful_step_count=25, deadline=None)

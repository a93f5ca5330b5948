"""What a stop forbids and what still passes, by level, module, location and tenant; the same on both databases."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import pytest
from sqlalchemy import func, select

import nervio.modules
from nervio.db.batch import BOOKKEEPING, PASSES_THE_FENCE, Command, Effect, Operation
from nervio.db.halt import Level
from nervio.db.leases import acquire
from nervio.db.outbox import read_after
from nervio.db.sequencer import number_commits
from nervio.db.sqlite import SQLiteDatabase
from nervio.db.tables import halts, idempotency_keys
from nervio.kernel.errors import Kind, NervioError
from nervio.kernel.ids import NIL
from nervio.kernel.time import SECOND
from nervio.modules.catalog import api as catalog
from nervio.modules.catalog.contracts import LocationInput, ProductInput
from nervio.modules.ledger import api as ledger
from nervio.modules.safety import api as safety
from nervio.modules.safety.contracts.halts import LEVELS, STOPPABLE_MODULES, Frozen, Scope, Thawed
from nervio.modules.sales import api as sales
from nervio.modules.sales.contracts import RecordReturn, SaleLine, WriteOff
from nervio.modules.stock import api as stock
from nervio.modules.stock.contracts import LevelPolicy, PlaceHold, StockDocument, StockLine
from tests.builders import (
    MAIN,
    QUEUE_CAPACITY,
    Store,
    a_hold,
    a_location,
    a_postgres_store,
    a_product,
    a_receipt,
    a_sale_of,
    a_store,
    level_of,
)

UNITS = 1000
Deed = Callable[[], Awaitable[object]]


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.services("postgres"))])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    opening = (
        a_store(tmp_path) if request.param == "sqlite" else a_postgres_store(request.getfixturevalue("postgres_url"))
    )
    async with opening as opened:
        yield opened


async def deeds(store: Store) -> dict[str, Deed]:
    """One of each kind of write, every one of which succeeds when nothing is stopped."""
    ctx = store.ctx
    product = await a_product(store)
    await a_receipt(store, product, 10)
    ticket = await sales.record_sale(ctx, a_sale_of((product, 1)))
    claimed, released = await a_hold(store, product), await a_hold(store, product)
    line = (StockLine(product.sku, UNITS),)
    return {
        "sell": lambda: sales.record_sale(ctx, a_sale_of((product, 1))),
        "receive": lambda: stock.record_document(ctx, "receipt", StockDocument(MAIN, line)),
        "hold": lambda: stock.place_hold(ctx, PlaceHold(MAIN, line)),
        "claim": lambda: stock.claim_hold(ctx, claimed.hold_id),
        "release": lambda: stock.release_hold(ctx, released.hold_id),
        "return": lambda: sales.record_return(
            ctx, RecordReturn(MAIN, (SaleLine(product.sku, UNITS),), original=ticket.number)
        ),
        "write off": lambda: sales.write_off(ctx, WriteOff(100, "ARS", "R-1", "will not pay")),
        "critical level": lambda: stock.set_critical_level(ctx, LevelPolicy(MAIN, product.sku, UNITS)),
        "repair": lambda: stock.repair(ctx, "nothing is broken"),
        "save product": lambda: catalog.save_products(ctx, [ProductInput("NEW", "New")]),
        "save location": lambda: catalog.save_location(ctx, LocationInput("NEW", "New")),
    }


async def passing(wanted: dict[str, Deed]) -> set[str]:
    """Which of the deeds are not halted."""
    passed = set()
    for name, deed in wanted.items():
        try:
            await deed()
            passed.add(name)
        except NervioError as refusal:
            if refusal.kind is not Kind.HALTED:
                raise
    return passed


async def halted(deed: Awaitable[object]) -> NervioError:
    with pytest.raises(NervioError) as refused:
        await deed
    assert refused.value.kind is Kind.HALTED
    return refused.value


@pytest.mark.parametrize(
    ("level", "passes"), [("all", set()), ("read_only", set()), ("reduce_only", {"release", "return"})]
)
async def test_a_level_lets_through_what_it_says(store: Store, level: str, passes: set[str]) -> None:
    wanted = await deeds(store)
    await safety.freeze(store.ctx, "proof", level=level)
    assert await passing(wanted) == passes
    await safety.unfreeze(store.ctx, "proof over")
    left = {name: deed for name, deed in wanted.items() if name not in passes}
    assert await passing(left) == set(left), "each of them must be able to succeed, or the rest proves nothing"


@pytest.mark.parametrize(
    ("module", "passes"),
    [
        ("catalog", {"sell", "receive", "hold", "claim", "release", "return", "write off", "critical level", "repair"}),
        ("sales", {"receive", "hold", "claim", "release", "critical level", "repair", "save product", "save location"}),
        # Selling moves stock, so a stop of stock stops selling too; everything but master data is journalled.
        ("stock", {"write off", "save product", "save location"}),
        ("ledger", {"save product", "save location"}),
    ],
)
async def test_a_stop_of_a_module_stops_all_that_writes_to_it(store: Store, module: str, passes: set[str]) -> None:
    wanted = await deeds(store)
    await safety.freeze(store.ctx, "proof", module=module)
    assert await passing(wanted) == passes


async def test_a_stop_of_a_location_leaves_the_others_at_work(store: Store) -> None:
    deposit = await a_location(store, "DEPOSIT")
    van = await a_location(store, "VAN")
    product = await a_product(store)
    for location in (MAIN, deposit.code, van.code):
        await a_receipt(store, product, 5, location=location)
    await safety.freeze(store.ctx, "wet goods", location_id=deposit.id)

    def transfer(origin: str, to: str) -> Awaitable[object]:
        body = StockDocument(origin, (StockLine(product.sku, UNITS),), to_location=to)
        return stock.record_document(store.ctx, "transfer", body)

    await sales.record_sale(store.ctx, a_sale_of((product, 1)))
    await transfer(MAIN, van.code)
    refusal = await halted(sales.record_sale(store.ctx, a_sale_of((product, 1), location=deposit.code)))
    assert refusal.data["location_id"] == deposit.id
    await halted(transfer(deposit.code, MAIN))
    await halted(transfer(MAIN, deposit.code))
    await halted(stock.repair(store.ctx, "names no location, so it may touch any"))
    assert await level_of(store, product, "DEPOSIT") == (5, 0)


async def test_a_stop_of_a_location_takes_one_caller_out_of_a_batch_and_not_its_neighbours(store: Store) -> None:
    deposit = await a_location(store)
    product = await a_product(store)
    await a_receipt(store, product, 5)
    await a_receipt(store, product, 5, location=deposit.code)
    await safety.freeze(store.ctx, "wet goods", location_id=deposit.id)
    places = [MAIN, deposit.code] * 4
    tickets = [(a_sale_of((product, 1), location=place), f"K{n}") for n, place in enumerate(places)]
    verdicts = [not isinstance(answer, NervioError) for answer in await sales.record_sales(store.ctx, tickets)]
    assert verdicts == [place == MAIN for place in places]


async def test_another_tenant_sells_on(store: Store) -> None:
    other = await store.another_tenant()
    product = await a_product(other)
    await a_receipt(other, product, 5)
    frozen = await safety.freeze(store.ctx, "proof", scope=Scope.TENANT)
    assert isinstance(frozen, Frozen)
    await halted(a_location(store))
    await sales.record_sale(other.ctx, a_sale_of((product, 1)))
    assert not (await safety.get_status(store.database, store.clock)).active, (
        "a tenant's stop is no news for the public"
    )
    assert (await safety.get_status(store.database, store.clock, store.ctx.tenant_id)).reason == "proof"
    await safety.unfreeze(other.ctx, "not mine", scope=Scope.TENANT)
    await halted(a_location(store))


async def test_the_installation_stops_every_tenant(store: Store) -> None:
    other = await store.another_tenant()
    await safety.freeze(store.ctx, "proof")
    await halted(a_location(store))
    await halted(a_location(other))


async def test_a_halted_answer_is_not_remembered(store: Store) -> None:
    deposit = await a_location(store)
    product = await a_product(store)
    await a_receipt(store, product, 5)
    await a_receipt(store, product, 5, location=deposit.code)
    here, there = a_sale_of((product, 1)), a_sale_of((product, 1), location=deposit.code)
    before = await sales.record_sale(store.ctx, here, "before")

    await safety.freeze(store.ctx, "everything")
    await safety.freeze(store.ctx, "this place", location_id=deposit.id)
    await halted(sales.record_sale(store.ctx, here, "here"))
    await safety.unfreeze(store.ctx, "everything but that place")
    await halted(sales.record_sale(store.ctx, there, "there"))
    await safety.unfreeze(store.ctx, "that place too", location_id=deposit.id)

    known = await store.database.read(lambda c: set(c.execute(select(idempotency_keys.c.key)).scalars()))
    assert not known & {"here", "there"}
    first = await sales.record_sale(store.ctx, here, "here")
    assert await sales.record_sale(store.ctx, here, "here") == first
    await sales.record_sale(store.ctx, there, "there")
    assert await sales.record_sale(store.ctx, here, "before") == before
    assert await level_of(store, product) == (3, 0)
    assert await level_of(store, product, deposit.code) == (4, 0)


async def test_a_refusal_that_is_no_halt_is_remembered_beside_one_that_is(store: Store) -> None:
    deposit = await a_location(store)
    product = await a_product(store)
    await safety.freeze(store.ctx, "this place", location_id=deposit.id)
    short = a_sale_of((product, 1))
    answers = await sales.record_sales(
        store.ctx, [(short, "short"), (a_sale_of((product, 1), location=deposit.code), "there")]
    )
    assert [a.kind for a in answers if isinstance(a, NervioError)] == [Kind.CONFLICT, Kind.HALTED]
    known = await store.database.read(lambda c: set(c.execute(select(idempotency_keys.c.key)).scalars()))
    assert "short" in known
    assert "there" not in known


async def test_both_ends_are_journalled_and_published(store: Store) -> None:
    await safety.freeze(store.ctx, "fire", module="sales")
    await safety.unfreeze(replace(store.ctx, actor_id="chief"), "fire is out", module="sales")
    ctx = replace(store.ctx, tenant_id=NIL)
    kept = {entry.kind: entry for entry in await ledger.list_entries(ctx)}
    assert set(kept) == {"halt_activated", "halt_cleared"}
    assert (kept["halt_activated"].actor_id, kept["halt_cleared"].actor_id) == ("tester", "chief")
    assert kept["halt_cleared"].details == {
        "scope": "installation",
        "module": "sales",
        "location_id": None,
        "level": "all",
        "reason": "fire is out",
    }
    await store.database.bookkeep("sequence", number_commits)
    events = await store.database.read(lambda c: read_after(c, 0, 0, 100, NIL))
    assert [event.type for event in events] == ["halt_activated.v1", "halt_cleared.v1"]
    assert {event.payload["halt_id"] for event in events} == {kept["halt_activated"].document_id}


async def test_stopping_what_is_stopped_returns_the_stop_that_is_there(store: Store) -> None:
    first = await safety.freeze(store.ctx, "fire")
    second = await safety.freeze(replace(store.ctx, actor_id="another"), "fire!")
    assert isinstance(first, Frozen)
    assert isinstance(second, Frozen)
    assert second == Frozen(first.halt, already=True)
    narrower = await safety.freeze(store.ctx, "fire", module="sales")
    assert isinstance(narrower, Frozen)
    assert not narrower.already

    thawed = await safety.unfreeze(store.ctx, "out")
    assert isinstance(thawed, Thawed)
    assert [halt.id for halt in thawed.cleared] == [first.halt.id]
    assert [halt.id for halt in thawed.remaining] == [narrower.halt.id]
    again = await safety.unfreeze(store.ctx, "out")
    assert isinstance(again, Thawed)
    assert again.cleared == ()


async def test_the_latch_outlives_the_process(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        await safety.freeze(store.ctx, "fire")
        address, clock, ctx = Path(store.address), store.clock, store.ctx
    started_again = SQLiteDatabase(address, clock, QUEUE_CAPACITY)
    await started_again.start()
    try:
        ctx = replace(ctx, database=started_again)
        await halted(catalog.save_location(ctx, LocationInput("NEW", "New")))
        assert (await safety.get_status(started_again, clock)).activated_by == "tester"
    finally:
        await started_again.close()


def declared_operations() -> dict[str, Operation[object, object]]:
    """Every operation that a module of the program declares."""
    files = [one.name for one in walk_packages(nervio.modules.__path__, "nervio.modules.")]
    faces = [import_module(name) for name in files if name.endswith(".api") or ".usecases." in name]
    return {value.name: value for face in faces for value in vars(face).values() if isinstance(value, Operation)}


def test_the_literal_list_is_all_that_passes() -> None:
    """Whoever lets another operation through a stop changes this test, and says why."""
    assert sorted(PASSES_THE_FENCE) == [
        # What a model answered was paid for and is kept, and a task whose time or process is over may end; none begins.
        "fleet.record_attempts",
        "fleet.recover",
        "identity.bootstrap",
        "identity.log_in",
        "identity.log_out",
        # How far a job has come is written down, and that it has ended or is parked; the steps themselves are refused.
        "jobs.checkpoint",
        "jobs.record",
        "jobs.recover",
        "safety.advance",
        "safety.book_pause",
        # Rules look on while a shop stands still, and one that stopped it by mistake is switched off before it goes on.
        "safety.change_rule",
        "safety.claim_actions",
        "safety.claim_deliveries",
        "safety.escalate_actions",
        "safety.finish_drill",
        "safety.freeze",
        "safety.raise_alert",
        "safety.record_action",
        "safety.record_clear",
        "safety.record_deed",
        "safety.record_delivery",
        "safety.record_trip",
        "safety.save_policy",
        "safety.settle",
        "safety.unfreeze",
    ]
    assert sorted(BOOKKEEPING) == [
        "count_requests",
        "fold_balances",
        "halt_seen",
        "handlers",
        "lease",
        "prune",
        "receive",
        "relay_mark",
        "seal",
        "sequence",
        "throttle",
        "worker_states",
    ]
    operations = declared_operations()
    assert len(operations) > 15
    assert {name for name, operation in operations.items() if operation.effect is Effect.CONTROL} <= PASSES_THE_FENCE
    with pytest.raises(AssertionError):
        Operation("sales.smuggle", Effect.CONTROL, str, str, lambda _batch, _command: "")


def test_every_module_that_writes_can_be_named_in_a_stop() -> None:
    operations = declared_operations()
    written = {part for operation in operations.values() for part in (operation.module, *operation.touches)}
    assert written - {"safety"} <= set(STOPPABLE_MODULES)
    assert tuple(level.value for level in Level) == LEVELS


async def test_every_operation_off_the_list_is_refused_and_nothing_of_it_is_written(store: Store) -> None:
    await safety.freeze(store.ctx, "proof")

    async def rows() -> int:
        return await store.database.read(lambda c: c.execute(select(func.count()).select_from(halts)).scalar_one())

    before = await rows()
    for name, operation in declared_operations().items():
        if name in PASSES_THE_FENCE:
            continue
        command: Command[object, object] = Command(operation, store.ctx.tenant_id, "tester", name, {"any": "body"})
        await halted(store.database.submit(command))
    assert await rows() == before


async def test_the_layers_own_mechanics_go_on(store: Store) -> None:
    await safety.freeze(store.ctx, "proof")
    now = store.clock.now()
    token = await store.database.bookkeep("lease", lambda c: acquire(c, "sealer", "me", now, 5 * SECOND))
    assert token == 1
    await store.database.bookkeep("sequence", number_commits)
    with pytest.raises(AssertionError):
        await store.database.bookkeep("sell", lambda _connection: None)

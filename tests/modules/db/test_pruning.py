"""Pruning: what has done its work goes, a little at a time; what is still needed stays, whatever happened meanwhile."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import Connection, Table, delete, func, select, update

from nervio.db import leases, maintenance
from nervio.db.backup import create_backup, restore_backup
from nervio.db.context import Ctx
from nervio.db.dialects import dialect_of
from nervio.db.outbox import last_position, read_after, receive_once
from nervio.db.pruning import COMMITS_A_TRANSACTION, CURSOR, ROWS_A_READ, ROWS_A_TRANSACTION, Pruner
from nervio.db.sequencer import number_commits
from nervio.db.sqlite import SQLiteDatabase
from nervio.db.tables import commits, idempotency_keys, inbox, outbox
from nervio.db.writes import Insert
from nervio.kernel.errors import Kind, NervioError
from nervio.kernel.ids import NIL, new_id
from nervio.kernel.time import DAY, SECOND, Instant
from nervio.modules.ledger import api as ledger
from nervio.modules.safety import api as safety
from nervio.modules.sales import api as sales
from nervio.modules.sales.contracts import TicketRecorded
from nervio.ports.bus import Event
from tests.builders import Store, a_sale_of, a_stocked_product, assert_sound, level_of
from tests.modules.ledger.journals import a_sealing, trade

ANSWERS_DAYS, EVENTS_DAYS = 90, 30
A_DAY = DAY / SECOND

T = TypeVar("T")


def a_pruner() -> Pruner:
    """A pruner as a process makes it when it starts."""
    return Pruner(ANSWERS_DAYS, EVENTS_DAYS, readers=["relay"])


async def prune(store: Store, pruner: Pruner | None = None) -> int:
    """One round, by a process that has just started where none is given; how many rows it removed."""
    await store.database.bookkeep("sequence", number_commits)
    return await (pruner or a_pruner()).run(store.ctx)


async def count(store: Store, table: Table) -> int:
    """The rows of a table."""
    return int(await store.database.read(lambda c: c.execute(select(func.count()).select_from(table)).scalar_one()))


async def follow(store: Store, *readers: str) -> None:
    """The named readers (the relay when none is) have had everything there is."""
    await store.database.bookkeep("sequence", number_commits)
    newest = await store.database.read(last_position)
    for reader in readers or ("relay",):
        await store.database.bookkeep("relay_mark", partial(leases.move_cursor, name=reader, position=newest, token=1))


async def insert(store: Store, table: Table, columns: tuple[str, ...], rows: Sequence[tuple[object, ...]]) -> None:
    """Rows put straight into a table, for what would take a year to come about."""
    await store.database.bookkeep(
        "prune", lambda connection: dialect_of(connection).apply(connection, [Insert(table, columns, rows)])
    )


@dataclass
class Watched:
    """A store's bookkeeping with an eye on it: how many rows each transaction removed."""

    store: Store
    removed: list[int] = field(default_factory=list)

    def ctx(self) -> Ctx:
        """A context whose bookkeeping is watched."""
        return replace(self.store.ctx, database=self)  # type: ignore[arg-type]

    async def read(self, query: Callable[[Connection], T]) -> T:
        """The store's own."""
        return await self.store.database.read(query)

    async def bookkeep(self, purpose: str, work: Callable[[Connection], T]) -> T:
        """The store's own, noted."""
        done = await self.store.database.bookkeep(purpose, work)
        assert isinstance(done, int)
        self.removed.append(done)
        return done


async def test_an_answer_is_given_again_for_as_long_as_promised(store: Store) -> None:
    product = await a_stocked_product(store, 100)
    sale = a_sale_of((product, 1))
    first = await sales.record_sale(store.ctx, sale, "till-1")
    store.clock.advance(ANSWERS_DAYS * A_DAY)
    await sales.record_sale(store.ctx, sale, "till-2")
    await prune(store)
    assert await sales.record_sale(store.ctx, sale, "till-1") == first
    store.clock.advance(1)
    await sales.record_sale(store.ctx, sale, "till-3")
    before = await count(store, idempotency_keys)
    assert await prune(store) == before - 2
    # Forgotten: what comes now under the old key is a sale like any other. The young keys still answer.
    again = await sales.record_sale(store.ctx, sale, "till-1")
    assert again.ticket_id != first.ticket_id
    assert await level_of(store, product) == (96, 0)
    await sales.record_sale(store.ctx, sale, "till-2")
    assert await level_of(store, product) == (96, 0)


async def test_old_answers_go_in_small_transactions_and_only_they(store: Store) -> None:
    await a_stocked_product(store)
    now, old = store.clock.now(), store.clock.now() - ANSWERS_DAYS * DAY - 1
    tenants = [NIL, *(new_id() for _ in range(4)), store.ctx.tenant_id]
    young = await count(store, idempotency_keys)

    def answers(recorded_at: Instant, keys: range) -> list[tuple[object, ...]]:
        return [(tenants[n % 6], "test.put", f"key-{n}-{recorded_at}", b"hash", "{}", recorded_at) for n in keys]

    columns = ("tenant_id", "operation", "key", "body_hash", "reply", "recorded_at")
    rows = answers(old, range(2 * ROWS_A_READ)) + answers(now, range(ROWS_A_READ))
    await insert(store, idempotency_keys, columns, rows)
    await follow(store)
    watched, pruner = Watched(store), a_pruner()
    while sum(watched.removed) < 2 * ROWS_A_READ:
        assert await pruner.run(watched.ctx()) > 0
    assert max(watched.removed) <= ROWS_A_TRANSACTION
    assert await count(store, idempotency_keys) == ROWS_A_READ + young
    oldest = await store.database.read(lambda c: c.execute(select(func.min(idempotency_keys.c.recorded_at))).scalar())
    assert oldest == now


async def test_a_table_that_was_looked_through_is_left_alone_for_a_while(store: Store) -> None:
    product = await a_stocked_product(store, 100)
    pruner = a_pruner()
    assert await prune(store, pruner) == 0
    store.clock.advance(1)
    old = store.clock.now() - ANSWERS_DAYS * DAY - 1
    columns = ("tenant_id", "operation", "key", "body_hash", "reply", "recorded_at")
    await insert(store, idempotency_keys, columns, [(NIL, "test.put", "late", b"hash", "{}", old)])
    assert await prune(store, pruner) == 0
    store.clock.advance(3600)
    await sales.record_sale(store.ctx, a_sale_of((product, 1)))
    assert await prune(store, pruner) == 1


async def test_events_go_when_every_reader_has_passed_them_and_not_before(store: Store) -> None:
    product = await a_stocked_product(store, 100)
    for _ in range(3):
        await sales.record_sale(store.ctx, a_sale_of((product, 1)))
    await follow(store, "ledger.balances")
    store.clock.advance(EVENTS_DAYS * A_DAY + 1)
    await sales.record_sale(store.ctx, a_sale_of((product, 1)))
    await follow(store, "ledger.balances")
    there = await count(store, outbox)
    # The relay has no cursor yet, then one that stopped half-way, then another reader lags behind.
    assert await prune(store) == 0
    await store.database.bookkeep("relay_mark", partial(leases.move_cursor, name="relay", position=3, token=1))
    assert await prune(store) == 0
    assert await count(store, outbox) == there
    await follow(store)
    await store.database.bookkeep("relay_mark", partial(leases.move_cursor, name="search", position=2, token=1))
    assert await prune(store) == 0
    assert await count(store, outbox) == there
    await follow(store, "relay", "search", "ledger.balances")
    await prune(store)
    (event,) = await store.database.read(partial(read_after, position=0, n=0, limit=100))
    assert event.recorded_at == store.clock.now()


async def test_a_long_outbox_is_worked_off_in_small_transactions_from_where_the_last_process_stopped(
    store: Store,
) -> None:
    await a_stocked_product(store)
    await follow(store)
    start, old = await store.database.read(last_position), store.clock.now() - EVENTS_DAYS * DAY - 1
    await store.database.bookkeep("prune", lambda c: c.execute(delete(outbox)).rowcount)
    await store.database.bookkeep("prune", lambda c: c.execute(update(commits).values(recorded_at=old)).rowcount)
    many = 3 * COMMITS_A_TRANSACTION
    ids = [new_id() for _ in range(many)]
    facts = [(id_, start + n, start + n, old, 0, b"") for n, id_ in enumerate(ids, 1)]
    await insert(store, commits, ("id", "seq", "position", "recorded_at", "entries", "digest"), facts)
    events = [(id_, n, new_id(), NIL, "put.v1", "k", "{}") for id_ in ids for n in range(3)]
    # One commit with more events than a transaction should remove: it goes alone.
    events += [(ids[40], n, new_id(), NIL, "put.v1", "k", "{}") for n in range(3, 2 * ROWS_A_TRANSACTION)]
    await insert(store, outbox, ("commit_id", "n", "id", "tenant_id", "type", "key", "payload"), events)
    await a_stocked_product(store)
    await follow(store)
    watched = Watched(store)
    await a_pruner().run(watched.ctx())
    place = await store.database.read(partial(leases.read_cursor, name=CURSOR))
    assert place > 0
    while await a_pruner().run(watched.ctx()):
        pass
    assert sum(watched.removed) == len(events)
    assert sorted(watched.removed)[-2:] == [ROWS_A_TRANSACTION - ROWS_A_TRANSACTION % 3, 2 * ROWS_A_TRANSACTION]
    left = await store.database.read(lambda c: set(c.execute(select(outbox.c.commit_id)).scalars()))
    assert left
    assert not left & set(ids)


async def test_a_mark_outlives_every_delivery_of_its_event(store: Store) -> None:
    """The relay delivered, the handler marked, and the machine was off for a year before the cursor was written down."""
    product = await a_stocked_product(store, 10)
    await follow(store)
    await sales.record_sale(store.ctx, a_sale_of((product, 1)))
    await store.database.bookkeep("sequence", number_commits)
    place = await store.database.read(partial(leases.read_cursor, name="relay"))
    (event,) = await store.database.read(partial(read_after, position=place, n=1000, limit=10))
    effects: list[str] = []

    async def deliver() -> bool:
        def effect(_: Connection, given: Event) -> None:
            effects.append(given.id)

        now = store.clock.now()
        return await store.database.bookkeep("receive", lambda c: receive_once(c, "search", event, now, effect))

    assert await deliver()
    store.clock.advance(400 * A_DAY)
    await sales.record_sale(store.ctx, a_sale_of((product, 1)))
    await prune(store)
    assert not await deliver()
    assert effects == [event.id]
    # Once the cursor is past it, nobody delivers it any more; a day is too early all the same.
    await follow(store)
    await prune(store)
    assert await count(store, inbox) == 0
    assert await deliver()
    assert await prune(store) == 0


async def test_nothing_is_removed_during_a_stop(store: Store) -> None:
    product = await a_stocked_product(store, 10)
    store.clock.advance(400 * A_DAY)
    await sales.record_sale(store.ctx, a_sale_of((product, 1)))
    await follow(store)
    before = [await count(store, table) for table in (idempotency_keys, outbox)]
    await safety.freeze(store.ctx, "what happened here?")
    with pytest.raises(NervioError) as caught:
        await prune(store)
    assert caught.value.kind is Kind.HALTED
    now = [await count(store, table) for table in (idempotency_keys, outbox)]
    assert [old <= new for old, new in zip(before, now, strict=True)] == [True, True]


async def test_a_clock_that_jumps_ahead_forgets_nothing_by_itself(store: Store) -> None:
    product = await a_stocked_product(store, 10)
    sale = a_sale_of((product, 1))
    first = await sales.record_sale(store.ctx, sale, "till-1")
    await follow(store)
    store.clock.advance(3650 * A_DAY)
    assert await prune(store) == 0
    assert await sales.record_sale(store.ctx, sale, "till-1") == first


async def test_a_pruned_store_is_sealed_verified_saved_and_restored_like_any_other(
    store: Store, tmp_path: Path
) -> None:
    sealing = a_sealing(tmp_path)
    sealer, fold = ledger.make_sealer(sealing), ledger.make_fold()
    await trade(store, 10)
    await follow(store)
    await sealer.run(store.ctx)
    await fold.run(store.ctx)
    store.clock.advance(400 * A_DAY)
    product = await a_stocked_product(store, 10)
    sale = a_sale_of((product, 1))
    first = await sales.record_sale(store.ctx, sale, "till-1")
    await follow(store)
    await sealer.run(store.ctx)
    await fold.run(store.ctx)
    before = await count(store, outbox)
    assert await prune(store) > 20
    assert 0 < await count(store, outbox) < before - 10
    heads = ledger.read_heads(sealing.heads_path)

    def verified(connection: Connection) -> bool:
        return ledger.verify(connection, heads, [sealing.signer.public_key]).verified

    assert await store.database.read(verified)
    await assert_sound(store)
    url = store.address if "://" in store.address else f"sqlite:///{store.address}"
    made = await create_backup(url, tmp_path / "backups", store.clock.now())
    place = tmp_path / "elsewhere" / "nervio.db"
    await restore_backup(f"sqlite:///{place}", made.path)
    assert await maintenance.run(f"sqlite:///{place}", verified)
    moved = SQLiteDatabase(place, store.clock, 1000)
    await moved.start()
    try:
        there = replace(store, database=moved, ctx=replace(store.ctx, database=moved))
        assert await sales.record_sale(there.ctx, sale, "till-1") == first
        await prune(there)
        await assert_sound(there)
    finally:
        await moved.close()


async def test_sales_go_on_beside_a_round(store: Store) -> None:
    product = await a_stocked_product(store, 1000)
    old = store.clock.now() - ANSWERS_DAYS * DAY - 1
    columns = ("tenant_id", "operation", "key", "body_hash", "reply", "recorded_at")
    rows: list[tuple[object, ...]] = [(NIL, "test.put", f"key-{n}", b"hash", "{}", old) for n in range(2000)]
    await insert(store, idempotency_keys, columns, rows)
    round_ = asyncio.create_task(prune(store))
    sold = 0
    while not round_.done():
        ticket = await sales.record_sale(store.ctx, a_sale_of((product, 1)), f"sale-{sold}")
        assert isinstance(ticket, TicketRecorded)
        sold += 1
    assert await round_ == 2000
    assert sold >= 10
    assert await level_of(store, product) == (1000 - sold, 0)

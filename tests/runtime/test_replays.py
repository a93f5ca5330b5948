"""Letters that somebody wants tried again: none keeps the others waiting."""

import asyncio
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from nervio.adapters.bus.memory import MemoryBus
from nervio.db import dead_letters
from nervio.db.context import Ctx
from nervio.events.sales import SALE_RECORDED
from nervio.kernel.errors import Kind, NervioError
from nervio.kernel.ids import new_id
from nervio.ports.bus import DeadLetter, Event
from nervio.runtime.replays import LOOK_SECONDS, MOST_AT_ONCE, Replays
from nervio.runtime.trials import ProcessTrials
from nervio.runtime.work import Surroundings, Work
from nervio.web.manifest import EventHandler
from tests.builders import Store, a_store

ROUNDS = 10
FROZEN, FREE = new_id(), new_id()


def an_event(position: int, tenant_id: str) -> Event:
    """A sale of a shop."""
    return Event(new_id(), SALE_RECORDED, tenant_id, f"key-{position}", position, 0, 1_000_000, {})


async def ask_for(store: Store, handler: str, *events: Event) -> None:
    """Letters of a handler that somebody wants tried again."""

    def write(connection: Connection) -> None:
        for event in events:
            dead_letters.keep(connection, DeadLetter(event, handler, "ValueError: no", 1, 0.0), store.clock.now())
        for tenant_id in {event.tenant_id for event in events}:
            dead_letters.ask_again(connection, tenant_id, None, "ana")

    await store.database.bookkeep("handlers", write)


async def replay(store: Store, wanted: int) -> list[Event]:
    """What the handler `test.now` handles in a few looks; it cannot for the frozen shop."""
    handled: list[Event] = []

    async def handle(ctx: Ctx, event: Event) -> None:
        if event.tenant_id == FROZEN:
            raise NervioError(Kind.HALTED, "halted", "Stopped: drill")
        handled.append(event)

    around = Surroundings(
        store.database,
        MemoryBus(),
        store.clock,
        "one",
        lambda tenant_id: replace(store.ctx, tenant_id=tenant_id),
        attempts=1,
        seconds=10.0,
    )
    trials = ProcessTrials(store.database, store.clock, "one")
    replays = Replays([Work(EventHandler("test.now", (SALE_RECORDED,), handle), around, trials)], around, trials)
    for _ in range(ROUNDS):
        store.clock.advance(LOOK_SECONDS)
        await replays.look()
        for _ in range(20):
            await asyncio.sleep(0.01)
            left = await store.database.read(lambda c: dead_letters.list_letters(c, FREE))
            if len(handled) >= wanted and not left:
                await replays.close()
                return handled
    await replays.close()
    pytest.fail(f"{len(handled)} of {wanted} were tried")


async def test_letters_of_a_handler_that_is_no_more_keep_nobody_waiting(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        await ask_for(store, "test.gone", *(an_event(n, new_id()) for n in range(MOST_AT_ONCE)))
        ours = an_event(10_000, FREE)
        await ask_for(store, "test.now", ours)
        assert await replay(store, 1) == [ours]


async def test_letters_of_a_frozen_shop_keep_no_other_shop_waiting(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        await ask_for(store, "test.now", *(an_event(n, FROZEN) for n in range(2 * MOST_AT_ONCE + 1)))
        ours = [an_event(10_000, FREE), an_event(10_001, FREE)]
        await ask_for(store, "test.now", *ours)
        assert sorted(await replay(store, 2), key=lambda event: event.position) == ours
        frozen = await store.database.read(lambda c: dead_letters.list_asked(c, ["test.now"], limit=5_000))
        assert len(frozen) == 2 * MOST_AT_ONCE + 1, "they are still asked for"


async def test_letters_are_read_page_by_page_in_the_order_of_facts(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        await ask_for(store, "test.now", *(an_event(n // 3, FREE) for n in range(30)))
        found: list[dead_letters.KeptLetter] = []
        while True:
            after = dead_letters.place_of(found[-1]) if found else None
            query = partial(dead_letters.list_asked, handlers=["test.now"], after=after, limit=7)
            page = await store.database.read(query)
            if not page:
                break
            found += page
        places = [dead_letters.place_of(letter) for letter in found]
        assert places == sorted(set(places))
        assert len(places) == 30


async def test_looking_for_letters_walks_an_index_of_those_alone(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store:
        plan = (
            "EXPLAIN QUERY PLAN SELECT * FROM dead_letters WHERE asked_by IS NOT NULL AND handler IN ('a', 'b') "
            "AND (position, n, id) > (1, 0, 'x') ORDER BY position, n, id LIMIT 500"
        )
        steps = await store.database.read(lambda c: [row[3] for row in c.execute(text(plan))])
        assert len(steps) == 1, steps
        assert "ix_dead_letters_asked" in steps[0]

"""Facts leave the outbox in the one order, each is received once, and none is there without its deed."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, func, insert, select
from sqlalchemy.event import listen
from sqlalchemy.exc import DBAPIError

from nervio.db.outbox import last_position, list_newest, newest_event_position, read_after, receive_once
from nervio.db.sequencer import number_commits
from nervio.db.tables import commits, cursors, inbox, metadata
from nervio.kernel.ids import new_id
from nervio.ports.bus import Event
from tests.builders import NOON, Store
from tests.modules.db.deeds import TENANT, put


async def number(store: Store) -> None:
    await store.database.bookkeep("sequence", number_commits)


async def read_all(store: Store, page: int, tenant_id: str | None = None) -> list[Event]:
    """Everything, page by page."""
    found: list[Event] = []
    position, n = 0, 0
    while True:
        events = await store.database.read(partial(read_after, position=position, n=n, limit=page, tenant_id=tenant_id))
        if not events:
            return found
        found += events
        position, n = events[-1].position, events[-1].n


@pytest.mark.parametrize("page", [1, 3, 1000])
async def test_pages_of_any_size_give_every_event_once_in_order(store: Store, page: int) -> None:
    await asyncio.gather(*(store.database.submit_all([put(f"{m}-{n}") for n in range(7)]) for m in range(5)))
    await number(store)
    events = [event for event in await read_all(store, page, TENANT) if event.type == "put.v1"]
    assert sorted(event.payload["name"] for event in events) == sorted(f"{m}-{n}" for m in range(5) for n in range(7))
    places = [(event.position, event.n) for event in events]
    assert places == sorted(set(places))
    for m in range(5):
        own = [event.payload["name"] for event in events if event.key.startswith(f"{m}-")]
        assert own == [f"{m}-{n}" for n in range(7)], "commands of one caller keep their order"
    assert await store.database.read(last_position) == max(place[0] for place in places)


async def test_events_of_another_tenant_are_not_read(store: Store) -> None:
    await store.database.submit(put("a"))
    await number(store)
    assert [event.key for event in await read_all(store, 10, TENANT)] == ["a"]
    assert all(event.tenant_id == store.ctx.tenant_id for event in await read_all(store, 10, store.ctx.tenant_id))
    assert await read_all(store, 10, new_id()) == []


async def test_a_refused_or_crashed_command_tells_nothing(store: Store) -> None:
    await store.database.submit(put("taken"))
    await store.database.submit_all([put("refuse"), put("a"), put("crash"), put("taken"), put("b")])
    await number(store)
    assert [event.key for event in await read_all(store, 10, TENANT)] == ["taken", "a", "b"]


def plans_of(query: Callable[[Connection], object]) -> list[str]:
    """How SQLite goes about the statements of a query, in a store without statistics."""
    engine = create_engine("sqlite://")
    plans: list[str] = []
    metadata.create_all(engine)

    def explain(connection: Connection, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        driver: Any = connection.connection.driver_connection
        plans.extend(row[3] for row in driver.execute(f"EXPLAIN QUERY PLAN {statement}", parameters))

    with engine.connect() as connection:
        listen(engine, "before_cursor_execute", explain)
        query(connection)
    engine.dispose()
    return plans


@pytest.mark.parametrize(
    "query",
    [
        partial(read_after, position=1, n=1, limit=500),
        partial(read_after, position=1, n=1, limit=500, types=["a.v1", "b.v1"]),
        partial(read_after, position=1, n=1, limit=500, tenant_id=TENANT),
        partial(read_after, position=1, n=1, limit=500, tenant_id=TENANT, types=["a.v1"]),
        partial(list_newest, tenant_id=TENANT, types=[], limit=50),
        partial(list_newest, tenant_id=TENANT, types=["a.v1"], limit=50),
    ],
)
def test_who_follows_reads_from_its_place_and_not_the_whole_history(query: Callable[[Connection], object]) -> None:
    plans = plans_of(query)
    assert not [step for step in plans if step.startswith("SCAN")], plans
    assert [step for step in plans if "position>?" in step], plans


async def test_the_newest_event_is_found_behind_commits_that_told_nothing(store: Store) -> None:
    await store.database.submit(put("a"))
    await number(store)
    newest = await store.database.read(last_position)
    assert await store.database.read(newest_event_position) == newest
    silent = {
        "id": new_id(),
        "seq": newest + 1,
        "position": newest + 1,
        "recorded_at": NOON,
        "entries": 0,
        "digest": b"",
    }
    await store.database.bookkeep("receive", lambda c: c.execute(insert(commits).values(silent)))
    assert await store.database.read(last_position) == newest + 1
    assert await store.database.read(newest_event_position) == newest


async def test_an_event_is_received_once_by_each_handler(store: Store) -> None:
    await store.database.submit(put("a"))
    await number(store)
    (event,) = await read_all(store, 10, TENANT)

    async def deliver(handler: str) -> bool:
        return await store.database.bookkeep("receive", lambda c: receive_once(c, handler, event, NOON, count(handler)))

    assert [await deliver("search") for _ in range(3)] == [True, False, False]
    assert await deliver("mail") is True
    assert await effects(store) == {"effect:search": 1, "effect:mail": 1}


async def test_a_handler_that_fails_leaves_no_mark_and_gets_the_event_again(store: Store) -> None:
    await store.database.submit(put("a"))
    await number(store)
    (event,) = await read_all(store, 10, TENANT)

    def fail(connection: Connection, event: Event) -> None:
        count("search")(connection, event)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await store.database.bookkeep("receive", lambda c: receive_once(c, "search", event, NOON, fail))
    assert await effects(store) == {}
    assert await store.database.read(lambda c: c.execute(select(func.count()).select_from(inbox)).scalar_one()) == 0
    assert await store.database.bookkeep("receive", lambda c: receive_once(c, "search", event, NOON, count("search")))
    assert await effects(store) == {"effect:search": 1}


async def test_deliveries_that_meet_have_one_effect(store: Store) -> None:
    await store.database.submit(put("a"))
    await number(store)
    (event,) = await read_all(store, 10, TENANT)
    delivered = await asyncio.gather(
        *(
            store.database.bookkeep("receive", lambda c: receive_once(c, "search", event, NOON, count("search")))
            for _ in range(6)
        ),
        return_exceptions=True,
    )
    assert delivered.count(True) == 1
    assert all(outcome in (True, False) or isinstance(outcome, DBAPIError) for outcome in delivered)
    assert await effects(store) == {"effect:search": 1}


def count(handler: str) -> Callable[[Connection, Event], None]:
    """An effect that can happen only once: a second one would break the key."""

    def effect(connection: Connection, _event: Event) -> None:
        connection.execute(insert(cursors).values(name=f"effect:{handler}", position=1, token=0))

    return effect


async def effects(store: Store) -> dict[str, int]:
    def query(connection: Connection) -> dict[str, int]:
        rows = connection.execute(select(cursors.c.name, cursors.c.position).where(cursors.c.name.like("effect:%")))
        return {row.name: row.position for row in rows}

    return await store.database.read(query)

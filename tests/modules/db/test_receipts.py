"""The effect of an event happens once: its receipt is written with it, and answers whoever delivers the event again."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import Connection, select

from nervio.db.batch import Command
from nervio.db.tables import inbox
from nervio.kernel.errors import NervioError, conflict
from nervio.kernel.ids import new_id
from tests.builders import Store
from tests.modules.db.deeds import PUT, Done, Put, mood, names, put


@pytest.fixture(autouse=True)
def calm() -> Iterator[None]:
    yield
    mood.before = lambda _: None


def effect(name: str, event_id: str, handler: str = "search") -> Command[Put, Done]:
    """The command of a handler for an event."""
    command = put(name)
    command.receipt = (handler, event_id)
    return command


def received(connection: Connection) -> set[tuple[str, str]]:
    return {(row.handler, row.event_id) for row in connection.execute(select(inbox))}


async def test_a_second_delivery_gets_the_first_ones_reply_and_has_no_effect(store: Store) -> None:
    event_id = new_id()
    first = await store.database.submit(effect("a", event_id))
    # Even if the handler would decide otherwise by now: what was answered is what was done.
    assert await store.database.submit(effect("b", event_id)) == first == Done("a", 0)
    assert await store.database.submit(effect("c", event_id, "mail")) == Done("c", 0)
    assert await store.database.read(names) == ["a", "c"]
    assert await store.database.read(received) == {("search", event_id), ("mail", event_id)}


async def test_deliveries_that_meet_have_one_effect_between_them(store: Store) -> None:
    event_id = new_id()
    apart = asyncio.gather(*(store.database.submit(effect(f"n{n}", event_id)) for n in range(8)))
    together = await store.database.submit_all([effect(f"m{n}", event_id) for n in range(8)])
    assert len({done.name for done in [*(await apart), *together]}) == 1  # type: ignore[attr-defined]
    assert len(await store.database.read(names)) == 1


async def test_a_refusal_leaves_no_receipt(store: Store) -> None:
    event_id = new_id()

    def refuse(_body: Put) -> None:
        raise conflict("not_yet", "not yet")

    mood.before = refuse
    with pytest.raises(NervioError, match="not yet"):
        await store.database.submit(effect("a", event_id))
    assert await store.database.read(received) == set()
    mood.before = lambda _: None
    assert await store.database.submit(effect("a", event_id)) == Done("a", 0)


async def test_commands_of_a_handlers_context_carry_its_receipt_and_no_key_of_their_own(store: Store) -> None:
    event_id = new_id()
    ctx = replace(store.ctx, receipt=("search", event_id))
    plain, keyed = ctx.command(PUT, Put("a"), None), ctx.command(PUT, Put("b"), "second")
    assert (plain.key, plain.receipt) == (None, ("search:test.put", event_id))
    assert (keyed.key, keyed.receipt) == ("second", ("search:test.put:second", event_id))
    await store.database.submit_all([plain, keyed])
    again = await ctx.submit_all([ctx.command(PUT, Put("x"), None), ctx.command(PUT, Put("b"), "second")])
    assert again == [Done("a", 0), Done("b", 0)]


async def test_neighbours_in_a_batch_are_not_concerned(store: Store) -> None:
    event_id = new_id()
    await store.database.submit(effect("a", event_id))
    outcomes = await store.database.submit_all(
        [put("b"), effect("x", event_id), put("c", key="k"), effect("d", new_id())]
    )
    assert [done.name for done in outcomes] == ["b", "a", "c", "d"]  # type: ignore[attr-defined]

"""What a transport removes by age: how publishing goes on after it, and that nobody misses what was removed unread."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.events.servers import nats_server
from nervio.adapters.bus import delivery, nats_gaps
from nervio.adapters.bus import nats as nats_bus
from nervio.adapters.bus import redis as redis_bus
from nervio.adapters.bus.nats import NatsBus
from nervio.adapters.bus.redis import RedisBus
from nervio.db.outbox import newest_event_position
from nervio.kernel.errors import Kind, NervioError
from nervio.ports.bus import BusChanged, Event
from nervio.runtime.relay import Relay
from tests.builders import a_store
from tests.conformance.buses import Journal, an_event, publish
from tests.redis_server import a_redis
from tests.runtime.test_handlers import House, Process, impatient, letters_of

KEEP_SECONDS = 1.0
EVENTS = 300
"""Redis removes whole nodes of a hundred."""

__all__ = ["impatient"]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trims often, and a dead reader is followed soon."""
    monkeypatch.setattr(redis_bus, "TRIM_SECONDS", 0.1)
    monkeypatch.setattr(nats_bus, "LEASE_SECONDS", 1.0)
    monkeypatch.setattr(nats_bus, "RENEW_SECONDS", 0.25)
    monkeypatch.setattr(nats_bus, "TEND_SECONDS", 0.1)


async def until(condition: Callable[[], bool]) -> None:
    """Waits for something that will be so."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 (what is waited for has no event)
            await asyncio.sleep(0.02)


async def length_of(bus: RedisBus) -> int:
    """How many entries the stream holds."""
    length: Any = bus._client.xlen(bus._stream)
    return int(await length)


async def messages_in(bus: NatsBus) -> tuple[int, int]:
    """How many messages the stream holds, and the last sequence it gave."""
    state = (await (await bus._open()).js.stream_info(bus._stream)).state
    return state.messages, state.last_seq


@pytest.mark.services("redis")
async def test_redis_keeps_no_longer_than_told_and_always_what_a_group_has_still_to_read() -> None:
    with a_redis() as server:
        journal, buses = Journal(), [RedisBus(server.url, "t", KEEP_SECONDS) for _ in range(3)]
        publisher, away, reader = buses

        async def note(event: Event) -> None:
            journal.note("reader", event)

        reader.subscribe("*", note, journal.group())
        leave_at = EVENTS + 1
        await publish(publisher, an_event(1))
        await journal.until(lambda: len(journal.handled) == 1)
        # Another group reads one event and goes away.
        missed = Journal()

        async def later(event: Event) -> None:
            missed.note("away", event)

        away.subscribe("*", later, missed.group("test.away"))
        await missed.until(lambda: len(missed.handled) == 1)
        await away.close()
        await publish(publisher, *(an_event(n) for n in range(2, leave_at)))
        await journal.until(lambda: len(journal.handled) == EVENTS)
        await asyncio.sleep(2 * KEEP_SECONDS)
        assert await length_of(publisher) >= EVENTS - 1, "somebody has them still to read"
        back = RedisBus(server.url, "t", KEEP_SECONDS)
        back.subscribe("*", later, missed.group("test.away"))
        await missed.until(lambda: len(missed.handled) == EVENTS)
        assert missed.positions() == [*range(1, leave_at)]
        async with asyncio.timeout(30):
            while await length_of(publisher) > 100:  # noqa: ASYNC110 (the server gives no event)
                await asyncio.sleep(0.05)
        await publisher._client.xtrim(publisher._stream, maxlen=0)
        assert await publisher.newest() is None
        await publisher.publish_all([an_event(leave_at)])
        with pytest.raises(BusChanged):
            await RedisBus(server.url, "t", KEEP_SECONDS).publish_all([an_event(leave_at)])
        await journal.until(lambda: journal.positions()[-1] == leave_at)
        await missed.until(lambda: missed.positions()[-1] == leave_at)
        for bus in (*buses, back):
            await bus.close()


@asynccontextmanager
async def a_nats(folder: Path, keep_seconds: float = KEEP_SECONDS) -> AsyncIterator[Callable[[], NatsBus]]:
    """A server of one's own, and buses on it that keep events so long."""
    made: list[NatsBus] = []

    def make() -> NatsBus:
        made.append(NatsBus(server.url, "t", keep_seconds))
        return made[-1]

    with nats_server(folder / "nats") as server:
        try:
            yield make
        finally:
            for bus in made:
                await bus.close()


async def all_removed(bus: NatsBus) -> None:
    """Waits until the stream holds nothing any more."""
    async with asyncio.timeout(30):
        while (await messages_in(bus))[0]:  # noqa: ASYNC110 (the server gives no event)
            await asyncio.sleep(0.05)


@pytest.mark.services("nats")
async def test_nats_remembers_its_last_sequence_when_all_is_removed(tmp_path: Path) -> None:
    async with a_nats(tmp_path) as make:
        publisher, journal = make(), Journal()
        await publish(publisher, *(an_event(n) for n in range(1, 6)))
        await all_removed(publisher)
        assert await messages_in(publisher) == (0, 5)
        assert await publisher.newest() is None
        await publisher.publish_all([an_event(6)])
        assert await messages_in(publisher) == (1, 6)

        async def note(event: Event) -> None:
            journal.note("late", event)

        make().subscribe("*", note, journal.group())
        await publish(publisher, an_event(7))
        await journal.until(lambda: 7 in journal.positions())


@pytest.mark.services("nats")
async def test_what_nats_removed_behind_a_full_window_comes_from_the_outbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "WINDOW", 10)
    monkeypatch.setattr(nats_gaps, "ROOM", 1)
    async with a_nats(tmp_path) as make:
        journal, going_on = Journal(), asyncio.Event()
        outbox = [an_event(n) for n in range(1, 32)]

        async def recall(after: tuple[int, int] | None) -> list[Event]:
            return [event for event in outbox if (event.position, event.n) > (after or (0, 0))][:7]

        async def handle(event: Event) -> None:
            await going_on.wait()
            journal.note("reader", event)

        publisher, reader = make(), make()
        reader.subscribe("*", handle, replace(journal.group(), recall=recall))
        await publish(publisher, *outbox[:30])
        await until(lambda: len(reader._subscriptions.members["test.handler"].replies) >= 10)
        await all_removed(publisher)
        going_on.set()
        await publish(publisher, outbox[30])
        await journal.until(lambda: set(journal.positions()) == set(range(1, 32)))
        assert list(dict.fromkeys(journal.positions())) == [*range(1, 32)], "in order, some of them twice"


@pytest.mark.services("nats")
async def test_a_message_that_somebody_deleted_holds_nobody_up(tmp_path: Path) -> None:
    async with a_nats(tmp_path, 3600) as make:
        publisher, reader, journal = make(), make(), Journal()
        await publish(publisher, *(an_event(n) for n in range(1, 6)))
        await (await publisher._open()).js.delete_msg(publisher._stream, 3)

        async def recall(_after: tuple[int, int] | None) -> list[Event]:
            return []

        async def note(event: Event) -> None:
            journal.note("reader", event)

        reader.subscribe("*", note, replace(journal.group(), recall=recall))
        await journal.until(lambda: set(journal.positions()) == {1, 2, 4, 5})
        await publish(publisher, an_event(6))
        await journal.until(lambda: journal.positions()[-1] == 6)


async def die(process: Process, bus: NatsBus) -> None:
    """Without a word to NATS either."""
    await process.kill()
    assert bus._tender is not None
    bus._tender.cancel()
    await asyncio.gather(bus._tender, return_exceptions=True)
    bus._tender = None
    await bus._drop()
    for member in bus._subscriptions.members.values():
        await member.delivery.close()
        member.acks.clear()


@pytest.mark.services("nats")
@pytest.mark.parametrize("in_hand", [False, True], ids=["while it was away", "while it had them in hand and died"])
async def test_what_nats_removed_before_it_was_handled_comes_from_the_outbox(tmp_path: Path, in_hand: bool) -> None:
    # Whoever was away is back before the newest event is removed as well: an empty stream would be filled again.
    keep_seconds = KEEP_SECONDS if in_hand else 5 * KEEP_SECONDS
    async with a_store(tmp_path) as store, a_nats(tmp_path, keep_seconds) as make:
        buses: list[NatsBus] = []

        def make_bus() -> NatsBus:
            buses.append(make())
            return buses[-1]

        house = House(store, make_bus)
        tried: list[int] = []

        def halted(event: Event) -> None:
            tried.append(event.position)
            raise NervioError(Kind.HALTED, "halted", "Stopped: drill")

        first = await house.start()
        await house.sell(3)
        await house.counting.counted(3)
        if in_hand:
            house.counting.before = halted
            await house.sell(5)
            await until(lambda: bool(tried) and len(buses[0]._subscriptions.members["test.counting"].replies) == 5)
            await all_removed(buses[0])
            await die(first, buses[0])
        else:
            await die(first, buses[0])
            store.clock.advance(60)
            publisher = make()
            relay = Relay(store.database, publisher, store.clock, "relay")
            await house.sell(5)
            while await relay.run_once() or not relay._position or relay._is_unsure:
                pass
            newest = await store.database.read(newest_event_position)
            assert relay._position >= newest, "all is published"
            await all_removed(publisher)
            # With something left in the stream, the relay sees no cause to publish again.
            await house.sell(1)
            while not (await messages_in(publisher))[0]:
                await relay.run_once()
            await relay.close()
        house.counting.before = lambda _: None
        store.clock.advance(60)
        second = await house.start()
        await house.sell(1)
        wanted = 9 if in_hand else 10
        assert len(await house.counting.counted(wanted)) == wanted
        assert house.counting.in_order
        assert await store.database.read(letters_of) == []
        await second.kill()

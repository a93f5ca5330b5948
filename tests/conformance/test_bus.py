"""Every bus keeps the promises of the port: in process, over Redis Streams, over NATS JetStream."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

import pytest

from nervio.adapters.bus import delivery
from nervio.adapters.bus.redis import RedisBus
from nervio.kernel.errors import Kind, NervioError
from nervio.ports.bus import Bus, BusChanged, DeadLetter, Event
from tests.conformance.buses import Journal, Transport, a_transport, an_event, publish

SHARED = [
    pytest.param("redis", marks=pytest.mark.services("redis")),
    pytest.param("nats", marks=pytest.mark.services("nats")),
]


@pytest.fixture(params=["memory", *SHARED])
async def transport(request: pytest.FixtureRequest) -> AsyncIterator[Transport]:
    """Each of the three."""
    async with a_transport(request.param) as made:
        yield made


@pytest.fixture(params=SHARED)
async def shared(request: pytest.FixtureRequest) -> AsyncIterator[Transport]:
    """Those that keep what was published."""
    async with a_transport(request.param) as made:
        yield made


@pytest.fixture
def journal() -> Journal:
    """Where handlers write what they were given."""
    return Journal()


def noting(journal: Journal, who: str) -> Callable[[Event], Awaitable[None]]:
    """A handler that notes."""

    async def handle(event: Event) -> None:
        await asyncio.sleep(0)
        journal.note(who, event)

    return handle


async def listening(bus: Bus, journal: Journal, *names: str) -> None:
    """Waits until listeners that were just added hear something; what they heard until then is forgotten."""
    probe = 0
    while {who for who, _ in journal.handled} != set(names):
        probe += 1
        await publish(bus, an_event(probe, kind="probe.v1"))
        with suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                await journal.until(lambda: {who for who, _ in journal.handled} == set(names))
    await asyncio.sleep(0.2)
    journal.handled.clear()


async def test_every_listener_of_every_process_hears_every_event_in_order(
    transport: Transport, journal: Journal
) -> None:
    first, second = transport.bus(), transport.bus()
    for channel, bus, who in (("*", first, "all"), ("*", second, "elsewhere"), ("sold.v1", first, "sales")):
        bus.subscribe(channel, noting(journal, who))
    first.subscribe("probe.v1", noting(journal, "sales"))
    await listening(first, journal, "all", "elsewhere", "sales")
    events = [an_event(100 + n, kind="sold.v1" if n % 2 else "moved.v1") for n in range(40)]
    await publish(first, *events[:25])
    await publish(first, *events[25:])
    await journal.until(lambda: len(journal.handled) == 100)
    for who, wanted in (("all", events), ("elsewhere", events), ("sales", events[1::2])):
        assert [event for name, event in journal.handled if name == who] == wanted


async def test_a_listener_that_left_hears_nothing_more(transport: Transport, journal: Journal) -> None:
    bus = transport.bus()
    leave = bus.subscribe("*", noting(journal, "left"))
    bus.subscribe("*", noting(journal, "stays"))
    await listening(bus, journal, "left", "stays")
    leave()
    await publish(bus, an_event(200))
    await journal.until(lambda: bool(journal.handled))
    assert [who for who, _ in journal.handled] == ["stays"]


async def test_of_a_group_one_member_gets_each_event_and_keys_keep_their_order(
    transport: Transport, journal: Journal
) -> None:
    members = [transport.bus(), transport.bus()]
    for n, bus in enumerate(members):
        group = journal.group()
        bus.subscribe("sold.v1", noting(journal, f"member-{n}"), group)
        bus.subscribe("moved.v1", noting(journal, f"member-{n}"), group)
    events = [an_event(1 + n, f"key-{n % 7}", ("sold.v1", "moved.v1", "other.v1")[n % 3]) for n in range(300)]
    for first in range(0, 300, 60):
        await publish(members[0], *events[first : first + 60])
    await journal.until(lambda: len(journal.handled) >= 200)
    wanted = [event.position for event in events if event.type != "other.v1"]
    assert sorted(journal.positions()) == wanted
    for key in {event.key for event in events}:
        assert journal.positions(key) == sorted(journal.positions(key))
    assert journal.buried == []


async def test_an_event_comes_again_until_it_is_handled_and_other_keys_go_on(
    transport: Transport, journal: Journal
) -> None:
    bus, tries = transport.bus(), 0

    async def stumble(event: Event) -> None:
        nonlocal tries
        if event.position == 1:
            tries += 1
            if tries < 4 or len(journal.handled) < 2:
                raise OSError("not yet")
        journal.note("handler", event)

    bus.subscribe("*", stumble, journal.group(attempts=1000))
    await publish(bus, an_event(1, "bad"), an_event(2, "bad"), an_event(3, "good"), an_event(4, "other"))
    await journal.until(lambda: len(journal.handled) == 4)
    assert tries >= 4
    assert journal.positions("bad") == [1, 2], "what comes after it waits for it"
    assert journal.positions().index(3) < journal.positions().index(1)


async def test_after_so_many_attempts_an_event_is_buried_with_its_reason_and_its_key_goes_on(
    transport: Transport, journal: Journal
) -> None:
    bus, tries = transport.bus(), 0

    async def choke(event: Event) -> None:
        nonlocal tries
        if event.position == 1:
            tries += 1
            raise ValueError("cannot digest this")
        journal.note("handler", event)

    bus.subscribe("*", choke, journal.group(attempts=3))
    first = an_event(1)
    await publish(bus, first, an_event(2), an_event(3))
    await journal.until(lambda: len(journal.handled) == 2)
    (letter,) = journal.buried
    assert (letter.event, letter.group, letter.attempts, tries) == (first, "test.handler", 3, 3)
    assert letter.reason == "ValueError: cannot digest this"
    assert journal.positions() == [2, 3]


async def test_a_letter_that_cannot_be_kept_is_not_lost(transport: Transport, journal: Journal) -> None:
    bus, refused = transport.bus(), 0
    group = journal.group(attempts=1)
    kept = group.bury

    async def bury_late(letter: DeadLetter) -> None:
        nonlocal refused
        refused += 1
        if refused < 3:
            raise OSError("the store is away")
        await kept(letter)

    async def choke(_event: Event) -> None:
        raise ValueError("no")

    bus.subscribe("*", choke, replace(group, bury=bury_late))
    await publish(bus, an_event(1))
    await journal.until(lambda: len(journal.buried) == 1)
    assert refused == 3


async def test_being_stopped_counts_no_attempt(
    transport: Transport, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "MOMENT_SECONDS", 0.02)
    bus, tries = transport.bus(), 0

    async def halted(event: Event) -> None:
        nonlocal tries
        tries += 1
        if tries < 10:
            raise NervioError(Kind.HALTED, "halted", "Stopped: drill")
        journal.note("handler", event)

    bus.subscribe("*", halted, journal.group(attempts=2))
    await publish(bus, an_event(1))
    await journal.until(lambda: len(journal.handled) == 1)
    assert tries == 10
    assert journal.buried == []


async def test_a_handler_without_an_end_is_a_failed_one(transport: Transport, journal: Journal) -> None:
    bus = transport.bus()

    async def hang(event: Event) -> None:
        if event.position == 1:
            await asyncio.Event().wait()
        journal.note("handler", event)

    bus.subscribe("*", hang, journal.group(attempts=2, seconds=0.05))
    await publish(bus, an_event(1), an_event(2))
    await journal.until(lambda: len(journal.handled) == 1)
    assert journal.buried[0].reason == "TimeoutError: no end after 0.05 s"


async def test_what_a_member_had_not_handled_when_it_left_goes_to_another_first(
    transport: Transport, journal: Journal
) -> None:
    first, second = transport.bus(), transport.bus()
    holding = asyncio.Event()

    async def hold(event: Event) -> None:
        holding.set()
        await asyncio.Event().wait()

    leave = first.subscribe("*", hold, journal.group())
    await publish(first, *(an_event(n) for n in range(1, 6)))
    await holding.wait()
    second.subscribe("*", noting(journal, "second"), journal.group())
    if transport.is_shared:
        await first.close()
        await publish(second, an_event(6))
    else:
        leave()
        await publish(second, an_event(6))
    await journal.until(lambda: len(journal.handled) == 6)
    assert journal.positions() == [1, 2, 3, 4, 5, 6]


async def test_a_group_that_was_away_gets_what_was_published_meanwhile(shared: Transport, journal: Journal) -> None:
    publisher, before = shared.bus(), shared.bus()
    before.subscribe("*", noting(journal, "before"), journal.group())
    await publish(publisher, an_event(1), an_event(2))
    await journal.until(lambda: len(journal.handled) == 2)
    await before.close()
    await publish(publisher, an_event(3), an_event(4))
    shared.bus().subscribe("*", noting(journal, "after"), journal.group())
    await journal.until(lambda: len(journal.handled) == 4)
    assert [(who, event.position) for who, event in journal.handled] == [
        ("before", 1),
        ("before", 2),
        ("after", 3),
        ("after", 4),
    ]


async def test_a_new_group_begins_with_what_the_transport_holds(shared: Transport, journal: Journal) -> None:
    bus = shared.bus()
    await publish(bus, an_event(1), an_event(2))
    bus.subscribe("*", noting(journal, "late"), journal.group())
    await journal.until(lambda: len(journal.handled) == 2)
    assert journal.positions() == [1, 2]


async def test_publishing_goes_on_only_where_the_transport_was_left(shared: Transport) -> None:
    first, second = shared.bus(), shared.bus()
    assert await first.newest() is None
    with pytest.raises(BusChanged):
        await second.publish_all([an_event(1)])
    events = [an_event(n) for n in range(1, 1001)]
    await first.publish_all(events)
    assert await second.newest() == events[-1]
    await second.publish_all([an_event(1001)])
    with pytest.raises(BusChanged):
        await first.publish_all([an_event(1001)])
    newest = await first.newest()
    assert newest is not None
    assert newest.position == 1001
    await first.publish_all([an_event(1002)])


@pytest.mark.parametrize("new", [0, 1, 700])
async def test_a_publisher_that_begins_long_before_the_end_gets_past_it(
    shared: Transport, journal: Journal, new: int
) -> None:
    # Who takes over from a killed relay begins at its last mark, and much of what comes after it is in the transport already.
    events = [an_event(n, f"key-{n % 7}") for n in range(1, 1001 + new)]
    await publish(shared.bus(), *events[:1000])
    successor = shared.bus()
    for _ in range(3):
        try:
            await publish(successor, *events)
            break
        except BusChanged:
            continue
    else:
        pytest.fail("it never gets past what is there")
    await publish(successor, an_event(5000, "after"))
    successor.subscribe("*", noting(journal, "reader"), journal.group())
    await journal.until(lambda: 5000 in journal.positions())
    await journal.until(lambda: len(set(journal.positions())) == len(events) + 1)


async def test_a_closed_bus_takes_nothing(transport: Transport) -> None:
    bus = transport.bus()
    await publish(bus, an_event(1))
    await bus.close()
    with pytest.raises(RuntimeError, match="closed"):
        await bus.publish_all([an_event(2)])


@pytest.mark.services("redis")
async def test_what_was_read_in_an_answer_that_got_lost_is_claimed_by_the_same_reader(journal: Journal) -> None:
    async with a_transport("redis") as transport:
        publisher, reader = transport.bus(), transport.bus()
        assert isinstance(reader, RedisBus)
        reader.subscribe("*", noting(journal, "reader"), journal.group())
        await publish(publisher, an_event(1))
        await journal.until(lambda: len(journal.handled) == 1)
        await publish(publisher, an_event(2))
        # As if the connection had broken between Redis's reading and our hearing: the entry is ours, and nobody knows.
        name = publisher._stream  # type: ignore[attr-defined]
        await reader._client.xadd(name, {"event": "not ours at all"})
        taken = await reader._client.xreadgroup("test.handler", reader._owner, {name: ">"}, count=10)
        reader._subscriptions.members["test.handler"].must_claim = True
        await publish(publisher, an_event(3))
        await journal.until(lambda: len(journal.handled) == 3)
        assert journal.positions() == [1, 2, 3], taken

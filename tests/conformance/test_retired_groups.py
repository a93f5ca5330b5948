"""What a shared bus keeps for a handler that is no more goes, once nobody of the version before runs it."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from nervio.adapters.bus import nats_groups, retired
from nervio.adapters.bus.nats import NatsBus
from nervio.adapters.bus.redis import RedisBus
from nervio.ports.bus import Bus, Event
from tests.conformance.buses import Journal, Transport, a_transport, an_event, publish

PATIENCE_SECONDS = 20.0
OLD, NEW = "test.old", "test.new"


@pytest.fixture(
    params=[
        pytest.param("redis", marks=pytest.mark.services("redis")),
        pytest.param("nats", marks=pytest.mark.services("nats")),
    ]
)
async def shared(request: pytest.FixtureRequest) -> AsyncIterator[Transport]:
    """Those that keep what was published."""
    async with a_transport(request.param) as made:
        yield made


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks often and waits for nobody, so that the suite need not wait."""
    monkeypatch.setattr(retired, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(retired, "GRACE_SECONDS", 0.1)


async def groups_of(bus: Bus) -> set[str]:
    """For whom the transport keeps something."""
    if isinstance(bus, RedisBus):
        return {group["name"] for group in await bus._client.xinfo_groups(bus._stream)}
    assert isinstance(bus, NatsBus)
    session = await bus._open()
    found = await session.js.consumers_info(bus._stream)
    return {name for name in (OLD, NEW) for one in found if one.name.startswith(nats_groups._prefix(name))}


async def test_a_group_goes_when_nobody_reads_for_it_any_more(shared: Transport) -> None:
    before, now, journal = shared.bus(), shared.bus(), Journal()

    async def handle_old(event: Event) -> None:
        journal.note(OLD, event)

    async def handle_new(event: Event) -> None:
        journal.note(NEW, event)

    before.subscribe("*", handle_old, journal.group(OLD))
    now.subscribe("*", handle_new, journal.group(NEW))
    now.retire([OLD, "test.never"])
    await publish(before, an_event(1))
    await journal.until(lambda: len(journal.handled) == 2)
    await asyncio.sleep(0.5)
    assert await groups_of(now) == {OLD, NEW}, "the process of the version before still runs it"
    await publish(before, an_event(2))
    await journal.until(lambda: len(journal.handled) == 4)
    await before.close()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await groups_of(now) != {NEW}:  # noqa: ASYNC110 (what is waited for has no event)
            await asyncio.sleep(0.05)
    await publish(now, an_event(3))
    await journal.until(lambda: len(journal.handled) == 5)
    assert journal.positions() == [1, 1, 2, 2, 3]


async def test_a_group_that_is_away_for_a_moment_stays(shared: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retired, "GRACE_SECONDS", 600.0)
    before, now, journal = shared.bus(), shared.bus(), Journal()

    async def handle(event: Event) -> None:
        journal.note("handler", event)

    before.subscribe("*", handle, journal.group(OLD))
    await publish(before, an_event(1))
    await journal.until(lambda: len(journal.handled) == 1)
    now.subscribe("*", handle, journal.group(NEW))
    now.retire([OLD])
    await journal.until(lambda: len(journal.handled) == 2)
    await before.close()
    await asyncio.sleep(0.5)
    assert await groups_of(now) == {OLD, NEW}

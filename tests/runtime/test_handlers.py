"""What modules do about events: once in effect, in order of the key, over restarts and by several processes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from nervio.adapters.bus import retired
from nervio.db import dead_letters, leases
from nervio.db.batch import Batch, Command, Effect, Operation
from nervio.db.context import Ctx
from nervio.db.sequencer import number_commits
from nervio.db.tables import cursors
from nervio.db.writes import Insert
from nervio.events.sales import SALE_RECORDED
from nervio.kernel.errors import Kind, NervioError
from nervio.modules.safety.api import alerts
from nervio.modules.safety.models.alerts import alerts as alerts_raised
from nervio.ports.bus import Bus, Event
from nervio.runtime import handlers, replays
from nervio.runtime.handlers import Handlers, Surroundings
from nervio.runtime.relay import Relay
from nervio.web.manifest import EventHandler
from tests.builders import Store, a_postgres_store, a_sale, a_store
from tests.conformance.buses import a_transport
from tests.conformance.test_retired_groups import groups_of

PATIENCE_SECONDS = 30.0
KINDS = [
    "memory",
    pytest.param("redis", marks=pytest.mark.services("redis")),
    pytest.param("nats", marks=pytest.mark.services("nats")),
]


@dataclass(frozen=True, slots=True)
class Count:
    """An effect to write down."""

    event_id: str
    position: int


def _count(batch: Batch, command: Command[Count, int]) -> int:
    # A second effect of an event would break the key of the table.
    name = f"effect:{command.body.event_id}"
    batch.writes.append(Insert(cursors, ("name", "position", "token"), [(name, command.body.position, 0)]))
    return command.body.position


COUNT = Operation("test.count", Effect.INCREASE, Count, int, _count)


def effects(connection: Connection) -> list[int]:
    """The positions of the events that had their effect."""
    found = select(cursors.c.position).where(cursors.c.name.like("effect:%")).order_by(cursors.c.position)
    return list(connection.execute(found).scalars())


async def until(store: Store, condition: Callable[[Connection], bool]) -> None:
    """Waits, while time goes by, for something that will be so in the store."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await store.database.read(condition):
            store.clock.advance(0.05)
            await asyncio.sleep(0.02)


def letters_of(connection: Connection) -> list[dead_letters.KeptLetter]:
    """Every dead letter."""
    return dead_letters.list_letters(connection, None)


@dataclass
class Counting:
    """A handler that counts sales, and whatever else a test has it do."""

    store: Store
    before: Callable[[Event], None] = lambda _: None
    order: list[int] = field(default_factory=list)

    async def handle(self, ctx: Ctx, event: Event) -> None:
        """Counts the sale."""
        self.before(event)
        await ctx.submit(COUNT, Count(event.id, event.position), None)
        self.order.append(event.position)

    @property
    def handler(self) -> EventHandler:
        """As a manifest has it."""
        return EventHandler("test.counting", (SALE_RECORDED,), self.handle)

    @property
    def in_order(self) -> bool:
        """Whether each sale was first handled after those before it; what comes twice has no effect."""
        firsts = list(dict.fromkeys(self.order))
        return firsts == sorted(firsts)

    async def counted(self, wanted: int) -> list[int]:
        """Waits for so many effects."""
        found: list[int] = []

        def enough(connection: Connection) -> bool:
            found[:] = effects(connection)
            return len(found) >= wanted

        await until(self.store, enough)
        return found


@dataclass
class Process:
    """Relay and handlers of one process, turned by hand as often as somebody waits."""

    relay: Relay
    handlers: Handlers
    task: asyncio.Task[None] | None = None

    async def work(self) -> None:
        """Until it is killed."""
        while True:
            for part in (self.relay.run_once, self.handlers.run_once):
                try:
                    await part()
                except (NervioError, OSError):
                    await asyncio.sleep(0.05)
            await asyncio.sleep(0.01)

    async def kill(self) -> None:
        """Ends it without a word to anybody."""
        assert self.task is not None
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        for follower in self.handlers._followers:
            await follower.delivery.close()


class House:
    """A store and processes over one transport."""

    def __init__(self, store: Store, make_bus: Callable[[], Bus]) -> None:
        self.store, self.make_bus = store, make_bus
        self.made = 0
        self.counting = Counting(store)
        self.processes: list[Process] = []

    async def start(self, handler: EventHandler | None = None, attempts: int = 5) -> Process:
        """Another process."""
        self.made += 1
        bus, store = self.make_bus(), self.store
        around = Surroundings(
            store.database,
            bus,
            store.clock,
            f"process-{self.made}",
            lambda tenant_id: replace(store.ctx, tenant_id=tenant_id),
            attempts=attempts,
            seconds=10.0,
        )
        relay = Relay(store.database, bus, store.clock, f"process-{self.made}")
        process = Process(relay, Handlers([handler or self.counting.handler], around))
        await process.handlers.run_once()
        process.task = asyncio.create_task(process.work())
        self.processes.append(process)
        return process

    async def sell(self, times: int) -> None:
        """Sells, and numbers what was sold."""
        for _ in range(times):
            await a_sale(self.store)
        await self.store.database.bookkeep("sequence", number_commits)


@asynccontextmanager
async def a_house(store: Store, kind: str) -> AsyncIterator[House]:
    """Ends every process that is still alive."""
    async with a_transport(kind) as transport:
        house = House(store, transport.make if kind == "memory" else transport.bus)
        try:
            yield house
        finally:
            for process in house.processes:
                await process.kill()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks often, so that the suite need not wait."""
    monkeypatch.setattr(handlers, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(replays, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(handlers, "MARK_SECONDS", 0.02)


@pytest.mark.parametrize("kind", KINDS)
async def test_every_sale_has_its_effect_once_and_a_restart_goes_on(tmp_path: Path, kind: str) -> None:
    async with a_store(tmp_path) as store, a_house(store, kind) as house:
        await house.sell(2)  # before the handler was ever run: none of its business
        first = await house.start()
        await house.sell(20)
        before = await house.counting.counted(20)
        await first.kill()
        await house.sell(5)
        store.clock.advance(60)  # its leases run out
        await house.start()
        after = await house.counting.counted(25)
        assert after[:20] == before
        assert house.counting.in_order


@pytest.mark.parametrize("kind", KINDS)
async def test_a_poisoned_event_becomes_a_letter_and_is_handled_when_somebody_asks(tmp_path: Path, kind: str) -> None:
    async with a_store(tmp_path) as store, a_house(store, kind) as house:
        poisoned = True

        def choke(_event: Event) -> None:
            if poisoned:
                raise ValueError("cannot digest this")

        house.counting.before = choke
        await house.start(attempts=2)
        await house.sell(1)
        await until(store, lambda c: bool(letters_of(c)))
        (letter,) = await store.database.read(letters_of)
        assert (letter.handler, letter.reason, letter.attempts) == (
            "test.counting",
            "ValueError: cannot digest this",
            2,
        )
        assert letter.event.tenant_id == store.ctx.tenant_id
        await until(store, lambda c: c.execute(select(alerts_raised.c.id)).first() is not None)
        (told,) = await alerts.list_alerts(store.ctx)
        assert (told.code, told.link, told.figures["reason"]) == ("event_dead", "/console/safety/events", letter.reason)

        async def ask() -> None:
            await store.database.bookkeep(
                "handlers", lambda c: dead_letters.ask_again(c, store.ctx.tenant_id, letter.id, "ana")
            )

        await ask()
        await until(store, lambda c: letters_of(c)[0].attempts == 4)
        poisoned = False
        await ask()
        assert await house.counting.counted(1) == [letter.event.position]
        await until(store, lambda c: not letters_of(c))


async def test_a_stop_parks_events_and_no_attempt_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nervio.adapters.bus.delivery.MOMENT_SECONDS", 0.01)
    async with a_store(tmp_path) as store, a_house(store, "memory") as house:
        tries = 0

        def halted(_event: Event) -> None:
            nonlocal tries
            tries += 1
            if tries < 20:
                raise NervioError(Kind.HALTED, "halted", "Stopped: drill")

        house.counting.before = halted
        process = await house.start(attempts=2)
        await house.sell(1)
        assert len(await house.counting.counted(1)) == 1
        assert await store.database.read(letters_of) == []
        await process.handlers.close()
        position = await store.database.read(lambda c: leases.read_cursor(c, "handler:test.counting"))
        assert position >= house.counting.order[0], "the cursor waited for it and went on"


@pytest.mark.services("postgres")
async def test_on_postgresql_two_processes_without_a_server_between_them_handle_each_event_once(
    postgres_url: str,
) -> None:
    async with a_postgres_store(postgres_url) as store, a_house(store, "memory") as house:
        first = await house.start()
        await house.start()
        await house.sell(10)
        await house.counting.counted(10)
        await first.kill()
        await house.sell(10)
        store.clock.advance(60)
        assert len(await house.counting.counted(20)) == 20
        assert house.counting.in_order


async def test_the_cursor_of_a_handler_that_is_no_more_keeps_no_event(tmp_path: Path) -> None:
    async with a_store(tmp_path) as store, a_house(store, "memory") as house:

        async def nothing(_ctx: Ctx, _event: Event) -> None:
            return

        first = await house.start(EventHandler("test.old", (SALE_RECORDED,), nothing))
        await first.kill()
        await house.start()
        found = await store.database.read(lambda c: c.execute(select(cursors.c.name)).scalars().all())
        assert "handler:test.old" not in found
        assert "handler:test.counting" in found


@pytest.mark.services("redis")
async def test_what_the_bus_keeps_for_a_handler_that_is_no_more_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retired, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(retired, "GRACE_SECONDS", 0.1)
    async with a_store(tmp_path) as store, a_house(store, "redis") as house:

        async def nothing(_ctx: Ctx, _event: Event) -> None:
            return

        first = await house.start(EventHandler("test.old", (SALE_RECORDED,), nothing))
        await house.sell(1)
        bus = first.handlers._around.bus
        await until(store, lambda _: bool(bus.settled("test.old")))
        await first.kill()
        await bus.close()
        second = await house.start()
        async with asyncio.timeout(PATIENCE_SECONDS):
            now = second.handlers._around.bus
            while await groups_of(now) != {"test.counting"}:  # noqa: ASYNC110 (what is waited for has no event)
                await asyncio.sleep(0.05)

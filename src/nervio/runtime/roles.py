"""What a process does: one table of roles and what each runs. `nervio up` runs all of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from nervio.db.context import Ctx
from nervio.kernel.errors import invalid
from nervio.kernel.ids import NIL
from nervio.modules.fleet.api import Dispatcher
from nervio.modules.jobs.api import JobRunner
from nervio.ports.bus import Bus
from nervio.ports.clock import Clock
from nervio.runtime import handlers
from nervio.runtime.commits import RingingDatabase
from nervio.runtime.handlers import Handlers, Surroundings
from nervio.runtime.periodics import PacedWork, PeriodicRunner
from nervio.runtime.relay import RELAY_POLL_SECONDS, SEQUENCE_POLL_SECONDS, Relay, Sequencer, follow, wait_any
from nervio.runtime.settings import Settings
from nervio.web.manifest import EventHandler

log = logging.getLogger(__name__)

Work = Callable[[], Coroutine[Any, Any, None]]
"""Begins the work, or begins it again where it ended too early; what it remembers it keeps."""

SHUTDOWN_SECONDS = 10.0
"""How long a round of work that is under way may take to end at shutdown."""
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0


class Program(Protocol):
    """What roles need of the program."""

    @property
    def database(self) -> RingingDatabase: ...
    @property
    def bus(self) -> Bus: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def process_id(self) -> str: ...
    @property
    def periodics(self) -> Sequence[PacedWork]: ...
    @property
    def handlers(self) -> Sequence[EventHandler]: ...
    @property
    def settings(self) -> Settings: ...
    def system_ctx(self, tenant_id: str = NIL) -> Ctx: ...
    def make_dispatcher(self) -> Dispatcher: ...
    def make_job_runner(self) -> JobRunner: ...


@dataclass(frozen=True, slots=True)
class Role:
    """A part of the work that a process can take on. `run` gives what does it until `stopping` is set."""

    purpose: str
    run: Callable[[Program, asyncio.Event], list[Work]]
    unless: str = ""
    """Another role that does this work too; where both run, that one does it."""


def _web(program: Program, stopping: asyncio.Event) -> list[Work]:
    # The server itself is started by whoever owns the port; its live streams hear of facts through this, or through the
    # leader's publishing where the bus reaches every process.
    if program.bus.is_shared:
        return []
    return [_relaying(program, stopping, may_lead=False)]


def _sequence(program: Program, stopping: asyncio.Event) -> list[Work]:
    sequencer = Sequencer(program.database, program.database.numbered.ring)
    wake = program.database.committed.listener()

    async def work() -> None:
        if not await sequencer.is_needed():
            await stopping.wait()
        else:
            await follow("sequencer", sequencer.run_once, wake, SEQUENCE_POLL_SECONDS, stopping)

    return [work]


def _relay(program: Program, stopping: asyncio.Event) -> list[Work]:
    return [_relaying(program, stopping, may_lead=True)]


def _relaying(program: Program, stopping: asyncio.Event, *, may_lead: bool) -> Work:
    relay = Relay(program.database, program.bus, program.clock, program.process_id, may_lead=may_lead)
    wake = program.database.numbered.listener()

    async def work() -> None:
        await follow("relay", relay.run_once, wake, RELAY_POLL_SECONDS, stopping)
        with contextlib.suppress(Exception):  # the lease runs out by itself
            await relay.close()

    return work


def _handlers(program: Program, stopping: asyncio.Event) -> list[Work]:
    events = program.settings.events
    around = Surroundings(
        program.database,
        program.bus,
        program.clock,
        program.process_id,
        program.system_ctx,
        attempts=events.attempts,
        seconds=events.handler_seconds,
    )
    wake = program.database.numbered.listener()
    return [partial(handlers.run, Handlers(program.handlers, around), wake, stopping)]


def _gateway(program: Program, stopping: asyncio.Event) -> list[Work]:
    bell = program.database.queued.listener("fleet")

    async def work() -> None:
        # Begun again with new transports: what one remembers of its workers ended with it.
        await program.make_dispatcher().run(stopping, bell)

    return [work]


def _periodics_of(role: str) -> Callable[[Program, asyncio.Event], list[Work]]:
    def run(program: Program, stopping: asyncio.Event) -> list[Work]:
        return [
            partial(
                PeriodicRunner(
                    work, program.system_ctx(), program.process_id, program.database.committed.listener()
                ).run,
                stopping,
            )
            for work in program.periodics
            if work.periodic.role == role
        ]

    return run


def _jobs(program: Program, stopping: asyncio.Event) -> list[Work]:
    bell = program.database.queued.listener("jobs")

    async def work() -> None:
        await program.make_job_runner().run(stopping, bell)

    return [work, *_periodics_of("jobs")(program, stopping)]


ROLES: Mapping[str, Role] = {
    "web": Role("answers HTTP requests", _web, unless="relay"),
    "sequencer": Role("gives committed writes their order (PostgreSQL only; any number may run)", _sequence),
    "relay": Role("hands events to the bus (one leads)", _relay),
    "handlers": Role("does what modules do about events (over Redis or NATS any number may run)", _handlers),
    "sealer": Role("seals the journal (one leads)", _periodics_of("sealer")),
    "scheduler": Role("sweeps and folds on time (one leads)", _periodics_of("scheduler")),
    "gateway": Role("hands AI work to workers and takes their results (any number may run)", _gateway),
    "jobs": Role("works off background jobs (any number may run)", _jobs),
}
"""Every role, what it is for and what it runs."""


def check_roles(names: Collection[str]) -> tuple[str, ...]:
    """The names in the order of the table. Raises `invalid` for one that does not exist."""
    for name in names:
        if name not in ROLES:
            raise invalid("unknown_role", f"There is no role {name!r}; there are {', '.join(ROLES)}.", field="roles")
    return tuple(name for name in ROLES if name in names)


@asynccontextmanager
async def run_roles(program: Program, names: Collection[str]) -> AsyncIterator[None]:
    """Runs the roles beside the body. Work under way is finished on the way out; what takes too long is cancelled."""
    stopping = asyncio.Event()
    tasks = [
        asyncio.create_task(keep_on(name, work, stopping), name=f"nervio-{name}")
        for name in check_roles(names)
        if ROLES[name].unless not in names
        for work in ROLES[name].run(program, stopping)
    ]
    try:
        yield
    finally:
        stopping.set()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=SHUTDOWN_SECONDS)
            for task in late:
                log.warning("role_cancelled", extra={"role": task.get_name()})
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)


async def keep_on(name: str, work: Work, stopping: asyncio.Event) -> None:
    """Does a role's work until `stopping` is set, or its own task is cancelled. Work that ends before that, however it does,
    is logged and begun again after a pause: nobody would miss a relay that is gone before somebody misses its events."""
    pause = FIRST_PAUSE_SECONDS
    while not stopping.is_set():
        reason = "it returned"
        try:
            await work()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if stopping.is_set() or task is None or task.cancelling():
                raise
            reason = "something that it waited for was cancelled"  # by a library, say, that lost its connection
        except Exception as error:
            log.exception("role_failed", extra={"role": name})
            reason = str(error) or type(error).__name__
        if stopping.is_set():
            return
        log.error("role_ended", extra={"role": name, "reason": reason, "again_in_seconds": pause})
        await wait_any(pause, stopping)
        pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

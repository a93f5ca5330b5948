"""A dispatcher on a store whose rounds a test asks for, and a transport that does what the test says."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from sqlalchemy import Connection

from nervio.db.batch import Command, Lane
from nervio.db.database import Database
from nervio.db.execution import Outcome
from nervio.db.halt import Halt
from nervio.kernel.ids import NIL, new_id
from nervio.modules.fleet.api import Dispatcher, Drafts, Openings, get_task
from nervio.modules.fleet.contracts import TaskState
from nervio.modules.fleet.settings import FleetSettings
from nervio.ports.workers import Assignment, Ending, Master, Profile, Report, Verdict, WorkerTransport
from tests.builders import Store

T = TypeVar("T")

SETTINGS = FleetSettings.model_validate({"lease_seconds": 5, "owner_lease_seconds": 10})


@dataclass
class Hands:
    """A transport whose workers are played by the test."""

    name: str = "hands"
    is_local: bool = False
    given: dict[str, list[Assignment]] = field(default_factory=dict)
    cancelled: list[Assignment] = field(default_factory=list)
    is_broken: bool = False

    async def start(self, master: Master) -> None:
        """See `WorkerTransport`."""

    async def assign(self, worker_id: str, assignments: Sequence[Assignment]) -> None:
        """See `WorkerTransport`."""
        if self.is_broken:
            raise OSError("the line is cut")
        self.given.setdefault(worker_id, []).extend(assignments)

    async def cancel(self, worker_id: str, assignments: Sequence[Assignment]) -> None:
        """See `WorkerTransport`."""
        self.cancelled.extend(assignments)

    async def close(self) -> None:
        """See `WorkerTransport`."""

    def take(self, worker_id: str = "w1") -> list[Assignment]:
        """What the worker has been given since the last time."""
        return self.given.pop(worker_id, [])


class Line:
    """A store behind a line that can be cut: nothing is read or written then."""

    def __init__(self, database: Database) -> None:
        self._database, self.is_cut, self.loses_word = database, False, False

    async def submit_all(self, commands: Sequence[Command[Any, Any]]) -> list[Outcome]:
        """See `Database`."""
        if self.is_cut:
            raise OSError("the line is cut")
        outcomes = await self._database.submit_all(commands)
        if self.loses_word:
            raise OSError("the line is cut after the commit")
        return outcomes

    async def read(self, query: Callable[[Connection], T]) -> T:
        """See `Database`."""
        if self.is_cut:
            raise OSError("the line is cut")
        return await self._database.read(query)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)


def a_profile(worker_id: str = "w1", **more: object) -> Profile:
    """A worker with one slot, or as many as it has credit."""
    profile = Profile(worker_id, f"{worker_id}-boot-1", ("chat",), (), 1, 1)
    return replace(profile, **{"slots": more.get("credit", 1), **more})  # type: ignore[arg-type]


def a_report(assignment: Assignment, ending: Ending = Ending.DONE, **more: object) -> Report:
    report = Report(assignment.tenant_id, assignment.task_id, assignment.token, ending, result='{"text":"sí"}')
    return replace(report, **more)  # type: ignore[arg-type]


async def report(dispatcher: Dispatcher, one: Report, worker_id: str = "w1") -> Verdict:
    """What becomes of a report."""
    (verdict,) = await dispatcher.report(worker_id, [one])
    return verdict


async def handed(dispatcher: Dispatcher, hands: Hands) -> list[Assignment]:
    """What a round gives the worker."""
    await dispatcher.run_once()
    return hands.take()


async def state_of(store: Store, task_id: str) -> TaskState:
    """Where a task stands."""
    return (await get_task(store.ctx, task_id))[0].state


@asynccontextmanager
async def a_dispatcher(
    store: Store,
    *transports: WorkerTransport,
    owner: str | None = None,
    settings: FleetSettings = SETTINGS,
    find_blocking: Callable[[str, str], Halt | None] = lambda _tenant, _module: None,
    drafts: Drafts | None = None,
    openings: Openings | None = None,
) -> AsyncIterator[Dispatcher]:
    """A dispatcher whose transports are started; its rounds are the test's to ask for. Its places are open to who queues tasks
    with the `openings`."""
    ctx = replace(store.ctx, tenant_id=NIL, actor_id="nervio", permissions=None, lane=Lane.JOBS)
    dispatcher = Dispatcher(ctx, owner or new_id(), transports, settings, find_blocking, drafts or Drafts(), openings)
    if openings is not None:
        openings.attach(dispatcher.places)
    for transport in transports:
        await transport.start(dispatcher)
    try:
        yield dispatcher
    finally:
        await dispatcher.close()

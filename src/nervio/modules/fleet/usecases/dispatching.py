"""The dispatcher: gives waiting tasks to workers that can take them, and takes what they bring back.

It keeps nothing that could be lost: who has which task is in the database, under a token that grows with every claim. Two
dispatchers on one database share the work; each claims for itself, and what a dead one had is found by its lease.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from nervio.db import leases, queue
from nervio.db.batch import Command, Lane, Operation
from nervio.db.context import Ctx
from nervio.db.halt import Halt
from nervio.kernel.errors import Kind, NervioError
from nervio.modules.fleet import metrics
from nervio.modules.fleet.contracts import AttemptEnding
from nervio.modules.fleet.domain.dispatch import Candidate, Turns, choose
from nervio.modules.fleet.domain.prediction import Speeds
from nervio.modules.fleet.settings import FleetSettings
from nervio.modules.fleet.store import workers as worker_store
from nervio.modules.fleet.store.tasks import write_drafts
from nervio.modules.fleet.usecases.drafts import Drafts
from nervio.modules.fleet.usecases.limits import LimitWatch
from nervio.modules.fleet.usecases.looking import Lookout
from nervio.modules.fleet.usecases.losses import find_lost
from nervio.modules.fleet.usecases.openings import Claims, Openings, Places
from nervio.modules.fleet.usecases.reporting import Reports, check_report
from nervio.modules.fleet.usecases.roster import Member, Roster
from nervio.modules.fleet.usecases.trying import (
    CLAIM,
    RECOVER,
    Claimed,
    ClaimTasks,
    EndedAttempt,
    Recover,
    Recovered,
)
from nervio.modules.fleet.usecases.worker_records import WorkerRecords
from nervio.ports.workers import Assignment, Chunk, Mishap, Profile, Report, Verdict, WorkerTransport

log = logging.getLogger(__name__)

B = TypeVar("B")
R = TypeVar("R")

POLL_SECONDS = 0.25
"""How often is looked for work that another process queued; what this one queues wakes it at once."""
FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 2.0
"""After a round that failed, and after one more and one more."""
SWEEP_SECONDS = 0.5
"""How often is looked for what was lost: silent workers, dead owners, deadlines."""
DRAFT_SECONDS = 0.5
"""How often what there is of answers is written down, for those who watch at another process."""
STATE_SECONDS = 2.0
"""How often the workers' state is written down."""
LOOK_AHEAD = 32
"""How many tasks more than there is room for are looked at: some may be left waiting for a faster worker."""

FindBlocking = Callable[[str, str], Halt | None]
"""(tenant, module) → the stop that forbids acting outside; `HaltWatch.find_blocking_effect`."""


class Dispatcher:
    """One a process with the role `gateway`. `run` it until `stopping` is set."""

    def __init__(
        self,
        ctx: Ctx,
        owner: str,
        transports: Sequence[WorkerTransport],
        settings: FleetSettings,
        find_blocking: FindBlocking,
        drafts: Drafts,
        openings: Openings | None = None,
    ) -> None:
        self._ctx = replace(ctx, lane=Lane.FLEET)
        self._owner, self._transports, self._settings = owner, transports, settings
        self._lease_name = queue.OWNER_LEASE + owner
        self._find_blocking, self._drafts, self._openings = find_blocking, drafts, openings or Openings()
        self._clock = ctx.clock
        self.roster = Roster(ctx.clock.now, ctx.clock.monotonic)
        self._speeds, self._turns, self._limits = Speeds(), Turns(), LimitWatch(ctx.clock)
        self._lookout = Lookout(ctx.clock, self._limits, self._turns, self._is_stopped)
        self._reports = Reports(
            self._ctx, self.roster, self._speeds, self._drafts, self._reported, settings.cache_seconds
        )
        self.places = Places(
            owner, self.roster, self._speeds, self._turns, self._is_stopped, ctx.clock.monotonic, self._hand_over
        )
        self._handing: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._strays: dict[queue.WorkKey, tuple[int, float]] = {}
        self._lost: list[tuple[str, Assignment, str]] = []
        self._records = WorkerRecords(self._ctx, owner, self.roster, self._speeds)
        self._lease_at = self._sweep_at = self._draft_at = self._state_at = -math.inf

    # -- what transports tell it -----------------------------------------------------------------------------------------

    def joined(self, transport: WorkerTransport, profile: Profile) -> None:
        """See `Master`."""
        self._give_up(profile.id, self.roster.join(transport, profile), Mishap.RESTARTED)
        self.wake()

    def seen(self, worker_id: str) -> None:
        """See `Master`."""
        self.roster.hear(worker_id)

    def left(self, worker_id: str, boot: str, reason: str) -> None:
        """See `Master`."""
        member = self.roster.find(worker_id)
        if member is not None and member.profile.boot == boot:
            self._give_up(worker_id, self.roster.leave(worker_id), reason)

    def chunk(self, worker_id: str, chunk: Chunk) -> None:
        """See `Master`. Of an attempt that is nobody's any more nothing is shown."""
        self.roster.hear(worker_id)
        if self.roster.find_held((chunk.tenant_id, chunk.task_id), chunk.token) is not None:
            self._drafts.add(chunk)

    async def report(self, worker_id: str, reports: Sequence[Report]) -> list[Verdict]:
        """See `Master`."""
        self.roster.hear(worker_id)
        most = self._settings.largest_result_bytes
        return await self._reports.take(worker_id, [check_report(report, most) for report in reports])

    def wake(self) -> None:
        """There may be something to do."""
        self._wake.set()

    def _reported(self, *, may_wait: bool, for_others: bool) -> None:
        """Somebody has brought something back. `may_wait`: some of it is to be tried again. `for_others`: others wait for it."""
        if for_others:
            self._sweep_at = -math.inf
            self.wake()
        if may_wait or self.places.is_behind:
            self.wake()

    # -- its rounds ------------------------------------------------------------------------------------------------------

    async def run(self, stopping: asyncio.Event, bell: asyncio.Event) -> None:
        """Works until `stopping` is set. `bell` rings when something was queued, and when there is something else to do."""
        self._wake = bell
        self._speeds.load(await self._ctx.database.read(worker_store.read_speeds))
        try:
            for transport in self._transports:
                await transport.start(self)
            self._openings.attach(self.places)
            pause = 0.0
            while not stopping.is_set():
                bell.clear()
                pause = await self._run_round(pause)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause or POLL_SECONDS):
                        await (stopping if pause else bell).wait()
        finally:
            await self.close()

    async def _run_round(self, pause: float) -> float:
        """A round; how long to wait before the next where it failed. What workers have they go on with: it was paid for, and a
        store that is away for a moment comes back."""
        try:
            await self.run_once()
        except NervioError as error:
            log.warning("fleet_round_failed", extra={"error": error.message})
        except Exception:
            log.exception("fleet_round_failed")
        else:
            return 0.0
        return min(max(FIRST_PAUSE_SECONDS, 2 * pause), LONGEST_PAUSE_SECONDS)

    async def run_once(self) -> None:
        """One round: keeps its lease, looks for the lost when it is time, gives out what can be given out."""
        now = self._clock.monotonic()
        if now >= self._lease_at:
            await self._renew_lease()
            self._lease_at = now + self._settings.owner_lease_seconds / 2
        if self._lost:
            await self._record_lost()
        if now >= self._sweep_at:
            self._sweep_at = now + SWEEP_SECONDS
            await self._sweep()
        if now >= self._draft_at:
            self._draft_at = now + DRAFT_SECONDS
            await self._write_drafts()
        if now >= self._state_at:
            self._state_at = now + STATE_SECONDS
            await self._records.write()
        due = min(self._lease_at, self._sweep_at, self._draft_at, self._state_at)
        while await self._dispatch():
            if self._clock.monotonic() >= due:
                # However much waits: nobody is to take us for dead meanwhile, and what is lost or cancelled is looked after.
                self.wake()
                break
        await self._handed_over()

    async def close(self) -> None:
        """Lets go of transports; what their workers still have is handed back, or found by the lease."""
        self._openings.attach(None)
        await self._handed_over()
        for transport in self._transports:
            await transport.close()
        outlived = 0
        for member in list(self.roster):
            held = self.roster.leave(member.profile.id)
            if member.transport.is_local:
                self._give_up(member.profile.id, held, "")
            else:
                outlived += len(held)
                for assignment in held:
                    self._drafts.end((assignment.tenant_id, assignment.task_id))
        await self._record_lost()
        await self._reports.close()
        await self._records.write()
        if not outlived:
            # Else it runs out by itself, and until then the results of those workers are taken by whoever is there.
            await self._ctx.database.bookkeep("lease", lambda c: leases.release(c, self._lease_name, self._owner))

    async def _renew_lease(self) -> None:
        name, seconds = self._lease_name, self._settings.owner_lease_seconds
        asked_at = self._clock.monotonic()
        await self._ctx.database.bookkeep(
            "lease", lambda c: leases.acquire(c, name, self._owner, self._clock.now(), seconds)
        )
        self.places.safe_until = asked_at + seconds

    # -- giving out ------------------------------------------------------------------------------------------------------

    async def _dispatch(self) -> bool:
        """Gives out what there is room for; whether there may be more that could be given out at once."""
        capacities = self.roster.capacities()
        room = sum(capacity.free for capacity in capacities)
        if not room:
            self.places.is_behind = True  # for all that is known
            return False
        served, most = self.roster.served(), room + LOOK_AHEAD
        found = await self._ctx.database.read(lambda c: self._lookout.find(c, served, most))
        # Asked again: places may have been promised to tasks that came meanwhile.
        chosen = choose(found.candidates, self.roster.capacities(), self._turns, self._speeds.predict)
        self.places.is_behind = found.is_cut or len(found) > len(chosen)
        if not chosen:
            return False
        with self.roster.promising(chosen, self._speeds.predict):
            given = await self._claim(chosen)
        return given > 0 and self.places.is_behind

    async def _claim(self, chosen: Sequence[tuple[Candidate, str]]) -> int:
        """Claims tasks for workers and hands them over; how many."""
        by_tenant: dict[str, list[tuple[str, str]]] = {}
        for task, worker_id in chosen:
            by_tenant.setdefault(task.tenant_id, []).append((task.id, worker_id))
        claims = [
            self._command(
                tenant_id, CLAIM, ClaimTasks(self._owner, tuple(tasks), self._limits.has(tenant_id)), len(tasks)
            )
            for tenant_id, tasks in by_tenant.items()
        ]
        given = 0
        for outcome in await self._ctx.submit_all(claims):
            if isinstance(outcome, Claimed):
                given += len(outcome.assignments)
                self._hand_over(outcome.assignments)
            elif not (isinstance(outcome, NervioError) and outcome.kind is Kind.HALTED):
                # Whatever was claimed all the same is found by the next sweep: nobody here holds it.
                log.warning("claim_failed", extra={"error": str(outcome)})
        return given

    def _is_stopped(self, tenant_id: str) -> bool:
        return self._find_blocking(tenant_id, "fleet") is not None

    def _hand_over(self, claimed: Claims) -> None:
        """Gives what was claimed to its workers. What a stop that has come since forbids, or whose worker has gone, goes back."""
        handed: dict[str, list[Assignment]] = {}
        for assignment, worker_id in claimed:
            predicted = self._speeds.predict(assignment.kind, assignment.model, worker_id, assignment.size)
            if self._is_stopped(assignment.tenant_id) or not self.roster.give(worker_id, assignment, predicted):
                self._give_up(worker_id, [assignment], "")
            else:
                self._drafts.begin((assignment.tenant_id, assignment.task_id))
                handed.setdefault(worker_id, []).append(assignment)
        for worker_id, assignments in handed.items():
            member = self.roster.find(worker_id)
            assert member is not None, "it was given them a moment ago"
            task = asyncio.create_task(self._hand(member, assignments), name="nervio-fleet-hand-over")
            self._handing.add(task)
            task.add_done_callback(self._handing.discard)

    async def _handed_over(self) -> None:
        if self._handing:
            await asyncio.wait(self._handing)

    async def _hand(self, member: Member, assignments: list[Assignment]) -> None:
        worker_id = member.profile.id
        if self.roster.find(worker_id) is not member:
            return  # gone since, or started anew; its assignments went with it
        try:
            await member.transport.assign(worker_id, assignments)
        except Exception:
            log.exception("assigning_failed", extra={"worker": worker_id})
            if self.roster.find(worker_id) is member:
                self._give_up(worker_id, self.roster.leave(worker_id), Mishap.UNREACHABLE)

    def _give_up(self, worker_id: str, assignments: Sequence[Assignment], reason: str) -> None:
        """Remembers what is to be run elsewhere; the next round writes it down. Without a reason it counts as no attempt."""
        for assignment in assignments:
            self.roster.take_back((assignment.tenant_id, assignment.task_id), assignment.token)
            self._drafts.end((assignment.tenant_id, assignment.task_id))
            self._lost.append((worker_id, assignment, reason))
        if assignments:
            self.wake()

    async def _record_lost(self) -> None:
        lost, self._lost = self._lost, []
        by_tenant: dict[str, list[EndedAttempt]] = {}
        for worker_id, one, reason in lost:
            how = AttemptEnding.LOST if reason else AttemptEnding.HANDED_BACK
            # What a worker lost is not the task's fault: it runs elsewhere at once.
            ended = EndedAttempt(one.task_id, one.token, worker_id, how, error=reason or None, after_seconds=0.0)
            by_tenant.setdefault(one.tenant_id, []).append(ended)
        # What cannot be written now is a stray of the next sweep: ours by the database and nobody's here.
        if (await self._reports.record(by_tenant)).for_others:
            self._sweep_at = -math.inf

    # -- looking for the lost --------------------------------------------------------------------------------------------

    async def _sweep(self) -> None:
        for member in self.roster.list_silent(self._settings.lease_seconds):
            metrics.LEASES_RUN_OUT.inc()
            log.warning("worker_silent", extra={"worker": member.profile.id, "held": len(member.held)})
            self._give_up(member.profile.id, self.roster.leave(member.profile.id), Mishap.SILENT)
        if self._lost:
            await self._record_lost()
        held = self.roster.held()
        now = self._clock.now()
        here = {**held, **self._reports.under_way(), **self.places.outstanding()}
        found = await self._ctx.database.read(lambda c: find_lost(c, self._owner, now))
        commands = [self._command(tenant, RECOVER, one, 1) for tenant in found.tenants() for one in found.of(tenant)]
        outcomes = await self._ctx.submit_all(commands) if commands else ()
        for command, outcome in zip(commands, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                log.warning("recovery_failed", extra={"error": str(outcome)})
            elif isinstance(outcome, Recovered):
                for task_id in outcome.answered:
                    self._drafts.end((command.tenant_id, task_id))
        await self._cancel_unwanted(held, found.owned)
        await self._hand_back_strays(found.owned, here)

    async def _cancel_unwanted(self, held: dict[queue.WorkKey, int], owned: dict[queue.WorkKey, int]) -> None:
        """Tells workers to stop what was cancelled, is overdue, or is somebody else's since: held before the look, not ours in it."""
        unwanted: dict[str, list[Assignment]] = {}
        for worker_id, assignment in self.roster.take_superseded():
            unwanted.setdefault(worker_id, []).append(assignment)
        for key, token in held.items():
            if owned.get(key) != token:
                taken = self.roster.take_back(key, token)
                if taken is not None:
                    self._drafts.end(key, token)
                    unwanted.setdefault(taken[0].profile.id, []).append(taken[1].assignment)
        for worker_id, assignments in unwanted.items():
            member = self.roster.find(worker_id)
            if member is not None:
                await member.transport.cancel(worker_id, assignments)

    async def _hand_back_strays(self, owned: dict[queue.WorkKey, int], before: dict[queue.WorkKey, int]) -> None:
        """Work that is ours by the database and nobody's here: its claim was committed and its answer lost. Seen so for a while,
        since a claim of this very moment looks the same. Nobody has had it, so that it counts as no attempt."""
        here, now = {**before, **self.roster.held(), **self._reports.under_way()}, self._clock.monotonic()
        strays = {key: token for key, token in owned.items() if here.get(key) != token}
        seen = {
            key: self._strays[key] if key in self._strays and self._strays[key][0] == token else (token, now)
            for key, token in strays.items()
        }
        by_tenant: dict[str, list[tuple[str, int]]] = {}
        for (tenant_id, task_id), (token, since) in seen.items():
            if now - since >= SWEEP_SECONDS:
                by_tenant.setdefault(tenant_id, []).append((task_id, token))
        self._strays = seen
        commands = [
            self._command(tenant, RECOVER, Recover((), (), strays=tuple(of)), 1) for tenant, of in by_tenant.items()
        ]
        if commands:
            await self._ctx.submit_all(commands)

    async def _write_drafts(self) -> None:
        drafts = self._drafts.take_changed()
        if drafts:
            await self._ctx.database.bookkeep("worker_states", lambda c: write_drafts(c, drafts))

    def _command(self, tenant_id: str, operation: Operation[B, R], body: B, weight: int) -> Command[B, R]:
        # Without a key: a claim or a recovery that is repeated finds the token moved on, and changes nothing.
        return Command(operation, tenant_id, self._ctx.actor_id, None, body, weight=weight, lane=Lane.FLEET)

"""A drill: the real stop, through the real path, on a scope that nobody works in.

Its halts name the module `drill`, or a part of it such as `drill.sales`, which only the probes below write to: the fence
matches them as it matches any other, and no till notices. A drill's halt runs out by itself, so that one whose process dies
leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from nervio.db.batch import Batch, Command, Effect, Lane, Operation
from nervio.db.context import Ctx
from nervio.db.halt import DRILL, read_clock, tenant_of_scope
from nervio.events.safety import DRILL_FAILED, DRILL_PASSED, DrillFinished
from nervio.kernel.errors import Kind, NervioError, conflict
from nervio.kernel.ids import NIL, new_id
from nervio.kernel.time import SECOND
from nervio.modules.ledger import api as ledger
from nervio.modules.safety.contracts.drills import BeginDrill, Drill, FinishDrill, Probe, Probed
from nervio.modules.safety.contracts.halts import STOPPABLE_MODULES, Freeze, Frozen, Target, Thawed, Unfreeze
from nervio.modules.safety.store import drills as store
from nervio.modules.safety.usecases.stopping import FREEZE, run
from nervio.modules.safety.usecases.thawing import UNFREEZE

log = logging.getLogger(__name__)

LANES = (Lane.TILL, Lane.BULK, Lane.JOBS)
LONGEST_DRILL_SECONDS = 60
"""After this a drill that nobody ended is over and failed, and its halt has run out."""
EVERYWHERE_SECONDS = 5.0
"""How long a process may take to see a stop, its lease of 2 s and a slow store included."""
HEARD_OF_SECONDS = 25
"""A process that was not heard of for this long is gone, and nobody waits for it."""
LOOK_SECONDS = 0.005


def _begin(batch: Batch, command: Command[BeginDrill, BeginDrill]) -> BeginDrill:
    body = command.body
    if store.find_running(batch.connection, body.tenant_id, body.module):
        raise conflict("drill_running", "A drill of this scope is under way; wait for its end.")
    store.insert_drill(batch.connection, body.drill_id, body.tenant_id, body.module, command.actor_id, batch.now)
    return body


def _finish(batch: Batch, command: Command[FinishDrill, FinishDrill]) -> FinishDrill:
    body = command.body
    if not store.finish_drill(batch.connection, body, batch.now):
        return body
    tenant_id = tenant_of_scope(body.tenant_id)
    kind = "drill_failed" if body.findings else "drill_passed"
    details = {
        "module": body.module,
        "findings": list(body.findings),
        "freeze_us": body.freeze_us,
        "everywhere_us": body.everywhere_us,
        "processes": body.processes,
    }
    ledger.book(batch).post(tenant_id, command.actor_id, kind, body.drill_id, "", batch.now, [], details)
    fact = DrillFinished(body.drill_id, body.tenant_id, body.module, body.findings, body.freeze_us, body.everywhere_us)
    batch.emit(tenant_id, DRILL_FAILED if body.findings else DRILL_PASSED, body.drill_id, fact)
    return body


def _probe(batch: Batch, command: Command[Probe, Probed]) -> Probed:
    body = command.body
    store.insert_probe(batch.connection, command.tenant_id, body.drill_id, body.phase, body.lane, batch.now)
    return Probed(body.lane)


def _probe_of(part: str) -> Operation[Probe, Probed]:
    return Operation(
        f"{DRILL}.probe_{part}", Effect.INCREASE, Probe, Probed, _probe, direct=True, touches=(f"{DRILL}.{part}",)
    )


BEGIN_DRILL: Operation[BeginDrill, BeginDrill] = Operation(
    "safety.begin_drill", Effect.INCREASE, BeginDrill, BeginDrill, _begin, direct=True
)
FINISH_DRILL: Operation[FinishDrill, FinishDrill] = Operation(
    "safety.finish_drill", Effect.CONTROL, FinishDrill, FinishDrill, _finish, direct=True, touches=("ledger",)
)
PROBES: Mapping[str, Operation[Probe, Probed]] = {part: _probe_of(part) for part in ("all", *STOPPABLE_MODULES)}
"""What writes to each part of the pseudo-module; a halt of all of it stops them all."""


@dataclass
class _Run:
    """One drill under way."""

    ctx: Ctx
    tenant_id: str | None
    module: str | None
    id: str = field(default_factory=new_id)
    findings: list[str] = field(default_factory=list)
    freeze_us: int | None = None
    everywhere_us: int | None = None
    processes: int | None = None

    @property
    def target(self) -> Target:
        """The drill scope that stands for the scope."""
        return Target(self.tenant_id, DRILL if self.module is None else f"{DRILL}.{self.module}")

    async def go(self) -> None:
        """Before, during and after: must pass, must be refused, must pass."""
        if await self._probe("before") != {"passed"}:
            self.findings.append("refused_before")
            return
        asked = time.perf_counter()
        body = Freeze(self.target, "all", f"drill {self.id}", seconds=LONGEST_DRILL_SECONDS)
        frozen = await run(self.ctx.database, FREEZE, self.tenant_id, self.ctx.actor_id, body)
        if not isinstance(frozen, Frozen):
            self.findings.append("not_acknowledged")
            return
        self.freeze_us = _us_since(asked)
        try:
            await self._while_frozen(frozen.halt.id, asked)
        finally:
            thaw = Unfreeze((self.target,), None, f"drill {self.id}")
            thawed = await run(self.ctx.database, UNFREEZE, self.tenant_id, self.ctx.actor_id, thaw)
        if not isinstance(thawed, Thawed) or [halt.id for halt in thawed.cleared] != [frozen.halt.id]:
            self.findings.append("not_thawed")
        if await self._probe("after") != {"passed"}:
            self.findings.append("refused_after")

    async def _while_frozen(self, halt_id: str, asked: float) -> None:
        if await self._probe("during") != {"halted"}:
            self.findings.append("passed_during")
        if self.tenant_id is not None and await self._probe("beside", NIL) != {"passed"}:
            # Another tenant's writes of the same kind must not notice.
            self.findings.append("stopped_too_much")
        await self._wait_for_everybody(halt_id, asked)
        if await self._probe("later") != {"halted"}:
            self.findings.append("passed_later")
        if await self.ctx.database.read(lambda c: store.count_probes(c, self.id, ("during", "later"))):
            # Whatever their callers were told: something was written.
            self.findings.append("written_during")

    async def _wait_for_everybody(self, halt_id: str, asked: float) -> None:
        """Until every process that is alive has written down that it holds the halt."""
        while True:
            watchers = await self.ctx.database.read_reserved(
                lambda c: store.list_watchers(c, read_clock(c, self.ctx.clock.now()) - HEARD_OF_SECONDS * SECOND)
            )
            self.processes = len(watchers)
            if all(halt_id in seen for seen in watchers.values()):
                self.everywhere_us = _us_since(asked)
                return
            if time.perf_counter() - asked > EVERYWHERE_SECONDS:
                self.findings.append("not_everywhere")
                return
            await asyncio.sleep(LOOK_SECONDS)

    async def _probe(self, phase: str, tenant_id: str | None = None) -> set[str]:
        """A write on every lane, through the group commit like any other; how they ended."""
        operation = PROBES[self.module or "all"]
        whose = tenant_of_scope(self.tenant_id) if tenant_id is None else tenant_id

        async def one(lane: Lane) -> str:
            body = Probe(self.id, phase, lane.value)
            command = Command(operation, whose, self.ctx.actor_id, None, body, lane=lane)
            try:
                await self.ctx.database.submit(command)
            except NervioError as refusal:
                is_ours = refusal.kind is Kind.HALTED and refusal.data.get("reason") == f"drill {self.id}"
                return "halted" if is_ours else refusal.code
            return "passed"

        return set(await asyncio.gather(*(one(lane) for lane in LANES)))


async def drill(ctx: Ctx, tenant_id: str | None, module: str | None) -> FinishDrill:
    """Tries the stop of a scope. Raises `conflict` while another drill of it is under way, `halted` while the scope is really
    stopped; everything else that goes wrong is a finding."""
    current = _Run(ctx, tenant_id, module)
    whose = tenant_of_scope(tenant_id)
    begin = Command(BEGIN_DRILL, whose, ctx.actor_id, current.id, BeginDrill(current.id, tenant_id, module))
    await ctx.database.submit(begin)
    try:
        await current.go()
    except NervioError as error:
        current.findings.append(error.code)
    except asyncio.CancelledError:
        current.findings.append("interrupted")
        raise
    except Exception:
        # A drill is there to find out what breaks.
        log.exception("drill_broke", extra={"drill_id": current.id})
        current.findings.append("broke")
    finally:
        finished = FinishDrill(
            current.id,
            tenant_id,
            module,
            tuple(current.findings),
            current.freeze_us,
            current.everywhere_us,
            current.processes,
        )
        await asyncio.shield(finish(ctx, finished))
    return finished


async def finish(ctx: Ctx, finished: FinishDrill) -> None:
    """Writes down how a drill went; a failed one is told to whoever reads the log."""
    if finished.findings:
        log.error(
            "drill_failed",
            extra={
                "drill_id": finished.drill_id,
                "tenant_id": finished.tenant_id,
                "module_drilled": finished.module,
                "findings": list(finished.findings),
            },
        )
    command = Command(
        FINISH_DRILL, tenant_of_scope(finished.tenant_id), ctx.actor_id, finished.drill_id, finished, lane=ctx.lane
    )
    with contextlib.suppress(asyncio.CancelledError):
        await ctx.database.submit(command)


async def give_up(ctx: Ctx, stale: Drill) -> None:
    """Ends the record of a drill whose process died, and the halt it may have left, which had run out by itself."""
    target = Target(stale.tenant_id, DRILL if stale.module is None else f"{DRILL}.{stale.module}")
    body = Unfreeze((target,), None, "drill interrupted")
    await run(ctx.database, UNFREEZE, stale.tenant_id, ctx.actor_id, body)
    await finish(ctx, FinishDrill(stale.id, stale.tenant_id, stale.module, ("interrupted",), None, None, None))


def _us_since(began: float) -> int:
    return round((time.perf_counter() - began) * 1_000_000)

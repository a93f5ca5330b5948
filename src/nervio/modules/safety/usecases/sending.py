"""The worker of external actions: takes due orders, does one step each, writes down what came of it.

Any number of processes may run one. What keeps them apart is the claim in the database, not a lock: an order has one owner
until its time is over, and a late owner's words are not written.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from nervio.db.context import Ctx
from nervio.db.halt import Halt
from nervio.db.vault import Vault
from nervio.kernel.errors import Kind, NervioError
from nervio.kernel.time import SECOND
from nervio.modules.safety.contracts.actions import ActionKind, ActionState, Step
from nervio.modules.safety.domain.actions import Policy
from nervio.modules.safety.domain.turns import Turns
from nervio.modules.safety.metrics.actions import ACTIONS, BREAKERS, CONFIRM_SECONDS, STEPS, TRANSITIONS
from nervio.modules.safety.store import actions as store
from nervio.modules.safety.store import campaigns
from nervio.modules.safety.usecases.acting import (
    CLAIM,
    CLAIM_RESUMES,
    ESCALATE,
    RECORD,
    ClaimActions,
    ClaimedAction,
    EscalateActions,
    Recorded,
    RecordStep,
)
from nervio.modules.safety.usecases.booking import RESUMING_TOUCHES
from nervio.ports.actions import Account, Answer, CampaignStatus, OpenPlatform, Order, Outcome, Reading

log = logging.getLogger(__name__)

CONNECTION_SECRETS = "ad_connection"
"""What the vault is told these secrets are for."""
REQUEST_SECONDS = 20.0
"""The longest one step may take, whatever the adapter's own limits are."""
MOST_OVERDUE = 100
COUNT_SECONDS = 5.0
"""How often the gauges are set; nobody scrapes them faster."""
MODULES_TO_ASK = ("safety", *RESUMING_TOUCHES)

FindBlocking = Callable[[str, str], Halt | None]
"""(tenant, module) → the stop that forbids acting outside; `HaltWatch.find_blocking_effect`."""


class ActionWorker:
    """Sends and reads back, at most `parallel` at a time."""

    def __init__(
        self,
        platforms: OpenPlatform,
        vault: Vault,
        find_blocking: FindBlocking,
        owner: str,
        *,
        policy: Policy | None = None,
        parallel: int = 8,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._platforms, self._vault, self._find_blocking, self._owner = platforms, vault, find_blocking, owner
        self._policy = policy or Policy()
        self._turns = Turns(parallel)
        self._draw = draw
        self._tasks: set[asyncio.Task[None]] = set()
        self._rounds: set[asyncio.Task[None]] = set()
        self._dispatching = asyncio.Lock()
        self._count_again_at = -math.inf

    async def run(self, ctx: Ctx) -> None:
        """One round: escalates what is overdue and starts what is due. Does not wait for what it started."""
        await self._dispatch(ctx)
        if ctx.clock.monotonic() >= self._count_again_at:
            self._count_again_at = ctx.clock.monotonic() + COUNT_SECONDS
            await self._count(ctx)

    async def settle(self) -> None:
        """Waits until nothing is under way."""
        while self._tasks or self._rounds:
            await asyncio.wait({*self._tasks, *self._rounds})

    async def close(self, _ctx: Ctx | None = None) -> None:
        """Ends what is under way; the claims run out by themselves and whoever comes next reads back first."""
        tasks = {*self._tasks, *self._rounds}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _dispatch(self, ctx: Ctx) -> None:
        async with self._dispatching:
            now = ctx.clock.now()
            given_up = now - self._policy.give_up_seconds * SECOND
            work = await ctx.database.read(lambda c: store.find_tenants_with_work(c, now, given_up))
            by_tenant = {row[0]: row[1:] for row in work}
            for tenant_id, (_, _, overdue) in by_tenant.items():
                if overdue:
                    body = EscalateActions(MOST_OVERDUE, self._policy)
                    await replace(ctx, tenant_id=tenant_id).submit(ESCALATE, body, None)
            waiting = [tenant_id for tenant_id, (due, resumes, _) in by_tenant.items() if due or resumes]
            for tenant_id in self._turns.order(waiting):
                due, resumes, _ = by_tenant[tenant_id]
                of_tenant = replace(ctx, tenant_id=tenant_id)
                if due:
                    await self._claim(of_tenant, len(waiting), resumes=False)
                if resumes:
                    await self._claim(of_tenant, len(waiting), resumes=True)

    async def _claim(self, ctx: Ctx, tenants: int, *, resumes: bool) -> None:
        free = self._turns.room(ctx.tenant_id, tenants)
        if not free:
            return
        body = ClaimActions(self._owner, self._policy.claim_seconds, free)
        try:
            claimed = await ctx.submit(CLAIM_RESUMES if resumes else CLAIM, body, None)
        except NervioError as error:
            if error.kind is not Kind.HALTED:
                raise
            return  # a stop is no failure: the order waits, and no attempt is counted
        if claimed.actions:
            self._turns.take(ctx.tenant_id, len(claimed.actions))
        for action in claimed.actions:
            task = asyncio.create_task(self._work(ctx, action), name=f"nervio-action-{action.id}")
            self._tasks.add(task)
            task.add_done_callback(partial(self._ended, ctx.tenant_id))

    def _ended(self, tenant_id: str, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._turns.give_back(tenant_id)

    async def _work(self, ctx: Ctx, action: ClaimedAction) -> None:
        try:
            recorded = await self._step(ctx, action)
            if recorded.next_at <= ctx.clock.now() and recorded.state in (
                ActionState.INTENT,
                ActionState.SENT,
                ActionState.ESCALATED,
            ):
                # After this task has given its place back.
                asyncio.get_running_loop().call_soon(self._follow, ctx)
        except Exception:
            # The claim runs out, and whoever takes the order then reads back first.
            log.exception("action_step_failed", extra={"action": action.id})

    def _follow(self, ctx: Ctx) -> None:
        """Goes on with the next step at once instead of waiting for the next round."""
        task = asyncio.create_task(self._dispatch_quietly(ctx), name="nervio-actions-follow")
        self._rounds.add(task)
        task.add_done_callback(self._rounds.discard)

    async def _dispatch_quietly(self, ctx: Ctx) -> None:
        try:
            await self._dispatch(ctx)
        except Exception as error:  # noqa: BLE001 (the next round tries the same)
            log.warning("actions_not_followed", extra={"error": str(error)})

    async def _step(self, ctx: Ctx, action: ClaimedAction) -> Recorded:
        answer: Answer | None = None
        reading: Reading | None = None
        if action.step is Step.READ:
            reading = await self._read(ctx, action)
            STEPS.labels("read", reading.status.value).inc()
        elif not self._is_stopped(ctx, action):
            answer = await self._send(ctx, action)
            STEPS.labels("send", answer.outcome.value).inc()
        body = RecordStep(action, answer, reading, self._draw(), self._policy)
        recorded: Recorded = await ctx.submit(RECORD, body, f"{action.id}:{action.token}")
        if not recorded.is_stale:
            TRANSITIONS.labels(action.kind.value, recorded.state.value).inc()
            if recorded.state is ActionState.CONFIRMED:
                seconds = (ctx.clock.now() - recorded.created_at) / SECOND
                CONFIRM_SECONDS.labels(action.kind.value).observe(seconds)
        return recorded

    def _is_stopped(self, ctx: Ctx, action: ClaimedAction) -> bool:
        """Whether a stop that came after the claim, or a store that was lost since, keeps a resume from leaving."""
        return action.kind is ActionKind.RESUME and any(
            self._find_blocking(ctx.tenant_id, module) is not None for module in MODULES_TO_ASK
        )

    async def _send(self, ctx: Ctx, action: ClaimedAction) -> Answer:
        try:
            kind, account = await self._account(ctx, action.connection_id)
        except NervioError as error:
            return Answer(Outcome.REFUSED, error.message)
        order = Order(action.external_id, action.id, action.reason)
        platform = self._platforms(kind, account)
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                return await (platform.pause if action.kind is ActionKind.PAUSE else platform.resume)(order)
        except TimeoutError:
            return Answer(Outcome.UNKNOWN, f"no answer within {REQUEST_SECONDS:.0f} s")
        except Exception as bug:
            log.exception("platform_failed", extra={"platform": kind})
            return Answer(Outcome.UNKNOWN, f"{type(bug).__name__}")
        finally:
            await platform.close()

    async def _read(self, ctx: Ctx, action: ClaimedAction) -> Reading:
        try:
            kind, account = await self._account(ctx, action.connection_id)
        except NervioError as error:
            return Reading(CampaignStatus.UNKNOWN, error.message)
        return await read_campaign(self._platforms, kind, account, action.external_id)

    async def _account(self, ctx: Ctx, connection_id: str) -> tuple[str, Account]:
        return await open_account(ctx, self._vault, connection_id)

    async def _count(self, ctx: Ctx) -> None:
        states, breakers = await ctx.database.read(lambda c: (store.count_states(c), store.count_breakers(c)))
        for kind in ActionKind:
            for state in (ActionState.INTENT, ActionState.SENT, ActionState.ESCALATED):
                ACTIONS.labels(kind.value, state.value).set(states.get((kind.value, state.value), 0))
        for name in ("closed", "open", "half_open"):
            BREAKERS.labels(name).set(breakers.get(name, 0))


async def open_account(ctx: Ctx, vault: Vault, connection_id: str) -> tuple[str, Account]:
    """(platform, account) of a connection with its secrets open. Raises `not_found`, `unavailable`."""
    found = await ctx.read(lambda c: campaigns.find_sealed(c, connection_id))
    if found is None:
        raise NervioError(Kind.NOT_FOUND, "connection_not_found", "The connection is gone.")
    platform, settings, sealed = found
    return platform, Account(settings, vault.open(ctx.tenant_id, CONNECTION_SECRETS, sealed))


async def read_campaign(platforms: OpenPlatform, kind: str, account: Account, external_id: str) -> Reading:
    """What a campaign does now, within a time; never raises for what the platform does."""
    platform = platforms(kind, account)
    try:
        async with asyncio.timeout(REQUEST_SECONDS):
            return await platform.read_back(external_id)
    except TimeoutError:
        return Reading(CampaignStatus.UNKNOWN, f"no answer within {REQUEST_SECONDS:.0f} s")
    except Exception as bug:
        log.exception("platform_failed", extra={"platform": kind})
        return Reading(CampaignStatus.UNKNOWN, f"{type(bug).__name__}")
    finally:
        await platform.close()

"""The emergency stop in one call: everything stands still, in the house and outside it."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from typing import TypeVar

from sqlalchemy import Connection

from nervio.db.context import Ctx
from nervio.db.tenancy import TenantConnection
from nervio.kernel.errors import Kind, NervioError
from nervio.kernel.ids import new_id
from nervio.modules.safety.api import halts
from nervio.modules.safety.contracts.actions import (
    DEADLINE_SECONDS,
    EMERGENCY,
    OPEN_STATES,
    ActionKind,
    ActionRecord,
    ActionState,
    BookActions,
    Booked,
    EmergencyStop,
)
from nervio.modules.safety.contracts.halts import Frozen, Pending, Scope
from nervio.modules.safety.domain.actions import Policy, pause_before
from nervio.modules.safety.store import actions as store
from nervio.modules.safety.store import campaigns
from nervio.modules.safety.usecases.booking import BOOK_PAUSE, make_order

T = TypeVar("T")
log = logging.getLogger(__name__)

PAUSE = "safety.pause_campaigns"
POLL_SECONDS = 0.1
TENANTS_AT_ONCE = 100
"""How many tenants' pauses are handed over together, so that an installation of any size leaves room for others."""
_TRIED_AGAIN = (Kind.UNAVAILABLE, Kind.TOO_MANY)


async def execute_emergency_stop(
    ctx: Ctx,
    reason: str,
    *,
    scope: Scope | None = None,
    level: str = "all",
    key: str | None = None,
    attempts: int = 5,
    wait_seconds: float = 10.0,
    deadline_seconds: int = DEADLINE_SECONDS,
) -> EmergencyStop:
    """Stops the writes of the scope through `safety.freeze`, pauses the campaigns of the scope, and waits for both to be
    confirmed: those of the caller's tenant, or, where the whole installation is stopped, of every tenant, each under its own.

    Without a scope the widest that the caller may stop. A freeze that is not acknowledged, or a store that does not answer, is
    tried again with exponential back-off and full jitter, `attempts` times; campaigns are paused whether or not it came
    about. Waits at most `wait_seconds` for the platforms: what is unconfirmed then goes on being tried, and is escalated
    after `deadline_seconds`. Called again with the same `key` it books nothing twice. Raises `forbidden`, `invalid`;
    `unavailable` where nothing could be booked for the one tenant asked for.
    """
    if scope is None:
        scope = Scope.INSTALLATION if _may(ctx, halts.STOP_INSTALLATION) else Scope.TENANT
    ctx.require(PAUSE)
    order = make_order(ActionKind.PAUSE, None, None, reason, EMERGENCY, deadline_seconds)
    frozen, detail = await _freeze_stubbornly(ctx, reason, scope, level, attempts)
    name = f"emergency:{key or new_id()}"
    booked: dict[str, list[str]] = {}
    unpaused: list[str] = []
    if scope is Scope.INSTALLATION:
        after: str | None = None
        while page := await _tenants_after(ctx, after, attempts):
            done, failed = await _pause(ctx, page, order, name, attempts)
            booked |= done
            unpaused += failed
            after = page[-1]
    else:
        booked, failed = await _pause(ctx, [ctx.tenant_id], order, name, attempts)
        for error in failed.values():
            raise error
    actions = await _confirmed_within(ctx, booked, wait_seconds)
    confirmed = tuple(action for action in actions if action.state is ActionState.CONFIRMED)
    unconfirmed = tuple(action for action in actions if action.state is not ActionState.CONFIRMED)
    halt_id = None if frozen is None else frozen.halt.id
    return EmergencyStop(frozen is not None, halt_id, detail, confirmed, unconfirmed, tuple(unpaused))


async def _tenants_after(ctx: Ctx, after: str | None, attempts: int) -> list[str]:
    """The next tenants that have campaigns."""

    def query(connection: Connection) -> list[str]:
        return campaigns.list_tenants(connection, after, TENANTS_AT_ONCE)

    return await _stubbornly(ctx, lambda: ctx.database.read(query), attempts)


async def _pause(
    ctx: Ctx, tenants: Sequence[str], order: BookActions, key: str, attempts: int
) -> tuple[dict[str, list[str]], dict[str, NervioError]]:
    """(tenant → orders that stand, tenant → why none could be booked). What fails for one tenant holds no other up."""
    booked: dict[str, list[str]] = {}
    failed: dict[str, NervioError] = {}
    left = list(tenants)
    for n in range(max(1, attempts)):
        commands = [replace(ctx, tenant_id=tenant).command(BOOK_PAUSE, order, key) for tenant in left]
        for tenant, outcome in zip(left, await ctx.submit_all(commands), strict=True):
            if isinstance(outcome, NervioError):
                failed[tenant] = outcome
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                assert isinstance(outcome, Booked)
                failed.pop(tenant, None)
                booked[tenant] = [action.id for action in outcome.actions]
        left = [tenant for tenant in left if tenant in failed and failed[tenant].kind in _TRIED_AGAIN]
        if not left or n + 1 >= attempts:
            break
        await _wait_before_trying_again(ctx, n, failed[left[0]])
    for tenant, error in failed.items():
        log.error("emergency_stop_not_paused", extra={"tenant": tenant, "error": error.message})
    return booked, failed


async def _freeze_stubbornly(
    ctx: Ctx, reason: str, scope: Scope, level: str, attempts: int
) -> tuple[Frozen | None, str]:
    async def stop() -> Frozen:
        answer = await halts.freeze(ctx, reason, scope=scope, level=level)
        if isinstance(answer, Pending):
            raise NervioError(Kind.UNAVAILABLE, "stop_pending", answer.detail)
        return answer

    try:
        return await _stubbornly(ctx, stop, attempts), ""
    except NervioError as error:
        if error.kind is not Kind.UNAVAILABLE:
            raise
        return None, error.message


async def _stubbornly(ctx: Ctx, attempt: Callable[[], Awaitable[T]], attempts: int) -> T:
    """The result of the first attempt that the store took."""
    for n in range(max(1, attempts)):
        try:
            return await attempt()
        except NervioError as error:
            if error.kind not in _TRIED_AGAIN or n + 1 >= attempts:
                raise
            await _wait_before_trying_again(ctx, n, error)
    raise AssertionError("unreachable: the last attempt returns or raises")


async def _wait_before_trying_again(ctx: Ctx, attempt: int, error: NervioError) -> None:
    log.warning("emergency_stop_tried_again", extra={"tenant": ctx.tenant_id, "error": error.message})
    policy = Policy(first_pause_seconds=0.2, longest_pause_seconds=2.0)
    spread = random.random()  # noqa: S311 (spreads attempts, keeps no secret)
    await asyncio.sleep(pause_before(attempt, policy, spread))


async def _confirmed_within(ctx: Ctx, booked: dict[str, list[str]], seconds: float) -> list[ActionRecord]:
    """The orders as they stand when all are confirmed, or when the time is over. The machine's time: somebody waits."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    settled: dict[str, list[ActionRecord]] = {}
    while True:
        left = {tenant: ids for tenant, ids in booked.items() if tenant not in settled}
        found = await ctx.database.read(lambda c, left=left: _read_orders(c, left))  # type: ignore[misc]
        settled |= {tenant: orders for tenant, orders in found.items() if not _are_open(orders)}
        if len(settled) == len(booked) or loop.time() >= until:
            now = {**settled, **found}
            return [order for tenant in booked for order in now[tenant]]
        await asyncio.sleep(min(POLL_SECONDS, max(0.0, until - loop.time())))


def _read_orders(connection: Connection, booked: dict[str, list[str]]) -> dict[str, list[ActionRecord]]:
    return {tenant: store.find_actions(TenantConnection(connection, tenant), ids) for tenant, ids in booked.items()}


def _are_open(orders: Collection[ActionRecord]) -> bool:
    return any(order.state in OPEN_STATES for order in orders)


def _may(ctx: Ctx, permission: str) -> bool:
    return ctx.permissions is None or permission in ctx.permissions

"""The worker that hands alerts to their destinations, in the words of the shop's language."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from nervio.db.context import Ctx
from nervio.db.vault import Vault
from nervio.kernel.errors import NervioError
from nervio.modules.identity import api as identity
from nervio.modules.safety.domain.actions import shortened
from nervio.modules.safety.domain.alerts import words_of
from nervio.modules.safety.domain.turns import Turns
from nervio.modules.safety.metrics.actions import ALERTS
from nervio.modules.safety.store import alerts as store
from nervio.modules.safety.store.alerts import DueDelivery
from nervio.modules.safety.usecases.alerting import (
    CLAIM_DELIVERIES,
    RECORD_DELIVERY,
    ClaimDeliveries,
    RecordDelivery,
)
from nervio.ports.actions import Account
from nervio.ports.alerts import Delivery, Message, OpenChannel, Receipt

log = logging.getLogger(__name__)

DESTINATION_SECRETS = "alert_destination"
"""What the vault is told these secrets are for."""
CLAIM_SECONDS = 60.0
SEND_SECONDS = 30.0
FIRST_PAUSE_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 300.0
LONGEST_RETRY_AFTER_SECONDS = 600.0


class AlertWorker:
    """Sends deliveries that are due, at most `parallel` at a time. Any number of processes may run one."""

    def __init__(
        self,
        channels: OpenChannel,
        vault: Vault,
        public_url: str,
        *,
        parallel: int = 4,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._channels, self._vault, self._public_url = channels, vault, public_url.rstrip("/")
        self._turns, self._draw = Turns(parallel), draw
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, ctx: Ctx) -> None:
        """One round: starts what is due. Does not wait for what it started."""
        now = ctx.clock.now()
        tenants = await ctx.database.read(lambda c: store.find_tenants_with_deliveries(c, now))
        for tenant_id in self._turns.order(tenants):
            of_tenant = replace(ctx, tenant_id=tenant_id)
            free = self._turns.room(tenant_id, len(tenants))
            if not free:
                continue
            claimed = await of_tenant.submit(CLAIM_DELIVERIES, ClaimDeliveries(CLAIM_SECONDS, free), None)
            if claimed.due:
                self._turns.take(tenant_id, len(claimed.due))
            for delivery in claimed.due:
                task = asyncio.create_task(self._work(of_tenant, delivery), name=f"nervio-alert-{delivery.id}")
                self._tasks.add(task)
                task.add_done_callback(partial(self._ended, tenant_id))

    def _ended(self, tenant_id: str, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._turns.give_back(tenant_id)

    async def settle(self) -> None:
        """Waits until nothing is under way."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def close(self, _ctx: Ctx | None = None) -> None:
        """Ends what is under way; it is sent again under the same id when its claim runs out."""
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self, ctx: Ctx, delivery: DueDelivery) -> None:
        try:
            kind, receipt = await self._send(ctx, delivery)
            ALERTS.labels(kind, receipt.delivery.value).inc()
            ceiling: float = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2**delivery.attempts)
            asked = min(receipt.retry_after_seconds or 0.0, LONGEST_RETRY_AFTER_SECONDS)
            pause = max(asked, 0.5, ceiling * self._draw())
            body = RecordDelivery(delivery, receipt.delivery, shortened(receipt.words), pause)
            await ctx.submit(RECORD_DELIVERY, body, f"{delivery.id}:{delivery.claim_token}")
        except Exception:
            log.exception("alert_not_delivered", extra={"delivery": delivery.id})

    async def _send(self, ctx: Ctx, delivery: DueDelivery) -> tuple[str, Receipt]:
        kind = "unknown"
        try:
            found = await ctx.read(lambda c: store.find_sealed(c, delivery.destination_id))
            if found is None:
                return kind, Receipt(Delivery.REFUSED, "The destination was deleted.")
            kind, settings, sealed = found
            account = Account(settings, self._vault.open(ctx.tenant_id, DESTINATION_SECRETS, sealed))
            message = await self._message(ctx, delivery)
        except NervioError as error:
            return kind, Receipt(Delivery.REFUSED, error.message)
        channel = self._channels(kind, account)
        try:
            async with asyncio.timeout(SEND_SECONDS):
                return kind, await channel.send(message)
        except TimeoutError:
            return kind, Receipt(Delivery.FAILED, f"not done within {SEND_SECONDS:.0f} s")
        except Exception as bug:
            log.exception("alert_channel_failed", extra={"channel": kind})
            return kind, Receipt(Delivery.FAILED, type(bug).__name__)
        finally:
            await channel.close()

    async def _message(self, ctx: Ctx, delivery: DueDelivery) -> Message:
        (alert,) = await ctx.read(lambda c: store.find_alerts(c, [delivery.alert_id]))
        try:
            tenant = await identity.get_current_tenant(ctx)
            shop, language = tenant.name, tenant.language
        except NervioError:
            shop, language = "Nervio", "es"
        title, body = words_of(alert.code, alert.title, alert.body, alert.figures, language)
        return Message(
            delivery.id,
            delivery.severity,
            alert.code,
            title,
            body,
            f"{self._public_url}{alert.link}",
            shop,
            alert.count,
            alert.last_at,
        )

"""Facts that make the rules look at once. Without them they look a little later and see the same."""

from __future__ import annotations

from nervio.db.context import Ctx
from nervio.events.sales import RETURN_RECORDED
from nervio.events.stock import STOCK_BECAME_CRITICAL
from nervio.modules.safety.api import rules as api
from nervio.ports.bus import Event

HEARD = (STOCK_BECAME_CRITICAL, RETURN_RECORDED)
"""Rare facts only: what rules look at after every sale, they look at often enough by themselves."""


async def look_sooner(ctx: Ctx, event: Event) -> None:
    """Has no effect but on when the rules look, so that hearing a fact twice does no harm."""
    await api.hear(ctx, event)

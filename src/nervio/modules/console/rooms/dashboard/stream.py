"""One stream of events to one browser: figures of the day, parts of the page to load again, the stop.

It says that something changed, not what: pages load the changed part again with the rights of whoever looks at them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

from nervio.events.sales import RETURN_RECORDED, SALE_RECORDED
from nervio.events.stock import HOLD_SETTLED, STOCK_BECAME_CRITICAL, STOCK_MOVED
from nervio.kernel.errors import NervioError
from nervio.modules.console.requests import Frame, seen_of, watch_of
from nervio.modules.console.rooms.dashboard.figures import find_day, read_figures
from nervio.modules.identity import api as identity
from nervio.ports.bus import EVERYTHING, Bus, Event

REGIONS = {
    SALE_RECORDED: ("chart", "recent"),
    RETURN_RECORDED: ("chart", "recent"),
    STOCK_MOVED: ("critical", "levels", "movements", "stop-light"),
    STOCK_BECAME_CRITICAL: ("critical", "stop-light"),
    HOLD_SETTLED: ("levels", "holds"),
}
"""Which parts of pages a fact makes old."""

EVENT_REGIONS = ("events", "event-figures", "letters")
"""Parts of the page of events, which any fact makes old."""

GATHER_SECONDS = 1.0
"""A busy till sells many times a second; nobody reads that fast."""
LOOK_SECONDS = 1.0
HEARTBEAT_SECONDS = 15.0
"""How often a silent line is proved alive, and the session asked for again."""


class Stream:
    """The events of one person's shop."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        state = frame.request.app.state
        self._bus: Bus = state.bus
        self._authenticator: identity.Authenticator = state.authenticator
        self._liveness = getattr(state, "liveness", None)
        self._changed: set[str] = set()
        self._has_sold = False
        self._something = asyncio.Event()

    async def events(self) -> AsyncIterator[str]:
        """The stream, until the session ends, the browser goes away or the program ends."""
        unsubscribe = [self._bus.subscribe(EVERYTHING, self._hear)]
        watching: asyncio.Task[None] | None = None
        try:
            watching = asyncio.create_task(self._watch_stops())
            seen = self._seen()
            yield _event("halt", {"frozen": bool(seen), "seen": seen})
            time = asyncio.get_running_loop().time
            quiet_until, heartbeat_at = 0.0, time() + HEARTBEAT_SECONDS
            while not self._is_ending():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS):
                        await self._something.wait()
                if self._seen() != seen:
                    seen = self._seen()
                    yield _event("halt", {"frozen": bool(seen), "seen": seen})
                self._something.clear()
                if self._changed and time() >= quiet_until:
                    async for text in self._news():
                        yield text
                    quiet_until = time() + GATHER_SECONDS
                if time() >= heartbeat_at:
                    heartbeat_at = time() + HEARTBEAT_SECONDS
                    if not await self._is_signed_in():
                        return
                    yield ": still here\n\n"
        finally:
            if watching is not None:
                watching.cancel()
            for end in unsubscribe:
                end()

    async def _hear(self, event: Event) -> None:
        if event.tenant_id != self._frame.ctx.tenant_id:
            return
        self._changed.update((*REGIONS.get(event.type, ()), *EVENT_REGIONS))
        self._has_sold = self._has_sold or event.type in {SALE_RECORDED, RETURN_RECORDED}
        self._something.set()

    async def _news(self) -> AsyncIterator[str]:
        regions, has_sold = sorted(self._changed), self._has_sold
        self._changed.clear()
        self._has_sold = False
        if has_sold and self._frame.may("sales.read"):
            # The next fact brings the figures again; a store that is away for a moment is no reason to end the stream.
            with contextlib.suppress(NervioError):
                yield _event("figures", await self._figures())
        yield _event("refresh", {"regions": regions})

    async def _figures(self) -> dict[str, str]:
        formats = self._frame.formats
        day = await find_day(self._frame.ctx, formats)
        now = await read_figures(self._frame.ctx, day, formats.currency)
        return {
            "sales_today": formats.money(now.sales_minor),
            "tickets_today": formats.number(now.tickets),
            "average_today": formats.money(now.average_minor),
        }

    async def _watch_stops(self) -> None:
        """A stop does not wait for the next look."""
        while True:
            await watch_of(self._frame.request).wait_for_change()
            self._something.set()

    def _seen(self) -> str:
        return seen_of(self._frame.request, self._frame.ctx.tenant_id)

    def _is_ending(self) -> bool:
        return self._liveness is not None and bool(self._liveness.stopping)

    async def _is_signed_in(self) -> bool:
        token = self._frame.request.cookies.get(identity.SESSION_COOKIE)
        try:
            return token is not None and await self._authenticator.authenticate(session_token=token) is not None
        except NervioError:
            return True  # the store is away, which ends no session


def _event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"

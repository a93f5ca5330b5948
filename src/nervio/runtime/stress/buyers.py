"""The buyers: they sell, hold, claim and let go, lose their connections, and send the same key again until they know."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from nervio.kernel.quantity import UNIT
from nervio.runtime.stress.shop import PRICE, Stall
from nervio.runtime.stress.wire import Reply, Wire

CUT = 0.12
"""Share of requests whose connection is cut before the answer; the same key is sent again then."""
REPEAT = 0.08
"""Share of answers that are asked for again under the same key, which must be answered with the same."""
HOLDS = 0.2
PATIENCE_SECONDS = 60.0
AFTER_REFUSAL_SECONDS = 0.03
AFTER_HALT_SECONDS = 0.05


@dataclass
class Seen:
    """What the buyers were told."""

    enough: int
    """Units after which `enough_sold` is set."""
    enough_sold: asyncio.Event = field(default_factory=asyncio.Event)
    sold: dict[str, int] = field(default_factory=dict)
    """Units by the document that took them: a ticket, or a hold that was claimed."""
    answered: list[tuple[float, float]] = field(default_factory=list)
    """When each request that changed something and was answered with success was sent and answered."""
    milliseconds: list[float] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    other_answers: int = 0
    """Same key, same body, another answer."""
    unexpected: Counter[str] = field(default_factory=Counter)

    def took(self, document: str, units: int) -> None:
        """A document that took units, as its buyer was told."""
        self.sold[document] = units
        if self.units_sold >= self.enough:
            self.enough_sold.set()

    @property
    def units_sold(self) -> int:
        """Units that buyers were told are theirs."""
        return sum(self.sold.values())


class Buyer:
    """One buyer with one connection. `until` is the loop's time at which it starts nothing new."""

    def __init__(self, name: str, wire: Wire, stall: Stall, seen: Seen, until: float, seed: int) -> None:
        self._name, self._wire, self._stall, self._seen, self._until = name, wire, stall, seen, until
        self._random = random.Random(seed)  # noqa: S311 (what to do next is no secret)
        self._number = 0

    async def buy(self) -> None:
        """Goes on until the time is over."""
        loop = asyncio.get_running_loop()
        try:
            while loop.time() < self._until:
                went_well = await (self._hold() if self._random.random() < HOLDS else self._sell())
                if not went_well:
                    await asyncio.sleep(AFTER_REFUSAL_SECONDS * self._random.uniform(0.5, 1.5))
        finally:
            self._wire.abort()

    async def _sell(self) -> bool:
        # Two lines of one product: together they must not take what only each alone could have.
        lines = self._random.choice((1, 1, 1, 2))
        body = {
            "location": self._stall.location,
            "lines": [{"sku": self._stall.sku, "quantity_milli": UNIT, "unit_price_minor": PRICE}] * lines,
            "payments": [{"kind": "cash", "amount_minor": PRICE * lines}],
        }
        reply = await self._know("/api/sales", body)
        if reply is None or reply.status != 201:
            return False
        self._seen.took(reply.json()["id"], lines)
        return True

    async def _hold(self) -> bool:
        line = {"sku": self._stall.sku, "quantity_milli": UNIT}
        body = {"location": self._stall.location, "lines": [line], "seconds": 3600}
        held = await self._know("/api/stock/holds", body)
        if held is None or held.status != 201:
            return False
        self._seen.counts["held"] += 1
        hold_id = held.json()["id"]
        await asyncio.sleep(self._random.uniform(0, 0.05))
        claims = self._random.random() < 0.5
        settled = await self._know(f"/api/stock/holds/{hold_id}/{'claim' if claims else 'release'}", {})
        if settled is None or settled.status != 200:
            self._seen.unexpected["a hold could not be settled"] += 1
            return False
        if claims:
            self._seen.took(hold_id, 1)
        else:
            self._seen.counts["released"] += 1
        return True

    async def _know(self, path: str, body: object) -> Reply | None:
        """Sends one key until its answer is known; None where it never was."""
        self._number += 1
        key = {"Idempotency-Key": f"{self._name}-{self._number}"}
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + PATIENCE_SECONDS
        while loop.time() < give_up_at:
            if self._random.random() < CUT:
                self._seen.counts["cut"] += 1
                await self._wire.send_and_cut("POST", path, body, key, self._random.uniform(0, 0.02))
            try:
                reply = await self._wire.ask("POST", path, body, key)
            except OSError:
                self._seen.counts["dropped"] += 1
                await asyncio.sleep(AFTER_HALT_SECONDS)
                continue
            if reply.status in {429, 503}:
                what = reply.json().get("kind", "unavailable")
                self._seen.counts["halted" if what == "halted" else "busy"] += 1
                await asyncio.sleep(AFTER_HALT_SECONDS * self._random.uniform(0.5, 1.5))
                continue
            await self._take_in(reply, path, body, key)
            return reply
        self._seen.unexpected["a request was never answered"] += 1
        return None

    async def _take_in(self, reply: Reply, path: str, body: object, key: dict[str, str]) -> None:
        self._seen.milliseconds.append((reply.read_at - reply.sent_at) * 1000)
        if reply.status in {200, 201}:
            self._seen.answered.append((reply.sent_at, reply.read_at))
        elif reply.status == 409 and _code(reply) == "insufficient_stock":
            self._seen.counts["refused"] += 1
        else:
            self._seen.unexpected[f"{reply.status} {_code(reply)}"] += 1
        if self._random.random() < REPEAT:
            self._seen.counts["repeated"] += 1
            try:
                again = await self._wire.ask("POST", path, body, key)
            except OSError:
                return
            if again.status not in {429, 503} and (again.status, _said(again)) != (reply.status, _said(reply)):
                self._seen.other_answers += 1


def _code(reply: Reply) -> str:
    return str(reply.json().get("code", ""))


def _said(reply: Reply) -> Any:
    """The answer without what names the request it came to."""
    said = reply.json()
    return {name: value for name, value in said.items() if name != "request_id"} if isinstance(said, dict) else said

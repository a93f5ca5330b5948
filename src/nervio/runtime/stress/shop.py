"""What the stress test makes for itself in the shop, and how it leaves the shop: with nothing of it for sale."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nervio.kernel.errors import Kind, NervioError
from nervio.kernel.ids import new_id
from nervio.kernel.quantity import UNIT
from nervio.runtime.stress.wire import Reply, Wire

PRICE = 1000
PAGE = 500
SETTLE_SECONDS = 30.0
AGAIN_SECONDS = 0.2


class StressRefused(NervioError):
    """The test cannot be run there; the message says why."""

    def __init__(self, message: str) -> None:
        super().__init__(Kind.INVALID, "stress_refused", message)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who runs the test: one of the three."""

    token: str = ""
    api_key: str = ""
    email: str = ""
    password: str = ""


@dataclass(frozen=True, slots=True)
class Stall:
    """The test's own product at its own place."""

    sku: str
    product_id: str
    location: str
    units: int


async def log_in(url: str, who: Credentials) -> dict[str, str]:
    """The headers that say who asks."""
    if who.api_key:
        return {"X-API-Key": who.api_key}
    if who.token:
        return {"Authorization": f"Bearer {who.token}"}
    if not (who.email and who.password):
        raise StressRefused("Give --email and --password, --token or --api-key (or STRESS_EMAIL, STRESS_PASSWORD, …).")
    wire = Wire(url)
    reply = await wire.ask("POST", "/api/auth/login", {"email": who.email, "password": who.password})
    wire.abort()
    if reply.status != 200:
        raise StressRefused(f"The login was refused: {_why(reply)}")
    return {"Authorization": f"Bearer {reply.json()['access_token']}"}


async def refuse_production(wire: Wire) -> None:
    """Raises StressRefused unless the server says that it is none, and that it is not stopped."""
    health = await wire.ask("GET", "/api/health")
    environment = health.json().get("environment")
    if environment not in {"development", "test"}:
        raise StressRefused(
            f"This server says that its environment is {environment!r}. The stress test stops the shop and sells: run it "
            "where that hurts nobody (NERVIO_ENVIRONMENT=test)."
        )
    status = (await wire.ask("GET", "/api/admin/emergency/status")).json()
    if status.get("active"):
        raise StressRefused(f"The installation is stopped: {status.get('reason')}")


async def set_up(wire: Wire, name: str, units: int) -> Stall:
    """Makes place, product and stock."""
    await _do(wire, "POST", "/api/locations", {"code": name, "name": f"Stress test {name}"})
    product = {"sku": name, "name": f"Stress test {name}", "unit_price_minor": PRICE, "category": "Stress test"}
    await _do(wire, "POST", "/api/products", {"products": [product]})
    line = {"sku": name, "quantity_milli": units * UNIT}
    recorded = await _do(
        wire, "POST", "/api/stock/movements", {"kind": "receipt", "location": name, "lines": [line], "reference": name}
    )
    return Stall(name, recorded["levels"][0]["product_id"], name, units)


async def clear_up(wire: Wire, stall: Stall) -> bool:
    """Lets go of what is held, takes out what is left, closes product and place; whether nothing is left."""
    async for hold in pages(wire, f"/api/stock/holds?product={stall.sku}&state=active"):
        await _do(wire, "POST", f"/api/stock/holds/{hold['id']}/release", {})
    level = await read_level(wire, stall)
    left = level["on_hand_milli"]
    if left > 0:
        line = {"sku": stall.sku, "quantity_milli": left}
        document = {"kind": "issue", "location": stall.location, "lines": [line], "reason": "end of the stress test"}
        await _do(wire, "POST", "/api/stock/movements", document)
    product = {"sku": stall.sku, "name": f"Stress test {stall.sku}", "category": "Stress test", "active": False}
    await _do(wire, "POST", "/api/products", {"products": [product]})
    location = {"code": stall.location, "name": f"Stress test {stall.location}", "active": False}
    await _do(wire, "POST", "/api/locations", location)
    return int((await read_level(wire, stall))["on_hand_milli"]) == 0


async def read_level(wire: Wire, stall: Stall) -> dict[str, Any]:
    """The level of the product at the place."""
    levels: list[dict[str, Any]] = (await _do(wire, "GET", f"/api/stock/levels/{stall.sku}"))["items"]
    return levels[0]


async def read_entries(wire: Wire, stall: Stall) -> list[dict[str, Any]]:
    """Every entry of the journal that moves the product, the oldest first."""
    return [entry async for entry in pages(wire, f"/api/ledger/entries?asset={stall.product_id}&order=oldest")]


async def read_halts(wire: Wire) -> Sequence[Mapping[str, Any]]:
    """The newest stops, in force and past."""
    halts: list[dict[str, Any]] = (await _do(wire, "GET", "/api/admin/emergency/halts?limit=50"))["items"]
    return halts


async def pages(wire: Wire, path: str) -> AsyncIterator[dict[str, Any]]:
    """The items of a list, page after page."""
    cursor = ""
    while True:
        page = await _do(wire, "GET", f"{path}&limit={PAGE}{cursor}")
        for item in page["items"]:
            yield item
        if page["next_cursor"] is None:
            return
        cursor = f"&cursor={page['next_cursor']}"


async def _do(wire: Wire, method: str, path: str, body: object = None) -> dict[str, Any]:
    """A request that must succeed, tried again while the server is stopped, thawing or busy."""
    loop = asyncio.get_running_loop()
    until = loop.time() + SETTLE_SECONDS
    key = {"Idempotency-Key": new_id()}
    while True:
        try:
            reply = await wire.ask(method, path, body, key)
        except OSError:
            if loop.time() >= until:
                raise
            await asyncio.sleep(AGAIN_SECONDS)
            continue
        if reply.status in {429, 503} and loop.time() < until:
            await asyncio.sleep(AGAIN_SECONDS)
            continue
        if reply.status not in {200, 201, 204}:
            raise StressRefused(f"{method} {path} was answered with {reply.status}: {_why(reply)}")
        answer: dict[str, Any] = reply.json()
        return answer


def _why(reply: Reply) -> str:
    said = reply.json()
    return str(said.get("detail") or said.get("title") or reply.body[:200])

"""The course of a stress test: a stall of its own, buyers, the stop in the middle, the verdict, and everything put back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nervio.kernel.ids import new_id
from nervio.runtime.stress import shop
from nervio.runtime.stress.buyers import Buyer, Seen
from nervio.runtime.stress.judging import StopTimes, Verdict, judge
from nervio.runtime.stress.shop import Credentials, StressRefused
from nervio.runtime.stress.wire import Wire

REASON = "Stress test"
STOP_AFTER = 0.35
"""The stop comes after this share of the time, or when half of the units are gone if that is sooner."""
STOPPED_SHARE = 0.1
SHORTEST_STOP_SECONDS = 0.5
THAW_SECONDS = 60.0
THAW_TRIES = 6


@dataclass(frozen=True, slots=True)
class Plan:
    """What is run. With several addresses the buyers are shared out among them."""

    urls: Sequence[str]
    who: Credentials
    buyers: int = 32
    units: int = 300
    seconds: float = 10.0
    seed: int = 1


async def stress(plan: Plan, note: Callable[[str], None]) -> Verdict:
    """Runs it. Raises StressRefused where it must not or cannot be run, OSError where the server is not there."""
    url = plan.urls[0]
    wire = Wire(url)
    await shop.refuse_production(wire)
    wire.headers.update(await shop.log_in(url, plan.who))
    name = f"STRESS-{new_id()[-12:].upper()}"
    note(f"{name}: {plan.units} units, {plan.buyers} buyers, {plan.seconds:g} s")
    stall = await shop.set_up(wire, name, plan.units)
    try:
        seen, stop = await _trade(plan, stall, wire.headers, note)
        # What the level and the journal say before anything is put back.
        entries, level = await shop.read_entries(wire, stall), await shop.read_level(wire, stall)
        return judge(plan.units, seen, entries, level, stop)
    finally:
        cleared = await shop.clear_up(wire, stall)
        note("product, place and stock of the test are closed" if cleared else "the test's stock is not at zero")
        wire.abort()


async def _trade(
    plan: Plan, stall: shop.Stall, headers: Mapping[str, str], note: Callable[[str], None]
) -> tuple[Seen, StopTimes]:
    loop, seen = asyncio.get_running_loop(), Seen(enough=max(1, stall.units // 2))
    began = loop.time()
    buyers = [
        Buyer(
            f"{stall.sku}-{n}",
            Wire(plan.urls[n % len(plan.urls)], headers),
            stall,
            seen,
            began + plan.seconds,
            plan.seed * 1_000_003 + n,
        )
        for n in range(plan.buyers)
    ]
    buying = [asyncio.create_task(buyer.buy()) for buyer in buyers]
    # The other server, where there are several: a stop holds on every process.
    control = Wire(plan.urls[-1], headers)
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(began + plan.seconds * STOP_AFTER):
                await seen.enough_sold.wait()
        note(f"stopping after {seen.units_sold} units")
        stop = await _stop_and_resume(control, max(SHORTEST_STOP_SECONDS, plan.seconds * STOPPED_SHARE))
        note("resumed")
        await asyncio.gather(*buying)
    finally:
        control.abort()
        for task in buying:
            task.cancel()
        await asyncio.gather(*buying, return_exceptions=True)
    return seen, stop


async def _stop_and_resume(wire: Wire, seconds: float) -> StopTimes:
    loop = asyncio.get_running_loop()
    asked_at = loop.time()
    try:
        frozen = await wire.ask("POST", _PATH + "freeze", {"reason": REASON, "scope": "tenant", "level": "all"})
        if frozen.status != 200:
            raise StressRefused(f"The stop was not acknowledged ({frozen.status}): {frozen.body[:200]!r}")
        await asyncio.sleep(seconds)
        thaw_asked_at = loop.time()
    except BaseException:
        # Whatever happened, the shop is not left frozen; not by a caller who gave up either.
        await asyncio.shield(_resume(wire))
        raise
    await asyncio.shield(_resume(wire))
    halt_id = frozen.json()["halt"]["id"]
    ended = await _ended(wire, halt_id)
    return StopTimes(
        acknowledged_at=frozen.read_at,
        thaw_asked_at=thaw_asked_at,
        began=ended["activated_at"],
        ended=ended["cleared_at"],
        freeze_milliseconds=(frozen.read_at - asked_at) * 1000,
        thaw_seconds=loop.time() - thaw_asked_at,
    )


_PATH = "/api/admin/emergency/"


async def _resume(wire: Wire) -> None:
    for attempt in range(THAW_TRIES):
        with contextlib.suppress(OSError):
            body = {"reason": REASON, "scope": "tenant", "level": "all"}
            reply = await wire.ask("POST", _PATH + "unfreeze", body)
            if reply.status == 200:
                return
            if reply.status == 202 and reply.json().get("requested"):
                raise StressRefused("STILL STOPPED: a second person has to confirm that the shop goes on.")
        await asyncio.sleep(0.25 * 2**attempt)
    raise StressRefused(f"STILL STOPPED: resume by hand (nervio resume --reason '{REASON}').")


async def _ended(wire: Wire, halt_id: str) -> Mapping[str, Any]:
    """The stop when it is over; a staged one takes its time."""
    loop = asyncio.get_running_loop()
    until = loop.time() + THAW_SECONDS
    while loop.time() < until:
        for halt in await shop.read_halts(wire):
            if halt["id"] == halt_id and halt["cleared_at"] is not None:
                return halt
        await asyncio.sleep(0.1)
    raise StressRefused("The shop was resumed, but the stop is not over yet; look at it in the console.")

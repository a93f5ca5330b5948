"""What is asked of a worker, one check a function: the text that it returns is shown beside it."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Awaitable, Callable

from nervio.ports.workers import Chunk, Ending, Report, Verdict
from nervio.runtime.worker_check.bench import ANSWER_SECONDS, Bench, Failed, expect, seconds_since

PARTS = 50
QUIET_SECONDS = 1.5
"""How long is listened for what must not come."""
TOO_LARGE = 65 * 1024 * 1024


async def registers(bench: Bench) -> str:
    """It says who it is and that it does the kind `check`, and gives signs of life."""
    await bench.process.start()
    await bench.master.until(
        lambda: bench.master.profile is not None or bench.process.has_ended, bench.process.patience_seconds
    )
    if bench.process.has_ended:
        raise Failed("the command has ended; what it wrote to standard error may say why")
    if bench.master.profile is None:
        raise Failed("no registration came; is it told this broker, prefix and id?")
    profile = bench.profile
    if "check" not in profile.kinds:
        raise Failed(f"it does not do the kind `check`, which this test asks for; it does {', '.join(profile.kinds)}")
    if profile.credit < profile.slots:
        raise Failed(f"its credit ({profile.credit}) is less than its slots ({profile.slots})")
    before = bench.master.beats
    if not await bench.master.until(lambda: bench.master.beats >= before + 2, 5.0):
        raise Failed("it gives no sign of life: status is wanted at least every two seconds")
    return f"{profile.language or 'a worker'} {profile.version}: {profile.slots} slots, credit {profile.credit}"


async def does_a_task(bench: Bench) -> str:
    """A result comes back as it is, letters and numbers of all kinds."""
    value = {"text": "Año 12½ → 日本 \u0000", "number": 12345678901, "list": [1, None, True]}
    one, began = bench.attempt({"echo": value}), time.monotonic()
    await bench.give(one)
    expect(await bench.report_of(one), Ending.DONE, json.dumps(value))
    return seconds_since(began)


async def keeps_its_credit(bench: Bench) -> str:
    """It takes as many attempts as it said, holds them all, and what is too much it does or hands back, but never loses."""
    credit = bench.profile.credit
    some = [bench.attempt({"echo": n, "sleep_seconds": 0.5}) for n in range(credit)]
    await bench.give(*some)
    missing = {one.task_id for one in some} - await bench.holding()
    if missing:
        raise Failed(f"of {credit} attempts {len(missing)} are not in the `holding` of its registration")
    over = bench.attempt({"echo": "too much"})
    await bench.give(over)
    for one in some:
        expect(await bench.report_of(one, ANSWER_SECONDS + 0.5 * credit), Ending.DONE)
    if (await bench.report_of(over)).ending not in {Ending.DONE, Ending.HANDED_BACK}:
        raise Failed("an attempt above its credit failed; it should be handed back")
    return f"{credit} held at once"


async def shows_parts(bench: Bench) -> str:
    """Parts of an answer come in order, from 0, all before the report."""
    one = bench.attempt({"echo": 1, "chunks": PARTS})
    await bench.give(one)
    expect(await bench.report_of(one), Ending.DONE)
    told = bench.master.told_of(one)
    parts = [each.n for each in told if isinstance(each, Chunk)]
    if parts != list(range(PARTS)):
        raise Failed(f"expected parts 0 to {PARTS - 1} in order, and {len(parts)} came: {parts[:10]}…")
    if not isinstance(told[-1], Report):
        raise Failed("parts came after the report")
    return f"{PARTS} parts"


async def does_it_once(bench: Bench) -> str:
    """The same attempt sent twice is done once."""
    one = bench.attempt({"echo": 1, "chunks": 1})
    await bench.give(one)
    await bench.give(one)
    await bench.report_of(one)
    await bench.give(one)
    await asyncio.sleep(QUIET_SECONDS)
    if len(bench.master.told_of(one)) != 2:
        raise Failed(f"one part and one report are expected; {len(bench.master.told_of(one))} messages came")
    return ""


async def stops_when_cancelled(bench: Bench) -> str:
    """A cancelled attempt frees its slot."""
    some = [bench.attempt({"sleep_seconds": 60}) for _ in range(bench.profile.slots)]
    await bench.give(*some)
    await asyncio.sleep(0.3)
    await bench.transport.cancel(bench.worker_id, some)
    await bench.goes_on()
    return ""


async def says_why_it_failed(bench: Bench) -> str:
    """A failure carries its reason."""
    one = bench.attempt({"fail": "the picture is black"})
    await bench.give(one)
    report = await bench.report_of(one)
    expect(report, Ending.FAILED)
    if "the picture is black" not in report.error:
        raise Failed(f"the error should say why: {report.error[:80]!r}")
    return ""


async def fails_on_a_bad_payload(bench: Bench) -> str:
    """What makes no sense fails with an error, and the worker goes on."""
    strange, unknown = bench.attempt({"nothing": "known"}), bench.attempt({}, kind="worker-check-unknown")
    await bench.give(strange, unknown)
    for one in (strange, unknown):
        expect(await bench.report_of(one), Ending.FAILED)
    for payload in (b"", b"no json", b"[]", b'{"tasks":5}', b'{"grpc_endpoint":"","tasks":[{}]}'):
        await bench.say("tasks", payload)
    await bench.say("control", b'{"do":"something new"}')
    await bench.goes_on()
    return ""


async def reports_again(bench: Bench) -> str:
    """A report that gets RETRY is sent again, the same."""
    one = bench.attempt({"echo": "kept"})
    bench.master.verdict = lambda _: Verdict.RETRY if len(bench.master.reports_of(one)) < 3 else Verdict.ACCEPTED
    try:
        await bench.give(one)
        if not await bench.master.until(lambda: len(bench.master.reports_of(one)) >= 3, 3 * ANSWER_SECONDS):
            raise Failed(f"it was reported {len(bench.master.reports_of(one))} times; 3 were wanted")
    finally:
        bench.master.verdict = lambda _: Verdict.ACCEPTED
    if len({(report.ending, report.result) for report in bench.master.reports_of(one)}) != 1:
        raise Failed("the report changed from one time to the next")
    return ""


async def forgets_what_is_late(bench: Bench) -> str:
    """LATE and REFUSED are for good: nothing is said of the attempt any more."""
    for verdict in (Verdict.LATE, Verdict.REFUSED):
        one = bench.attempt({"echo": "late"})
        bench.master.verdict = lambda _report, verdict=verdict: verdict  # type: ignore[misc]
        try:
            await bench.give(one)
            await bench.report_of(one)
            await asyncio.sleep(QUIET_SECONDS)
        finally:
            bench.master.verdict = lambda _: Verdict.ACCEPTED
        if len(bench.master.reports_of(one)) != 1 or one.task_id in await bench.holding():
            raise Failed(f"after {verdict.name} the attempt was not forgotten")
    return ""


async def refuses_what_is_too_large(bench: Bench) -> str:
    """A result that no message can carry is a failed attempt that says so."""
    one = bench.attempt({"repeat": TOO_LARGE})
    await bench.give(one)
    expect(await bench.report_of(one, 6 * ANSWER_SECONDS), Ending.FAILED)
    await bench.goes_on()
    return ""


async def is_missed_when_it_crashes(bench: Bench) -> str:
    """Killed, its last will says so; started again it has a new boot and nothing of before."""
    boot, one = bench.profile.boot, bench.attempt({"sleep_seconds": 60})
    await bench.give(one)
    await asyncio.sleep(0.3)
    began = time.monotonic()
    bench.process.end(signal.SIGKILL)
    if not await bench.master.until(lambda: bench.master.profile is None, bench.process.patience_seconds):
        raise Failed("its last will did not come (retained, on register: boot, gone)")
    gone = seconds_since(began)
    await bench.process.ended(ANSWER_SECONDS)
    await bench.process.start()
    if not await bench.master.until(lambda: bench.master.profile is not None, bench.process.patience_seconds):
        raise Failed("it did not register again")
    if bench.profile.boot == boot:
        raise Failed("boot is the same as before its restart")
    if await bench.holding():
        raise Failed("it says that it holds attempts of its former life")
    await bench.goes_on()
    return f"missed after {gone}"


async def leaves_in_order(bench: Bench) -> str:
    """Told to stop, it finishes or hands back what it has, says that it is gone and nothing after it, and ends."""
    boot = bench.profile.boot
    some = [bench.attempt({"echo": n, "sleep_seconds": 0.5}) for n in range(bench.profile.credit)]
    await bench.give(*some)
    await asyncio.sleep(0.2)
    bench.process.end(signal.SIGTERM)
    patience = ANSWER_SECONDS if bench.process.command else bench.process.patience_seconds
    asking = asyncio.create_task(bench.ask_again_and_again())
    try:
        endings = [(await bench.report_of(one, patience)).ending for one in some]
        if Ending.FAILED in endings:
            raise Failed("attempts failed; they should be done or handed back")
        if not await bench.master.until(
            lambda: any(said.gone and said.boot == boot for said in bench.registered), bench.process.patience_seconds
        ):
            raise Failed("it did not say that it is gone")
        await asyncio.sleep(0.2)
    finally:
        asking.cancel()
        await asyncio.wait([asking])
    if bench.master.profile is not None or not bench.registered[-1].gone:
        raise Failed("it registered after it had said that it is gone, and stays behind as a ghost")
    if bench.process.command and await bench.process.ended(ANSWER_SECONDS) is None:
        raise Failed("it goes on running")
    return f"{endings.count(Ending.DONE)} done, {endings.count(Ending.HANDED_BACK)} handed back"


CHECKS: tuple[tuple[str, Callable[[Bench], Awaitable[str]]], ...] = (
    ("registers", registers),
    ("does a task", does_a_task),
    ("keeps its credit", keeps_its_credit),
    ("shows parts in order", shows_parts),
    ("does a repeated message once", does_it_once),
    ("stops when cancelled", stops_when_cancelled),
    ("says why it failed", says_why_it_failed),
    ("fails on a bad payload and goes on", fails_on_a_bad_payload),
    ("reports again after RETRY", reports_again),
    ("forgets after LATE and REFUSED", forgets_what_is_late),
    ("refuses a result of 65 MiB", refuses_what_is_too_large),
    ("is missed when it crashes", is_missed_when_it_crashes),
    ("leaves in order", leaves_in_order),
)
"""In the order in which they are run: each starts from a worker that is there and idle, and the last ends it."""

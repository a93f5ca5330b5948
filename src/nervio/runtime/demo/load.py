"""Loads a demo shop through the real write path and checks every invariant afterwards.

The same api functions, group commit, journal and outbox as a till's, in the bulk lane, so that real sales go first while
it runs. Each record's number is its idempotency key: loading twice, or again after a crash, changes nothing.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from nervio.db.batch import Command, Lane
from nervio.db.context import Ctx
from nervio.db.execution import Outcome
from nervio.kernel.errors import Kind, NervioError
from nervio.kernel.time import DAY
from nervio.modules.catalog import api as catalog
from nervio.modules.catalog.contracts import LocationInput, ProductInput
from nervio.modules.ledger import api as ledger
from nervio.modules.ledger.contracts import Account
from nervio.modules.sales import api as sales
from nervio.modules.sales.contracts import Payment, PaymentKind, RecordReturn, RecordSale, SaleLine, WriteOff
from nervio.modules.stock import api as stock
from nervio.modules.stock.contracts import StockDocument, StockLine
from nervio.runtime.demo.minimarket import CURRENCY as MINIMARKET_CURRENCY
from nervio.runtime.demo.minimarket import plan_minimarket
from nervio.runtime.demo.records import Adjustment, MoneyAdjustment, OpeningReceipt, Return, Ticket
from nervio.runtime.demo.retail import CURRENCY as RETAIL_CURRENCY
from nervio.runtime.demo.retail import read_retail_year
from nervio.runtime.demo.retail_plan import plan_retail_year

log = logging.getLogger(__name__)

LOCATION = "MAIN"
COMMANDS_A_CHUNK = 100
CHUNKS_UNDER_WAY = 4
PRODUCTS_A_COMMAND = 200
IVA_BP = 2100
"""The general rate of Argentine VAT; the catalogue gives prices with it and no rates of its own."""

Progress = Callable[[str, int, int], None]
"""Called with (stage, done, of)."""

AnyCommand = Command[Any, Any]


@dataclass(frozen=True, slots=True)
class DemoReport:
    """What was loaded and what the checks found. `lines` counts lines of tickets, returns and adjustments."""

    tickets: int
    lines: int
    lines_per_s: float
    oversold: int
    refused: int
    ledger_balanced: bool
    seal_verified: bool
    seconds: float


@dataclass(slots=True)
class _Tally:
    tickets: int = 0
    lines: int = 0
    refused: int = 0


SealAndVerify = Callable[[], Any]
"""An awaitable that seals what is not sealed yet and verifies the whole chain; True when it holds."""


async def load_retail_year(ctx: Ctx, verify: SealAndVerify, progress: Progress, days: int | None = None) -> DemoReport:
    """Loads the year of the UCI Online Retail data (its first `days` days where given) into an empty or the same shop."""
    started = time.perf_counter()
    ctx = replace(ctx, lane=Lane.BULK)
    with _kept_values():
        plan = await asyncio.to_thread(lambda: plan_retail_year(read_retail_year()))
    progress("products", 0, len(plan.products))
    await catalog.save_location(ctx, LocationInput(LOCATION, "Online Retail"), "demo-location")
    await _save_products(
        ctx,
        (ProductInput(p.sku, p.description, p.list_price, RETAIL_CURRENCY, tracked=p.tracked) for p in plan.products),
    )
    records = plan.records
    if days is not None:
        end = records[0].effective_at + days * DAY
        records = tuple(r for r in records if r.effective_at < end or isinstance(r, OpeningReceipt))
    tally = await _replay(ctx, records, progress)
    return await _report(ctx, tally, started, verify, progress)


@contextmanager
def _kept_values() -> Iterator[None]:
    """For making millions of small values that stay until the end: the garbage collector neither walks them as they come,
    over and over, nor ever again. Each walk would hold up whoever is selling meanwhile."""
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


async def load_minimarket(ctx: Ctx, verify: SealAndVerify, progress: Progress) -> DemoReport:
    """Loads the Argentine supermarket catalogue with an invented opening stock into a shop of its own."""
    started = time.perf_counter()
    ctx = replace(ctx, lane=Lane.BULK)
    with _kept_values():
        plan = await asyncio.to_thread(plan_minimarket)
    await catalog.save_location(ctx, LocationInput(LOCATION, "Salón"), "demo-location")
    progress("products", 0, len(plan.products))
    await _save_products(
        ctx,
        (
            ProductInput(
                sku=p.sku,
                name=" ".join(filter(None, (p.name, p.presentation))),
                price_minor=p.price or 0,
                currency=MINIMARKET_CURRENCY,
                tax_rate_bp=IVA_BP,
                category=p.category or "",
                barcodes=() if p.barcode is None else (p.barcode,),
            )
            for p in plan.products
        ),
    )
    tally = await _replay(ctx, plan.receipts, progress)
    return await _report(ctx, tally, started, verify, progress)


async def _save_products(ctx: Ctx, products: Iterable[ProductInput]) -> None:
    """Adds the products that are not there yet, so that a second run changes nothing a person has changed since."""
    given = iter(products)
    while chunk := list(islice(given, PRODUCTS_A_COMMAND)):
        await catalog.save_products(ctx, chunk, f"demo-products-{chunk[0].sku}")


async def _replay(ctx: Ctx, records: Sequence[object], progress: Progress) -> _Tally:
    """Sends the records in order, a few chunks ahead of the writer, which keeps them in order."""
    tally = _Tally()
    under_way: list[asyncio.Task[list[Outcome]]] = []
    source = _commands(ctx, records)
    done = 0
    while True:
        chunk = list(islice(source, COMMANDS_A_CHUNK))
        if chunk:
            under_way.append(asyncio.create_task(ctx.submit_all(chunk)))
            tally.lines += sum(command.weight for command in chunk if command.operation.module != "stock")
            tally.tickets += sum(command.operation.name == "sales.record_sale" for command in chunk)
            # Lets the task put its commands into the queue before the next chunk is made.
            await asyncio.sleep(0)
        while under_way and (not chunk or len(under_way) >= CHUNKS_UNDER_WAY):
            outcomes = await under_way.pop(0)
            _count(tally, outcomes)
            done += len(outcomes)
            progress("records", min(done, len(records)), len(records))
        if not chunk:
            return tally


def _count(tally: _Tally, outcomes: Sequence[Outcome]) -> None:
    for outcome in outcomes:
        if isinstance(outcome, NervioError) and outcome.kind not in (Kind.HALTED, Kind.UNAVAILABLE, Kind.TOO_MANY):
            tally.refused += 1
            log.warning("demo_record_refused", extra={"code": outcome.code, "data": outcome.data})
        elif isinstance(outcome, BaseException):
            raise outcome


def _commands(ctx: Ctx, records: Iterable[object]) -> Iterator[AnyCommand]:
    for record in records:
        if isinstance(record, Ticket):
            yield _sale(ctx, record)
        elif isinstance(record, Return):
            yield from _returns(ctx, record)
        elif isinstance(record, Adjustment):
            line = StockLine(record.sku, record.quantity)
            document = StockDocument(LOCATION, (line,), record.number, record.reason, None, record.effective_at)
            yield stock.document_command(ctx, "adjustment", document, record.number)
        elif isinstance(record, OpeningReceipt):
            lines = tuple(StockLine(sku, quantity) for sku, quantity in record.lines)
            document = StockDocument(LOCATION, lines, record.number, effective_at=record.effective_at)
            yield stock.document_command(ctx, "receipt", document, record.number)
        elif isinstance(record, MoneyAdjustment):
            # A negative adjustment of the year is debt that will not be paid: bad debt goes up by it.
            given_up = WriteOff(-record.amount, RETAIL_CURRENCY, record.number, record.reason, record.effective_at)
            yield sales.write_off_command(ctx, given_up, record.number)
        else:
            raise TypeError(f"a plan holds no {type(record).__name__}")


def _sale(ctx: Ctx, ticket: Ticket) -> AnyCommand:
    lines = tuple([SaleLine(sku, quantity, price) for sku, quantity, price in ticket.lines])
    paid = (Payment(PaymentKind.ACCOUNT, ticket.total),) if ticket.total else ()
    sale = RecordSale(
        LOCATION,
        lines,
        paid,
        number=ticket.number,
        currency=RETAIL_CURRENCY,
        customer=ticket.customer or "",
        effective_at=ticket.effective_at,
    )
    return sales.sale_command(ctx, sale, ticket.number)


def _returns(ctx: Ctx, record: Return) -> Iterator[AnyCommand]:
    """One return a ticket it takes from: the first keeps the cancellation's number, the others add theirs to it."""
    by_origin: dict[str | None, list[SaleLine]] = {}
    for sku, quantity, price, original, original_line in record.lines:
        known = None if original is None else original_line
        by_origin.setdefault(original, []).append(SaleLine(sku, quantity, price, "", known))
    for n, (original, lines) in enumerate(by_origin.items()):
        number = record.number if n == 0 else f"{record.number}-{n + 1}"
        total = sum(line.quantity * (line.unit_price or 0) // 1000 for line in lines)
        taken_back = RecordReturn(
            LOCATION,
            tuple(lines),
            original=original or "",
            payments=(Payment(PaymentKind.ACCOUNT, total),) if total else (),
            number=number,
            currency=RETAIL_CURRENCY,
            customer=record.customer or "",
            effective_at=record.effective_at,
        )
        yield sales.return_command(ctx, taken_back, number)


async def _report(ctx: Ctx, tally: _Tally, started: float, verify: SealAndVerify, progress: Progress) -> DemoReport:
    loaded = time.perf_counter() - started
    progress("checks", 0, 3)
    invariants = await stock.check_invariants(ctx)
    progress("checks", 1, 3)
    balances = await ledger.list_balances(ctx)
    sums: dict[str, int] = {}
    for balance in balances:
        sums[balance.asset] = sums.get(balance.asset, 0) + balance.amount
    cleared = all(balance.amount == 0 for balance in balances if balance.account == Account.CLEARING)
    progress("checks", 2, 3)
    verified = bool(await verify())
    progress("checks", 3, 3)
    return DemoReport(
        tickets=tally.tickets,
        lines=tally.lines,
        lines_per_s=round(tally.lines / loaded, 1),
        oversold=invariants.oversold + sum(abs(d.recorded - d.expected) for d in invariants.discrepancies),
        refused=tally.refused,
        ledger_balanced=cleared and all(total == 0 for total in sums.values()),
        seal_verified=verified,
        seconds=round(time.perf_counter() - started, 2),
    )

"""The sales module's use cases. Every write takes a list; one ticket is a list of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nervio.db.batch import Command
from nervio.db.context import Ctx
from nervio.db.execution import Outcome
from nervio.db.tenancy import TenantConnection
from nervio.kernel.errors import NervioError, not_found
from nervio.kernel.ids import is_id
from nervio.kernel.time import Instant
from nervio.modules.catalog import api as catalog
from nervio.modules.sales import store
from nervio.modules.sales.contracts import (
    RecordReturn,
    RecordSale,
    SalesPoint,
    SalesSummary,
    Ticket,
    TicketLine,
    TicketRecorded,
    WriteOff,
    WrittenOff,
)
from nervio.modules.sales.usecases.returning import RECORD_RETURN, WRITE_OFF, check_return, check_write_off
from nervio.modules.sales.usecases.selling import RECORD_SALE, check_form

LONGEST_PAGE = 500


def sale_command(ctx: Ctx, sale: RecordSale, key: str | None) -> Command[RecordSale, TicketRecorded]:
    """A checked command for one ticket. Raises `invalid` naming the field."""
    check_form(sale)
    return ctx.command(RECORD_SALE, sale, key, weight=len(sale.lines))


def return_command(ctx: Ctx, taken_back: RecordReturn, key: str | None) -> Command[RecordReturn, TicketRecorded]:
    """A checked command for one return. Raises `invalid` naming the field, `forbidden` without a ticket's number for
    those who may only take back against one."""
    ctx.require("sales.return" if taken_back.original else "sales.return_blind")
    check_return(taken_back)
    return ctx.command(RECORD_RETURN, taken_back, key, weight=len(taken_back.lines))


async def record_sales(
    ctx: Ctx, sales: Sequence[tuple[RecordSale, str | None]]
) -> list[TicketRecorded | BaseException]:
    """Records many tickets (sale, idempotency key), each with its own verdict, in order."""
    ctx.require("sales.write")
    answers: list[Outcome] = []
    commands = []
    for sale, key in sales:
        try:
            commands.append(sale_command(ctx, sale, key))
            answers.append(None)
        except NervioError as refusal:
            answers.append(refusal)
    outcomes = iter(await ctx.submit_all(commands))
    return [next(outcomes) if answer is None else answer for answer in answers]  # type: ignore[misc]


async def record_sale(ctx: Ctx, sale: RecordSale, key: str | None = None) -> TicketRecorded:
    """Records one ticket: stock, money and journal in one commit.

    Raises `conflict` insufficient_stock with every shortage, `not_found`, `invalid` when payments do not add up.
    """
    ctx.require("sales.write")
    return await ctx.database.submit(sale_command(ctx, sale, key))


async def record_return(ctx: Ctx, taken_back: RecordReturn, key: str | None = None) -> TicketRecorded:
    """Takes goods back and pays back in one commit. Raises `conflict` more_than_sold."""
    return await ctx.database.submit(return_command(ctx, taken_back, key))


def write_off_command(ctx: Ctx, amount: WriteOff, key: str | None) -> Command[WriteOff, WrittenOff]:
    """A checked command for one write-off. Raises `invalid` naming the field."""
    ctx.require("sales.write_off")
    check_write_off(amount)
    return ctx.command(WRITE_OFF, amount, key)


async def write_off(ctx: Ctx, amount: WriteOff, key: str | None = None) -> WrittenOff:
    """Moves what will not be paid from receivable to bad debt."""
    return await ctx.database.submit(write_off_command(ctx, amount, key))


async def list_tickets(
    ctx: Ctx,
    *,
    kind: str | None = None,
    number: str | None = None,
    location_id: str | None = None,
    since: Instant | None = None,
    until: Instant | None = None,
    before: tuple[Instant, str] | None = None,
    limit: int = 50,
) -> list[Ticket]:
    """Tickets and returns, the newest effective time first; `before` is (effective_at, id) of the last one seen."""
    ctx.require("sales.read")

    def query(connection: TenantConnection) -> list[Ticket]:
        rows = store.list_tickets(
            connection,
            kind=kind,
            number=number,
            ticket_id=None,
            location_id=location_id,
            since=since,
            until=until,
            before=before,
            limit=min(limit, LONGEST_PAGE),
        )
        return _whole(connection, rows)

    return await ctx.read(query)


async def get_ticket(ctx: Ctx, reference: str) -> Ticket:
    """The ticket of that number or id. Raises `not_found`."""
    ctx.require("sales.read")

    def query(connection: TenantConnection) -> list[Ticket]:
        names: list[dict[str, str]] = [{"number": reference}]
        if is_id(reference):
            names.append({"ticket_id": reference})
        for name in names:
            rows = store.list_tickets(
                connection,
                kind=None,
                number=name.get("number"),
                ticket_id=name.get("ticket_id"),
                location_id=None,
                since=None,
                until=None,
                before=None,
                limit=1,
            )
            if rows:
                return _whole(connection, rows)
        return []

    found = await ctx.read(query)
    if not found:
        raise not_found("ticket", reference)
    return found[0]


async def summarize(ctx: Ctx, since: Instant, until: Instant) -> list[SalesSummary]:
    """Tickets, returns and money of a span, per currency."""
    ctx.require("sales.read")
    return await ctx.read(lambda c: store.summarize(c, since, until))


async def list_points(ctx: Ctx, since: Instant, until: Instant, interval: int, currency: str) -> list[SalesPoint]:
    """Sales per interval (microseconds), for a chart; intervals without a ticket are left out."""
    ctx.require("sales.read")
    return await ctx.read(lambda c: store.list_points(c, since, until, interval, currency))


async def count_tickets(ctx: Ctx) -> tuple[int, int]:
    """(tickets and returns, their lines)."""
    ctx.require("sales.read")
    return await ctx.read(store.count_tickets)


def _whole(connection: TenantConnection, rows: Sequence[Any]) -> list[Ticket]:
    ids = [row.id for row in rows]
    lines, paid = store.read_lines(connection, ids), store.read_payments(connection, ids)
    products = catalog.read_products(connection, [line.product_id for part in lines.values() for line in part])
    return [
        Ticket(
            id=row.id,
            number=row.number,
            kind=row.kind,
            original_id=row.original_id,
            location_id=row.location_id,
            actor_id=row.actor_id,
            customer=row.customer,
            currency=row.currency,
            tax_included=row.tax_included,
            net=row.net,
            tax=row.tax,
            total=row.total,
            effective_at=row.effective_at,
            recorded_at=row.recorded_at,
            lines=tuple(
                TicketLine(
                    n=line.n,
                    product_id=line.product_id,
                    sku=products[line.product_id].sku,
                    name=products[line.product_id].name,
                    quantity=line.quantity,
                    unit_price=line.unit_price,
                    tax_rate_bp=line.tax_rate_bp,
                    tax=line.tax,
                    total=line.total,
                )
                for line in lines[row.id]
            ),
            payments=tuple(paid[row.id]),
        )
        for row in rows
    ]

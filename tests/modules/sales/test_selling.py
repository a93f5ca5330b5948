"""Tickets through the api: stock, money and journal in one commit."""

import asyncio

import pytest

from nervio.kernel.errors import Kind, NervioError
from nervio.modules.catalog import api as catalog
from nervio.modules.catalog.contracts import ProductInput
from nervio.modules.ledger import api as ledger
from nervio.modules.sales import api as sales
from nervio.modules.sales.contracts import Payment, PaymentKind, RecordReturn, RecordSale, SaleLine, WriteOff
from tests.builders import (
    MAIN,
    NOON,
    Store,
    a_location,
    a_product,
    a_sale,
    a_sale_of,
    a_stocked_product,
    assert_sound,
    level_of,
    milli,
)

CASH, CARD, ACCOUNT = PaymentKind.CASH, PaymentKind.CARD, PaymentKind.ACCOUNT


def ticket(*lines: SaleLine, paid: int | tuple[Payment, ...] = 0, **rest: str | bool | int) -> RecordSale:
    """A ticket paid in cash, or as given."""
    payments = paid if isinstance(paid, tuple) else ((Payment(CASH, paid),) if paid else ())
    return RecordSale(MAIN, lines, payments, **rest)  # type: ignore[arg-type]


async def refusal(store: Store, given: RecordSale) -> NervioError:
    """The refusal of a ticket, which must leave nothing behind."""
    before = await sales.count_tickets(store.ctx), await money(store)
    with pytest.raises(NervioError) as caught:
        await sales.record_sale(store.ctx, given)
    assert (await sales.count_tickets(store.ctx), await money(store)) == before
    await assert_sound(store)
    return caught.value


async def money(store: Store) -> dict[str, int]:
    """Balances by account, where there is only one currency."""
    return {balance.account: balance.amount for balance in await ledger.list_balances(store.ctx) if balance.amount}


async def test_a_sale_takes_stock_books_money_and_can_be_read_back(store: Store) -> None:
    bread = await a_stocked_product(store, 10, price_minor=12_100, tax_rate_bp=2100)
    milk = await a_stocked_product(store, 10, price_minor=5000)
    recorded = await sales.record_sale(store.ctx, a_sale_of((bread, 2), (milk, 1)))
    assert (recorded.net, recorded.tax, recorded.total) == (25_000, 4200, 29_200)
    assert await money(store) == {"cash": 29_200, "sales": -25_000, "tax_payable": -4200}
    assert await level_of(store, bread) == (8, 0)
    for reference in (recorded.number, recorded.ticket_id):
        read = await sales.get_ticket(store.ctx, reference)
        assert (read.kind, read.total, read.payments) == ("sale", 29_200, (Payment(CASH, 29_200),))
        assert [(line.sku, line.quantity, line.unit_price, line.tax, line.total) for line in read.lines] == [
            (bread.sku, 2000, 12_100, 4200, 24_200),
            (milk.sku, 1000, 5000, 0, 5000),
        ]
    (entry,) = await ledger.list_entries(store.ctx, kind="sale")
    assert (entry.document_id, entry.reference) == (recorded.ticket_id, recorded.number)
    await assert_sound(store)


async def test_tax_is_added_where_prices_do_not_contain_it(store: Store) -> None:
    product = await a_stocked_product(store, 10, price_minor=10_000, tax_rate_bp=2100)
    recorded = await sales.record_sale(store.ctx, ticket(SaleLine(product.sku, 1000), paid=12_100, tax_included=False))
    assert (recorded.net, recorded.tax, recorded.total) == (10_000, 2100, 12_100)
    assert await money(store) == {"cash": 12_100, "sales": -10_000, "tax_payable": -2100}


async def test_a_ticket_keeps_the_price_of_its_time(store: Store) -> None:
    product = await a_stocked_product(store, 10, price_minor=1000)
    recorded = await sales.record_sale(store.ctx, a_sale_of((product, 1)))
    await catalog.save_products(store.ctx, [ProductInput(product.sku, product.name, price_minor=9999)])
    assert (await sales.get_ticket(store.ctx, recorded.number)).lines[0].unit_price == 1000


async def test_a_line_may_name_its_own_price(store: Store) -> None:
    product = await a_stocked_product(store, 10, price_minor=1000)
    recorded = await sales.record_sale(
        store.ctx,
        ticket(SaleLine(product.sku, 1500, unit_price=700), SaleLine(product.sku, 1000, unit_price=0), paid=1050),
    )
    assert recorded.total == 1050
    assert await level_of(store, product) == (7.5, 0)


async def test_a_ticket_is_all_or_nothing(store: Store) -> None:
    plenty, scarce = await a_stocked_product(store, 10), await a_stocked_product(store, 1)
    error = await refusal(store, a_sale_of((plenty, 5), (scarce, 2)))
    assert (error.kind, error.code) == (Kind.CONFLICT, "insufficient_stock")
    assert [shortage["sku"] for shortage in error.data["shortages"]] == [scarce.sku]
    assert await level_of(store, plenty) == (10, 0)


async def test_lines_of_one_product_are_added_up_before_they_are_checked(store: Store) -> None:
    product = await a_stocked_product(store, 10)
    error = await refusal(store, a_sale_of((product, 6), (product, 6)))
    assert error.data["shortages"][0]["requested"] == 12_000
    recorded = await sales.record_sale(store.ctx, a_sale_of((product, 6), (product, 4)))
    assert len((await sales.get_ticket(store.ctx, recorded.number)).lines) == 2
    assert await level_of(store, product) == (0, 0)


async def test_a_partial_ticket_leaves_out_what_is_short_and_cuts_the_payments(store: Store) -> None:
    plenty, scarce = await a_stocked_product(store, 10), await a_stocked_product(store, 1)
    lines = (SaleLine(plenty.sku, 2000), SaleLine(scarce.sku, 2000), SaleLine(plenty.sku, 1000))
    paid = (Payment(CASH, 1000), Payment(CARD, 4000))
    recorded = await sales.record_sale(store.ctx, ticket(*lines, paid=paid, partial=True))
    assert recorded.total == 3000
    assert recorded.payments == (Payment(CASH, 1000), Payment(CARD, 2000))
    assert [(line.n, line.sku, line.requested, line.available) for line in recorded.refused] == [
        (1, scarce.sku, 2000, 1000)
    ]
    assert await money(store) == {"cash": 1000, "card": 2000, "sales": -3000}
    assert await level_of(store, scarce) == (1, 0)
    await assert_sound(store)


async def test_a_partial_ticket_with_nothing_left_is_refused(store: Store) -> None:
    scarce = await a_stocked_product(store, 1)
    error = await refusal(store, ticket(SaleLine(scarce.sku, 2000), paid=2000, partial=True))
    assert error.code == "insufficient_stock"


async def test_payments_must_add_up_exactly(store: Store) -> None:
    product = await a_stocked_product(store, 10)
    for paid in (999, 1001, 0):
        error = await refusal(store, ticket(SaleLine(product.sku, 1000), paid=paid))
        assert (error.code, error.data["given"], error.data["total"]) == ("payments_do_not_add_up", paid, 1000)
    assert await level_of(store, product) == (10, 0)


async def test_a_ticket_is_paid_in_as_many_ways_as_the_customer_likes(store: Store) -> None:
    product = await a_stocked_product(store, 10, price_minor=1000, tax_rate_bp=1000)
    paid = (Payment(CASH, 100), Payment(CARD, 200), Payment(ACCOUNT, 300), Payment(CASH, 400))
    await sales.record_sale(store.ctx, ticket(SaleLine(product.sku, 1000), paid=paid))
    assert await money(store) == {
        "cash": 500,
        "card": 200,
        "receivable": 300,
        "sales": -909,
        "tax_payable": -91,
    }


async def test_what_is_given_away_needs_no_payment(store: Store) -> None:
    product = await a_stocked_product(store, 10, price_minor=0)
    recorded = await sales.record_sale(store.ctx, ticket(SaleLine(product.sku, 1000)))
    assert recorded.total == 0
    assert await money(store) == {}
    assert await level_of(store, product) == (9, 0)


async def test_services_are_sold_without_stock(store: Store) -> None:
    service = await a_product(store, price_minor=500, tracked=False)
    recorded = await sales.record_sale(store.ctx, a_sale_of((service, 3)))
    assert recorded.total == 1500
    await assert_sound(store)


async def test_a_till_where_stock_may_go_negative_sells_on(store: Store) -> None:
    await a_location(store, "FAIR", allow_negative=True)
    product = await a_product(store)
    await sales.record_sale(store.ctx, a_sale_of((product, 3), location="FAIR"))
    assert await level_of(store, product, "FAIR") == (-3, 0)
    await assert_sound(store)


async def test_a_number_is_given_once(store: Store) -> None:
    product = await a_stocked_product(store, 10)
    await sales.record_sale(store.ctx, a_sale_of((product, 1), number="A-1"))
    error = await refusal(store, a_sale_of((product, 1), number="A-1"))
    assert (error.kind, error.code, error.data["number"]) == (Kind.CONFLICT, "number_taken", "A-1")
    other = await store.another_tenant()
    theirs = await a_stocked_product(other, 1)
    assert (await sales.record_sale(other.ctx, a_sale_of((theirs, 1), number="A-1"))).number == "A-1"


async def test_a_number_is_given_once_in_one_batch_too_and_freed_by_a_refusal(store: Store) -> None:
    product = await a_stocked_product(store, 2)
    given = [(a_sale_of((product, units), number="A-1"), f"k{units}") for units in (9, 1, 2)]
    outcomes = await sales.record_sales(store.ctx, given)
    assert [getattr(outcome, "code", "recorded") for outcome in outcomes] == [
        "insufficient_stock",
        "recorded",
        "number_taken",
    ]


async def test_numbers_the_program_gives_are_never_the_same(store: Store) -> None:
    product = await a_stocked_product(store, 50)
    recorded = await asyncio.gather(*(sales.record_sale(store.ctx, a_sale_of((product, 1))) for _ in range(50)))
    assert len({one.number for one in recorded}) == 50


async def test_a_price_in_another_currency_never_passes_for_the_tickets(store: Store) -> None:
    pesos = await a_stocked_product(store, 10, price_minor=1000)
    dollars = await a_stocked_product(store, 10, price_minor=1000, currency="USD")
    assert (await refusal(store, a_sale_of((pesos, 1), (dollars, 1)))).code == "mixed_currencies"
    error = await refusal(store, ticket(SaleLine(pesos.sku, 1000), paid=1000, currency="USD"))
    assert (error.code, error.data["field"]) == ("mixed_currencies", "lines[0].unit_price")
    lines = (SaleLine(pesos.sku, 1000, unit_price=1), SaleLine(dollars.sku, 1000))
    recorded = await sales.record_sale(store.ctx, ticket(*lines, paid=1001, currency="USD"))
    assert recorded.currency == "USD"
    await sales.record_sale(store.ctx, a_sale_of((pesos, 1)))
    found = {(balance.account, balance.asset): balance.amount for balance in await ledger.list_balances(store.ctx)}
    assert found["cash", "USD"] == 1001
    assert found["cash", "ARS"] == 1000


async def test_a_backdated_ticket_counts_where_it_belongs_and_rewrites_nothing(store: Store) -> None:
    product = await a_stocked_product(store, 10)
    yesterday = NOON - 86_400_000_000
    recorded = await sales.record_sale(
        store.ctx, ticket(SaleLine(product.sku, 1000), paid=1000, effective_at=yesterday)
    )
    read = await sales.get_ticket(store.ctx, recorded.number)
    assert (read.effective_at, read.recorded_at) == (yesterday, NOON)
    assert await sales.summarize(store.ctx, NOON, NOON + 1) == []
    (day,) = await sales.summarize(store.ctx, yesterday, yesterday + 1)
    assert (day.tickets, day.total) == (1, 1000)
    (point,) = await sales.list_points(store.ctx, yesterday - 10, NOON, 3_600_000_000, "ARS")
    assert (point.start, point.tickets, point.total) == (yesterday - 10, 1, 1000)


async def test_what_is_unknown_is_named_with_its_field(store: Store) -> None:
    product = await a_stocked_product(store, 10)
    error = await refusal(store, ticket(SaleLine(product.sku, 1000), SaleLine("NO-SUCH", 1000), paid=1000))
    assert (error.kind, error.data["field"]) == (Kind.NOT_FOUND, "lines[1].sku")
    error = await refusal(store, RecordSale("NOWHERE", (SaleLine(product.sku, 1000),)))
    assert (error.kind, error.data["field"]) == (Kind.NOT_FOUND, "location")


async def test_another_tenants_products_locations_and_tickets_do_not_exist(store: Store) -> None:
    other = await store.another_tenant()
    theirs, mine = await a_stocked_product(other, 5), await a_stocked_product(store, 5)
    for name in (theirs.sku, theirs.id):
        assert (await refusal(store, ticket(SaleLine(name, 1000), paid=1000))).kind is Kind.NOT_FOUND
    given = RecordSale(other.main.id, (SaleLine(mine.sku, 1000),), (Payment(CASH, 1000),))
    assert (await refusal(store, given)).kind is Kind.NOT_FOUND
    recorded = await sales.record_sale(other.ctx, a_sale_of((theirs, 1)))
    for reference in (recorded.number, recorded.ticket_id):
        with pytest.raises(NervioError) as caught:
            await sales.get_ticket(store.ctx, reference)
        assert caught.value.kind is Kind.NOT_FOUND
    assert await sales.list_tickets(store.ctx) == []


@pytest.mark.parametrize(
    ("given", "field"),
    [
        (RecordSale(MAIN, ()), "lines"),
        (RecordSale(MAIN, (SaleLine("X", 1),) * 2001), "lines"),
        (ticket(SaleLine("X", 0)), "lines[0].quantity"),
        (ticket(SaleLine("X", -1)), "lines[0].quantity"),
        (ticket(SaleLine("X", 10**30)), "lines[0].quantity"),
        (ticket(SaleLine("X", 1, unit_price=-1)), "lines[0].unit_price"),
        (ticket(SaleLine("X", 1, unit_price=10**30)), "lines[0].unit_price"),
        (ticket(SaleLine("X", 1), paid=(Payment(CASH, 0),)), "payments[0].amount"),
        (ticket(SaleLine("X", 1), paid=(Payment(CASH, 10**30),)), "payments[0].amount"),
        (ticket(SaleLine("X", 1), paid=(Payment(CASH, 1),) * 21), "payments"),
        (ticket(SaleLine("X", 1), number="n" * 65), "number"),
        (ticket(SaleLine("X", 1), number="a\x00b"), "number"),
        (ticket(SaleLine("X", 1), customer="c" * 201), "customer"),
        (ticket(SaleLine("X", 1), customer="a\x00b"), "customer"),
        (ticket(SaleLine("X", 1), currency="pesos"), "currency"),
        (ticket(SaleLine("X", 1), effective_at=10**40), "effective_at"),
    ],
)
async def test_a_ticket_of_the_wrong_form_is_refused_by_field(store: Store, given: RecordSale, field: str) -> None:
    error = await refusal(store, given)
    assert (error.kind, error.data["field"]) == (Kind.INVALID, field)


async def test_a_total_that_no_ledger_holds_is_refused(store: Store) -> None:
    service = await a_product(store, tracked=False)
    error = await refusal(store, ticket(SaleLine(service.sku, 10**15, unit_price=10**15), paid=1))
    assert error.code == "amount_out_of_range"


async def test_a_poisoned_ticket_does_not_spoil_its_neighbours(store: Store) -> None:
    product = await a_stocked_product(store, 100)
    good = [(a_sale_of((product, 1)), f"good{n}") for n in range(5)]
    bad = (ticket(SaleLine(product.sku, 1000), paid=1, number="late"), "bad")
    outcomes = await sales.record_sales(store.ctx, [*good[:3], bad, *good[3:]])
    assert [isinstance(outcome, NervioError) for outcome in outcomes] == [False] * 3 + [True] + [False] * 2
    assert await level_of(store, product) == (95, 0)


async def test_tickets_are_listed_newest_first_page_by_page(store: Store) -> None:
    product = await a_stocked_product(store, 10)
    numbers: list[str] = []
    for n in range(5):
        store.clock.advance(1)
        await sales.record_sale(store.ctx, a_sale_of((product, 1), number=f"N-{n}"))
        numbers.insert(0, f"N-{n}")
    first = await sales.list_tickets(store.ctx, limit=3)
    rest = await sales.list_tickets(store.ctx, before=(first[-1].effective_at, first[-1].id))
    assert [one.number for one in first + rest] == numbers
    assert await sales.count_tickets(store.ctx) == (5, 5)


async def test_selling_and_taking_back_need_their_permissions(store: Store) -> None:
    sold = await a_sale(store)
    clerk = store.permitted("sales.read")
    for attempt in (
        sales.record_sale(clerk, ticket(SaleLine("X", 1))),
        sales.record_return(clerk, RecordReturn(MAIN, (SaleLine("X", 1),), original=sold.number)),
        sales.write_off(clerk, WriteOff(1, "ARS", "r", "why")),
    ):
        with pytest.raises(NervioError) as caught:
            await attempt
        assert caught.value.kind is Kind.FORBIDDEN
    cashier = store.permitted("sales.return")
    with pytest.raises(NervioError) as caught:
        await sales.record_return(cashier, RecordReturn(MAIN, (SaleLine("X", 1),)))
    assert caught.value.data["permission"] == "sales.return_blind"


async def test_what_was_taken_off_sale_is_not_sold_but_may_come_back(store: Store) -> None:
    product = await a_stocked_product(store)
    sold = await sales.record_sale(store.ctx, a_sale_of((product, 2)))
    off_sale = ProductInput(product.sku, product.name, product.price_minor, product.currency, active=False)
    await catalog.save_products(store.ctx, [off_sale])
    with pytest.raises(NervioError) as refused:
        await sales.record_sale(store.ctx, a_sale_of((product, 1)))
    assert (refused.value.code, refused.value.data["field"]) == ("product_off_sale", "lines[0].sku")
    line = SaleLine(product.sku, milli(2))
    back = await sales.record_return(store.ctx, RecordReturn(MAIN, (line,), original=sold.number))
    assert back.total == sold.total
    await assert_sound(store)

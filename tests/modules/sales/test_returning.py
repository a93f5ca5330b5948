"""Returns against a ticket and without one; write-offs."""

import asyncio

import pytest

from nervio.kernel.errors import Kind, NervioError
from nervio.kernel.ids import new_id
from nervio.modules.catalog import api as catalog
from nervio.modules.catalog.contracts import Product, ProductInput
from nervio.modules.ledger import api as ledger
from nervio.modules.sales import api as sales
from nervio.modules.sales.contracts import (
    Payment,
    PaymentKind,
    RecordReturn,
    RecordSale,
    SaleLine,
    TicketRecorded,
    WriteOff,
)
from nervio.modules.stock import api as stock
from tests.builders import (
    MAIN,
    Store,
    a_location,
    a_product,
    a_receipt,
    a_sale_of,
    a_stocked_product,
    assert_sound,
    level_of,
)

CASH, CARD, ACCOUNT = PaymentKind.CASH, PaymentKind.CARD, PaymentKind.ACCOUNT


def back(*lines: SaleLine, original: str = "", **rest: str | bool | tuple[Payment, ...]) -> RecordReturn:
    """A return at MAIN."""
    return RecordReturn(MAIN, lines, original, **rest)  # type: ignore[arg-type]


async def money(store: Store) -> dict[str, int]:
    """Balances by account, where there is only one currency."""
    return {balance.account: balance.amount for balance in await ledger.list_balances(store.ctx) if balance.amount}


async def test_a_return_brings_units_and_money_back_at_the_tickets_price(store: Store) -> None:
    product = await a_stocked_product(store, 10, price_minor=12_100, tax_rate_bp=2100)
    sold = await sales.record_sale(store.ctx, a_sale_of((product, 3)))
    await catalog.save_products(store.ctx, [ProductInput(product.sku, product.name, price_minor=1)])
    returned = await sales.record_return(store.ctx, back(SaleLine(product.sku, 1000), original=sold.number))
    assert (returned.net, returned.tax, returned.total) == (10_000, 2100, 12_100)
    assert returned.payments == (Payment(CASH, 12_100),)
    assert await money(store) == {"cash": 24_200, "sales": -20_000, "tax_payable": -4200}
    assert await level_of(store, product) == (8, 0)
    read = await sales.get_ticket(store.ctx, returned.number)
    assert (read.kind, read.original_id) == ("return", sold.ticket_id)
    await assert_sound(store)


async def test_a_return_in_parts_pays_back_the_ticket_exactly(store: Store) -> None:
    product = await a_stocked_product(store, 10, price_minor=33, tax_rate_bp=2100)
    sold = await sales.record_sale(store.ctx, a_sale_of((product, 7)))
    for _ in range(7):
        await sales.record_return(store.ctx, back(SaleLine(product.sku, 1000), original=sold.number))
    assert await money(store) == {}
    assert await level_of(store, product) == (10, 0)
    (span,) = await sales.summarize(store.ctx, 0, 2**60)
    assert (span.tickets, span.returns, span.total, span.tax) == (1, 7, 0, 0)


async def test_a_part_that_takes_back_more_tax_than_it_pays_is_booked_whole(store: Store) -> None:
    service = await a_product(store, price_minor=3, tax_rate_bp=10_000, tracked=False)
    sale = RecordSale(MAIN, (SaleLine(service.sku, 1000),), (Payment(CASH, 3),))
    sold = await sales.record_sale(store.ctx, sale)
    assert (sold.net, sold.tax) == (1, 2)
    for _ in range(10):
        taken = await sales.record_return(store.ctx, back(SaleLine(service.sku, 100), original=sold.number))
        balances = await money(store)
        read = await sales.get_ticket(store.ctx, taken.number)
        assert (read.net, read.tax, read.total) == (taken.net, taken.tax, taken.total)
        assert "clearing" not in balances
        summary = (await sales.summarize(store.ctx, 0, 2**60))[0]
        assert (balances.get("cash", 0), -balances.get("tax_payable", 0)) == (summary.total, summary.tax)
    assert await money(store) == {}


async def test_no_more_comes_back_than_was_sold_however_often_one_asks(store: Store) -> None:
    product = await a_stocked_product(store, 10)
    sold = await sales.record_sale(store.ctx, a_sale_of((product, 3)))
    with pytest.raises(NervioError) as caught:
        await sales.record_return(store.ctx, back(SaleLine(product.sku, 4000), original=sold.number))
    assert (caught.value.code, caught.value.data["returnable"]) == ("more_than_sold", 3000)
    await sales.record_return(store.ctx, back(SaleLine(product.sku, 2000), original=sold.number))
    with pytest.raises(NervioError) as caught:
        await sales.record_return(store.ctx, back(SaleLine(product.sku, 2000), original=sold.ticket_id))
    assert caught.value.data["returnable"] == 1000
    lines = (SaleLine(product.sku, 1000), SaleLine(product.sku, 1000))
    with pytest.raises(NervioError):
        await sales.record_return(store.ctx, back(*lines, original=sold.number))
    assert await level_of(store, product) == (9, 0)
    await assert_sound(store)


async def test_returns_that_meet_in_one_batch_draw_on_the_same_units(store: Store) -> None:
    product = await a_stocked_product(store, 10)
    sold = await sales.record_sale(store.ctx, a_sale_of((product, 3)))
    references = [sold.number, sold.ticket_id] * 5
    outcomes = await asyncio.gather(
        *(
            sales.record_return(store.ctx, back(SaleLine(product.sku, 1000), original=reference))
            for reference in references
        ),
        return_exceptions=True,
    )
    assert sum(not isinstance(outcome, BaseException) for outcome in outcomes) == 3
    assert {outcome.code for outcome in outcomes if isinstance(outcome, NervioError)} == {"more_than_sold"}
    assert await level_of(store, product) == (10, 0)
    assert await money(store) == {}


async def test_a_refused_return_gives_its_units_back_to_the_ticket(store: Store) -> None:
    product = await a_stocked_product(store, 10)
    sold = await sales.record_sale(store.ctx, a_sale_of((product, 3)))
    wrong = back(SaleLine(product.sku, 3000), original=sold.number, payments=(Payment(CASH, 1),))
    right = back(SaleLine(product.sku, 3000), original=sold.number)
    commands = [sales.return_command(store.ctx, given, None) for given in (wrong, right)]
    refused, taken = await store.ctx.submit_all(commands)
    assert isinstance(refused, NervioError)
    assert refused.code == "payments_do_not_add_up"
    assert isinstance(taken, TicketRecorded)


async def test_a_return_may_follow_its_sale_in_the_same_batch(store: Store) -> None:
    product = await a_stocked_product(store, 3)
    sale = sales.sale_command(store.ctx, a_sale_of((product, 3), number="S-1"), "s")
    early = sales.return_command(store.ctx, back(SaleLine(product.sku, 1000), original="S-1"), "early")
    late = sales.return_command(store.ctx, back(SaleLine(product.sku, 1000), original="S-1"), "late")
    outcomes = await store.ctx.submit_all([early, sale, late])
    assert [getattr(outcome, "code", "recorded") for outcome in outcomes] == [
        "ticket_not_found",
        "recorded",
        "recorded",
    ]
    assert await level_of(store, product) == (1, 0)
    with pytest.raises(NervioError) as caught:
        await sales.record_return(store.ctx, back(SaleLine(product.sku, 3000), original="S-1"))
    assert caught.value.data["returnable"] == 2000
    await assert_sound(store)


async def test_a_return_spreads_over_the_lines_it_was_sold_on(store: Store) -> None:
    product = await a_stocked_product(store, 10)
    lines = (SaleLine(product.sku, 2000, unit_price=100), SaleLine(product.sku, 2000, unit_price=70))
    sold = await sales.record_sale(store.ctx, RecordSale(MAIN, lines, (Payment(CASH, 340),)))
    returned = await sales.record_return(store.ctx, back(SaleLine(product.sku, 3000), original=sold.number))
    assert returned.total == 270
    assert [line.unit_price for line in (await sales.get_ticket(store.ctx, returned.number)).lines] == [100, 70]


async def test_a_return_is_paid_back_the_way_it_says(store: Store) -> None:
    product = await a_stocked_product(store, 10)
    sold = await sales.record_sale(store.ctx, a_sale_of((product, 3), kind=ACCOUNT))
    given = back(
        SaleLine(product.sku, 2000), original=sold.number, payments=(Payment(ACCOUNT, 1500), Payment(CARD, 500))
    )
    await sales.record_return(store.ctx, given)
    assert await money(store) == {"receivable": 1500, "card": -500, "sales": -1000}
    short = back(SaleLine(product.sku, 1000), original=sold.number, payments=(Payment(CASH, 999),))
    with pytest.raises(NervioError, match="add up"):
        await sales.record_return(store.ctx, short)


async def test_a_return_of_a_ticket_without_tax_in_its_prices_says_so(store: Store) -> None:
    product = await a_stocked_product(store, 10, price_minor=1000, tax_rate_bp=2100)
    line = SaleLine(product.sku, 1000)
    sold = await sales.record_sale(store.ctx, RecordSale(MAIN, (line,), (Payment(CASH, 1210),), tax_included=False))
    returned = await sales.record_return(store.ctx, back(line, original=sold.number))
    assert returned.total == 1210
    assert (await sales.get_ticket(store.ctx, returned.number)).tax_included is False


async def test_only_a_sale_can_be_taken_back_and_only_one_that_exists(store: Store) -> None:
    product = await a_stocked_product(store, 10)
    sold = await sales.record_sale(store.ctx, a_sale_of((product, 3)))
    returned = await sales.record_return(store.ctx, back(SaleLine(product.sku, 1000), original=sold.number))
    with pytest.raises(NervioError) as caught:
        await sales.record_return(store.ctx, back(SaleLine(product.sku, 1000), original=returned.number))
    assert caught.value.code == "not_a_sale"
    other = await store.another_tenant()
    theirs = await sales.record_sale(other.ctx, a_sale_of((await a_stocked_product(other, 1), 1)))
    for reference in ("NO-SUCH", new_id(), theirs.number, theirs.ticket_id, "nul\x00"):
        with pytest.raises(NervioError) as caught:
            await sales.record_return(store.ctx, back(SaleLine(product.sku, 1000), original=reference))
        assert (caught.value.kind, caught.value.data["field"]) == (Kind.NOT_FOUND, "original")
    unsold = await a_stocked_product(store, 1)
    with pytest.raises(NervioError) as caught:
        await sales.record_return(store.ctx, back(SaleLine(unsold.sku, 1000), original=sold.number))
    assert caught.value.data["returnable"] == 0


async def test_a_blind_return_pays_the_price_it_is_given(store: Store) -> None:
    product = await a_product(store, price_minor=1000)
    returned = await sales.record_return(store.ctx, back(SaleLine(product.sku, 2000, unit_price=700), reason="gift"))
    assert returned.total == 1400
    assert await level_of(store, product) == (2, 0)
    assert await money(store) == {"cash": -1400, "sales": 1400}
    (entry,) = await ledger.list_entries(store.ctx, kind="return")
    assert entry.details == {"reason": "gift"}
    await assert_sound(store)


async def a_perishable(store: Store, **lots: tuple[float, str | None]) -> Product:
    """A product kept by lot, with lots of (units, expiry)."""
    product = await a_product(store, by_lot=True)
    for lot, (units, expires_on) in lots.items():
        await a_receipt(store, product, units, lot=lot, expires_on=expires_on)
    return product


async def lots_of(store: Store, product: Product) -> dict[str, tuple[float, str | None]]:
    """Units and expiry by lot, with the place where it is not MAIN."""
    return {
        lot.lot if lot.location_id == store.main.id else f"{lot.lot} elsewhere": (lot.on_hand / 1000, lot.expires_on)
        for lot in await stock.list_lots(store.ctx, product.id)
    }


async def test_units_kept_by_lot_come_back_to_the_lot_that_is_named(store: Store) -> None:
    product = await a_perishable(store, A=(5, "2026-09-01"))
    sold = await sales.record_sale(store.ctx, a_sale_of((product, 5)))
    await sales.record_return(store.ctx, back(SaleLine(product.sku, 1000, lot="A"), original=sold.number))
    await sales.record_return(store.ctx, back(SaleLine(product.sku, 1000, lot="B"), original=sold.number))
    assert await lots_of(store, product) == {"A": (1, "2026-09-01"), "B": (1, None)}
    await assert_sound(store)


async def test_units_whose_lot_is_not_named_go_back_to_the_lots_they_were_sold_from(store: Store) -> None:
    product = await a_perishable(store, A=(2, "2026-09-01"), B=(2, "2026-10-01"), C=(5, "2026-11-01"))
    sold = await sales.record_sale(store.ctx, a_sale_of((product, 6)))
    assert await lots_of(store, product) == {"C": (3, "2026-11-01")}

    async def bring(units: float, lot: str = "") -> dict[str, tuple[float, str | None]]:
        line = SaleLine(product.sku, int(units * 1000), lot=lot)
        await sales.record_return(store.ctx, back(line, original=sold.number))
        return await lots_of(store, product)

    # 2 of A, 2 of B, 2 of C: the last picked comes back first, whatever earlier returns left of it.
    assert await bring(1.5) == {"C": (4.5, "2026-11-01")}
    assert await bring(1) == {"C": (5, "2026-11-01"), "B": (0.5, "2026-10-01")}
    assert await bring(1, lot="B") == {"C": (5, "2026-11-01"), "B": (1.5, "2026-10-01")}
    assert await bring(2.5) == {"C": (5, "2026-11-01"), "B": (2, "2026-10-01"), "A": (2, "2026-09-01")}
    await assert_sound(store)


async def test_returns_that_meet_in_one_batch_do_not_fill_a_lot_twice(store: Store) -> None:
    product = await a_perishable(store, A=(2, "2026-09-01"), B=(2, "2026-10-01"))
    other = await a_perishable(store, A=(3, "2026-09-01"))
    sale = sales.sale_command(store.ctx, a_sale_of((product, 4), (other, 3), number="S-1"), "s")
    one = back(SaleLine(product.sku, 1000), original="S-1")
    refused = back(SaleLine(product.sku, 2000), original="S-1", payments=(Payment(CASH, 1),))
    split = back(SaleLine(product.sku, 500), SaleLine(product.sku, 500), SaleLine(other.sku, 1000), original="S-1")
    commands = [sales.return_command(store.ctx, given, None) for given in (one, refused, split, one)]
    outcomes = await store.ctx.submit_all([sale, *commands])
    assert [getattr(outcome, "code", "recorded") for outcome in outcomes] == [
        "recorded",
        "recorded",
        "payments_do_not_add_up",
        "recorded",
        "recorded",
    ]
    assert await lots_of(store, product) == {"B": (2, "2026-10-01"), "A": (1, "2026-09-01")}
    assert await lots_of(store, other) == {"A": (1, "2026-09-01")}
    await assert_sound(store)


async def test_units_that_come_back_elsewhere_keep_their_lots_and_dates(store: Store) -> None:
    await a_location(store, "BACK")
    product = await a_perishable(store, A=(2, "2026-03-01"), B=(2, "2026-10-01"))
    sold = await sales.record_sale(store.ctx, a_sale_of((product, 3)))
    line = SaleLine(product.sku, 2000)
    await sales.record_return(store.ctx, RecordReturn("BACK", (line,), sold.number))
    assert await lots_of(store, product) == {
        "A elsewhere": (1, "2026-03-01"),
        "B elsewhere": (1, "2026-10-01"),
        "B": (1, "2026-10-01"),
    }
    store.clock.advance(2 * 86_400)
    with pytest.raises(NervioError) as caught:
        await sales.record_sale(store.ctx, a_sale_of((product, 2), location="BACK"))
    assert caught.value.data["shortages"][0]["expired"] == 1000
    await assert_sound(store)


async def test_a_blind_return_goes_to_the_lot_of_returns(store: Store) -> None:
    product = await a_perishable(store, A=(2, "2026-09-01"))
    await sales.record_return(store.ctx, back(SaleLine(product.sku, 1000, unit_price=1)))
    assert await lots_of(store, product) == {"A": (2, "2026-09-01"), "returned": (1, None)}
    await assert_sound(store)


async def test_services_come_back_as_money_only(store: Store) -> None:
    service = await a_product(store, price_minor=500, tracked=False)
    sold = await sales.record_sale(store.ctx, a_sale_of((service, 2)))
    await sales.record_return(store.ctx, back(SaleLine(service.sku, 2000), original=sold.number))
    assert await money(store) == {}
    await assert_sound(store)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        (back(), "lines"),
        (back(SaleLine("X", 0)), "lines[0].quantity"),
        (back(SaleLine("X", 1, lot="a\x00")), "lines[0].lot"),
        (back(SaleLine("X", 1), reason="r" * 1001), "reason"),
        (back(SaleLine("X", 1), currency="usd"), "currency"),
    ],
)
async def test_a_return_of_the_wrong_form_is_refused_by_field(store: Store, given: RecordReturn, field: str) -> None:
    with pytest.raises(NervioError) as caught:
        await sales.record_return(store.ctx, given)
    assert (caught.value.kind, caught.value.data["field"]) == (Kind.INVALID, field)


async def test_a_write_off_moves_a_debt_and_can_be_taken_back(store: Store) -> None:
    product = await a_stocked_product(store, 10)
    await sales.record_sale(store.ctx, a_sale_of((product, 3), kind=ACCOUNT))
    await sales.write_off(store.ctx, WriteOff(2000, "ARS", "customer 7", "moved away"))
    assert await money(store) == {"receivable": 1000, "bad_debt": 2000, "sales": -3000}
    await sales.write_off(store.ctx, WriteOff(-500, "ARS", "customer 7", "paid after all"))
    assert await money(store) == {"receivable": 1500, "bad_debt": 1500, "sales": -3000}


@pytest.mark.parametrize(
    ("given", "field"),
    [
        (WriteOff(0, "ARS", "r", "why"), "amount"),
        (WriteOff(10**30, "ARS", "r", "why"), "amount"),
        (WriteOff(1, "pesos", "r", "why"), "currency"),
        (WriteOff(1, "ARS", "r", " "), "reason"),
        (WriteOff(1, "ARS", "r\x00", "why"), "reference"),
        (WriteOff(1, "ARS", "r", "why", effective_at=-1), "effective_at"),
    ],
)
async def test_a_write_off_says_how_much_of_what_and_why(store: Store, given: WriteOff, field: str) -> None:
    with pytest.raises(NervioError) as caught:
        await sales.write_off(store.ctx, given)
    assert (caught.value.kind, caught.value.data["field"]) == (Kind.INVALID, field)

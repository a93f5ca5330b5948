"""The plan of the year against the rows it was made from, and against a slow replay of its records."""

from collections import Counter, defaultdict
from datetime import timedelta
from zoneinfo import ZoneInfo

from nervio.kernel.money import line_amount
from nervio.kernel.time import from_datetime, to_iso
from nervio.runtime.demo.records import (
    RECEIPT_LINES,
    Adjustment,
    MoneyAdjustment,
    OpeningReceipt,
    Record,
    RetailPlan,
    Return,
    Ticket,
    TicketLine,
)
from nervio.runtime.demo.retail import FIRST_MINUTE, NOT_TRACKED, TIME_ZONE, RetailYear
from nervio.runtime.demo.retail_plan import NO_REASON, instant_of, plan_retail_year


def tickets_of(plan: RetailPlan) -> list[Ticket]:
    return [record for record in plan.records if isinstance(record, Ticket)]


def returns_of(plan: RetailPlan) -> list[Return]:
    return [record for record in plan.records if isinstance(record, Return)]


def moved_by(record: Record) -> dict[str, int]:
    """What a record does to stock, by SKU."""
    moved: dict[str, int] = defaultdict(int)
    match record:
        case OpeningReceipt(lines=received):
            for sku, quantity in received:
                moved[sku] += quantity
        case Ticket(lines=sold):
            for sku, quantity, _ in sold:
                moved[sku] -= quantity
        case Return(lines=returned):
            for line in returned:
                moved[line.sku] += line.quantity
        case Adjustment(sku=sku, quantity=quantity):
            moved[sku] += quantity
        case MoneyAdjustment():
            pass
    return moved


def test_the_figures_are_those_the_documentation_gives(plan: RetailPlan) -> None:
    summary = plan.summary
    assert (summary.tickets, summary.ticket_lines) == (17_946, 447_625)
    assert (summary.returns, summary.return_rows) == (3_425, 8_279)
    assert (summary.adjustments, summary.money_adjustments) == (1_211, 3)
    assert summary.source_rows == 447_625 + 8_279 + 1_211 + 3
    assert (summary.gross_sales, summary.refunds, summary.money_adjusted) == (903_258_003, 67_119_857, -1_106_206)


def test_no_money_of_the_source_is_lost_but_four_tenths_of_a_penny(plan: RetailPlan) -> None:
    summary = plan.summary
    assert summary.net_total == summary.gross_sales - summary.refunds + summary.money_adjusted
    assert summary.source_mills - summary.net_total * 10 == summary.rounded_off_mills == 4


def test_the_records_add_up_to_the_figures_counted_from_the_rows(plan: RetailPlan) -> None:
    summary, tickets, returns = plan.summary, tickets_of(plan), returns_of(plan)
    assert len(tickets) == summary.tickets
    assert sum(len(ticket.lines) for ticket in tickets) == summary.ticket_lines
    assert sum(line[1] for ticket in tickets for line in ticket.lines) == summary.units_sold
    assert sum(ticket.total for ticket in tickets) == summary.gross_sales
    assert len(returns) == summary.returns
    assert sum(line.quantity for one in returns for line in one.lines) == summary.units_returned
    assert sum(one.total for one in returns) == summary.refunds
    adjustments = [record for record in plan.records if isinstance(record, Adjustment)]
    assert len(adjustments) == summary.adjustments
    assert sum(record.quantity for record in adjustments) == summary.units_adjusted
    amounts = [record.amount for record in plan.records if isinstance(record, MoneyAdjustment)]
    assert len(amounts) == summary.money_adjustments and sum(amounts) == summary.money_adjusted


def test_a_total_is_the_sum_of_its_lines(plan: RetailPlan) -> None:
    for ticket in tickets_of(plan):
        assert ticket.total == sum(line_amount(price, quantity) for _, quantity, price in ticket.lines)
    for one in returns_of(plan):
        assert one.total == sum(line_amount(line.unit_price, line.quantity) for line in one.lines)


def test_each_invoice_is_one_record_with_its_own_number(plan: RetailPlan, year: RetailYear) -> None:
    numbers = [record.number for record in plan.records]
    assert len(set(numbers)) == len(numbers)
    invoices = [number for number in numbers if not number.startswith("opening-")]
    assert invoices == list(dict.fromkeys(run.invoice for run in year.runs))


def test_records_come_in_the_order_of_time_and_receipts_first(plan: RetailPlan) -> None:
    instants = [record.effective_at for record in plan.records]
    assert instants == sorted(instants)
    kinds = [isinstance(record, OpeningReceipt) for record in plan.records]
    assert kinds == sorted(kinds, reverse=True)
    assert to_iso(instants[0]) == "2010-12-01T00:00:00.000000Z"
    assert to_iso(tickets_of(plan)[0].effective_at) == "2010-12-01T08:26:00.000000Z"


def test_minutes_are_read_as_the_wall_clock_of_london(year: RetailYear) -> None:
    london = ZoneInfo(TIME_ZONE)
    for minute in {run.minute for run in year.runs}:
        moment = (FIRST_MINUTE + timedelta(minutes=minute)).replace(tzinfo=london)
        assert instant_of(minute) == from_datetime(moment)


def test_an_invoice_in_two_pieces_is_one_ticket(plan: RetailPlan) -> None:
    ticket = next(ticket for ticket in tickets_of(plan) if ticket.number == "542806")
    assert len(ticket.lines) == 39


def test_lines_are_the_rows_of_the_invoice_in_their_order(plan: RetailPlan, year: RetailYear) -> None:
    lines: dict[str, list[TicketLine]] = defaultdict(list)
    for row in year.rows():
        lines[row.invoice].append((row.stock_code, row.quantity * 1000, (row.price_mills + 5) // 10))
    for ticket in tickets_of(plan):
        assert list(ticket.lines) == lines[ticket.number]


def test_stock_never_runs_short_and_no_opening_quantity_is_larger_than_needed(plan: RetailPlan) -> None:
    level: dict[str, int] = defaultdict(int)
    lowest = dict(plan.opening_stock)
    for record in plan.records:
        for sku, quantity in moved_by(record).items():
            level[sku] += quantity
            if not isinstance(record, OpeningReceipt) and sku in lowest:
                lowest[sku] = min(lowest[sku], level[sku])
    assert set(lowest.values()) == {0}  # below: oversold; above: more was opened with than was needed
    for sku, change in plan.summary.stock_change.items():
        assert level[sku] == plan.opening_stock[sku] + change


def test_services_have_no_stock(plan: RetailPlan) -> None:
    skus = {product.sku for product in plan.products}
    assert set(NOT_TRACKED) <= skus
    assert {product.sku for product in plan.products if not product.tracked} == set(NOT_TRACKED)
    assert set(plan.opening_stock) == set(plan.summary.stock_change) == skus - set(NOT_TRACKED)
    assert not [record for record in plan.records if isinstance(record, Adjustment) and record.sku in NOT_TRACKED]


def test_opening_receipts_hold_each_product_once_in_parts(plan: RetailPlan) -> None:
    receipts = [record for record in plan.records if isinstance(record, OpeningReceipt)]
    lines = [line for receipt in receipts for line in receipt.lines]
    assert {line.sku: line.quantity for line in lines} == {sku: n for sku, n in plan.opening_stock.items() if n}
    assert len(lines) == 4_001
    assert [len(receipt.lines) for receipt in receipts[:-1]] == [RECEIPT_LINES] * 8


def test_a_return_names_a_line_of_an_earlier_ticket_that_still_has_the_units(plan: RetailPlan) -> None:
    tickets: dict[str, Ticket] = {}
    left: dict[tuple[str, int], int] = {}
    for record in plan.records:
        if isinstance(record, Ticket):
            tickets[record.number] = record
        if not isinstance(record, Return):
            continue
        for line in record.lines:
            assert line.quantity > 0 and line.unit_price >= 0
            assert (line.original_ticket is None) == (line.original_line is None)
            if line.original_ticket is None or line.original_line is None:
                continue
            ticket = tickets[line.original_ticket]
            sku, sold, price = ticket.lines[line.original_line]
            assert (ticket.customer, sku, price) == (record.customer, line.sku, line.unit_price)
            place = (line.original_ticket, line.original_line)
            left[place] = left.get(place, sold) - line.quantity
            assert left[place] >= 0
    assert sum(line.quantity for one in returns_of(plan) for line in one.lines if line.original_ticket) == 158_599_000


def test_a_blind_line_is_left_only_where_no_sale_has_units(plan: RetailPlan) -> None:
    """A slow model: all units a customer bought of a product at a price, and how many of them came back."""
    unreturned: Counter[tuple[str, str, int]] = Counter()
    for record in plan.records:
        if isinstance(record, Ticket) and record.customer is not None:
            for sku, quantity, price in record.lines:
                unreturned[record.customer, sku, price] += quantity
        if isinstance(record, Return) and record.customer is not None:
            for line in record.lines:
                purchase = (record.customer, line.sku, line.unit_price)
                if line.original_ticket is None:
                    assert unreturned[purchase] == 0
                else:
                    unreturned[purchase] -= line.quantity


def test_reasons_are_the_descriptions(plan: RetailPlan) -> None:
    reasons = Counter(record.reason for record in plan.records if isinstance(record, Adjustment))
    assert reasons[NO_REASON] == 842
    assert reasons["damaged"] == 36
    debts = [record for record in plan.records if isinstance(record, MoneyAdjustment)]
    assert [(debt.number, debt.amount) for debt in debts] == [
        ("A563185", 1_106_206),
        ("A563186", -1_106_206),
        ("A563187", -1_106_206),
    ]
    assert {debt.reason for debt in debts} == {"Adjust bad debt"}


def test_products_are_called_by_their_usual_name_and_price(plan: RetailPlan) -> None:
    products = {product.sku: product for product in plan.products}
    assert list(products) == sorted(products) and len(products) == 4_032
    assert products["85123A"][1:] == ("WHITE HANGING HEART T-LIGHT HOLDER", 295, True)
    assert products["POST"][1:] == ("POSTAGE", 1800, False)
    assert products["PADS"][1:] == ("PADS TO MATCH ALL CUSHIONS", 0, True)
    assert products["72732"].description == "72732"  # its only row says "thrown away-can't sell"
    assert sum(product.description == product.sku for product in plan.products) == 133
    assert all(product.description and product.list_price >= 0 for product in plan.products)


def test_planning_twice_gives_the_same_plan(plan: RetailPlan, year: RetailYear) -> None:
    assert plan_retail_year(year) == plan

"""Rules of tickets on plain values."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nervio.modules.ledger.contracts import Posting
from nervio.modules.sales.contracts import Payment, PaymentKind
from nervio.modules.sales.domain import SoldLine, allocate_return, cut_payments, line_money, money_postings

CASH, CARD, ACCOUNT = PaymentKind.CASH, PaymentKind.CARD, PaymentKind.ACCOUNT


def balances(postings: list[Posting]) -> dict[str, int]:
    """Debits less credits by account; accounts at zero are left out."""
    sums: Counter[str] = Counter()
    for debit, credit, _currency, _lot, amount in postings:
        assert amount > 0
        sums[debit] += amount
        sums[credit] -= amount
    return {account: amount for account, amount in sums.items() if amount}


@pytest.mark.parametrize(
    ("unit_price", "quantity", "rate", "included", "tax", "total"),
    [
        (12_100, 1000, 2100, True, 2100, 12_100),
        (10_000, 1000, 2100, False, 2100, 12_100),
        (1, 1000, 2100, True, 0, 1),
        (333, 3000, 1050, False, 105, 1104),
        (999, 333, 0, True, 0, 333),
        (1, 500, 0, True, 0, 1),
        (1, 499, 0, True, 0, 0),
        (1, 1000, 10_000, True, 1, 1),
        (100, 250, 2100, False, 5, 30),
    ],
)
def test_a_line_is_rounded_once_half_up(
    unit_price: int, quantity: int, rate: int, included: bool, tax: int, total: int
) -> None:
    assert line_money(unit_price, quantity, rate, included) == (tax, total)


@given(st.integers(0, 10**9), st.integers(1, 10**7), st.integers(0, 10_000), st.booleans())
def test_tax_never_exceeds_the_total_of_its_line(price: int, quantity: int, rate: int, included: bool) -> None:
    tax, total = line_money(price, quantity, rate, included)
    assert 0 <= tax <= total


def test_payments_of_a_ticket_that_sold_less_are_cut_from_the_end() -> None:
    paid = [Payment(CASH, 700), Payment(CARD, 300)]
    assert cut_payments(paid, 1000) == (Payment(CASH, 700), Payment(CARD, 300))
    assert cut_payments(paid, 800) == (Payment(CASH, 700), Payment(CARD, 100))
    assert cut_payments(paid, 700) == (Payment(CASH, 700),)
    assert cut_payments(paid, 1) == (Payment(CASH, 1),)
    assert cut_payments(paid, 0) == ()


def test_one_payment_goes_straight_from_sales_and_tax() -> None:
    postings = money_postings([Payment(CASH, 1210)], 1000, 210, "ARS", refund=False)
    assert balances(postings) == {"cash": 1210, "sales": -1000, "tax_payable": -210}
    assert len(postings) == 2


def test_several_payments_leave_nothing_in_clearing() -> None:
    paid = [Payment(CASH, 200), Payment(CARD, 1000), Payment(ACCOUNT, 10)]
    postings = money_postings(paid, 1000, 210, "ARS", refund=False)
    assert balances(postings) == {"cash": 200, "card": 1000, "receivable": 10, "sales": -1000, "tax_payable": -210}


def test_a_refund_is_the_sale_turned_round() -> None:
    paid = [Payment(CASH, 200), Payment(CARD, 1010)]
    postings = money_postings(paid, 1000, 210, "ARS", refund=True)
    assert balances(postings) == {"cash": -200, "card": -1010, "sales": 1000, "tax_payable": 210}


def test_a_refund_of_more_tax_than_total_still_pays_back_what_it_says() -> None:
    assert balances(money_postings([Payment(CASH, 1)], -1, 2, "ARS", refund=True)) == {
        "cash": -1,
        "sales": -1,
        "tax_payable": 2,
    }
    assert balances(money_postings([], -1, 1, "ARS", refund=True)) == {"sales": -1, "tax_payable": 1}


def sold_line(quantity: int, tax: int, total: int, n: int = 0, product: str = "p") -> SoldLine:
    return SoldLine(n, product, quantity, unit_price=0, tax_rate_bp=2100, tax=tax, total=total)


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=12), st.integers(0, 10**6), st.integers(0, 10**6))
def test_what_comes_back_in_parts_adds_up_to_the_line_exactly(parts: list[int], one: int, other: int) -> None:
    line = sold_line(sum(parts), tax=min(one, other), total=max(one, other))
    paid_tax = paid_total = 0
    for part in parts:
        tax, total = line.take_back(part)
        assert tax >= 0
        assert total >= 0
        paid_tax += tax
        paid_total += total
    assert line.returnable == 0
    assert (paid_tax, paid_total) == (line.tax, line.total)


def test_a_third_of_a_hundred_comes_back_as_33_34_33() -> None:
    line = sold_line(3000, tax=0, total=100)
    assert [line.take_back(1000)[1] for _ in range(3)] == [33, 34, 33]


def test_a_returned_quantity_is_spread_over_the_lines_it_was_sold_on() -> None:
    lines = [sold_line(2000, 0, 20, n=0), sold_line(1000, 0, 10, n=1, product="q"), sold_line(3000, 0, 30, n=2)]
    assert [(line.n, part) for line, part in allocate_return(lines, "p", 4000)] == [(0, 2000), (2, 2000)]
    assert sum(part for _, part in allocate_return(lines, "p", 9000)) == 5000
    lines[0].take_back(2000)
    assert [(line.n, part) for line, part in allocate_return(lines, "p", 1000)] == [(2, 1000)]

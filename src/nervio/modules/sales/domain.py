"""Rules of tickets on plain values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nervio.kernel.money import line_amount, round_half_up, tax_of
from nervio.modules.ledger.contracts import Account, Posting
from nervio.modules.sales.contracts import Payment, PaymentKind

ACCOUNT_OF = {
    PaymentKind.CASH: Account.CASH.value,
    PaymentKind.CARD: Account.CARD.value,
    PaymentKind.TRANSFER: Account.TRANSFER.value,
    PaymentKind.WALLET: Account.WALLET.value,
    PaymentKind.ACCOUNT: Account.RECEIVABLE.value,
}


def line_money(unit_price: int, quantity: int, tax_rate_bp: int, tax_included: bool) -> tuple[int, int]:
    """(tax, total with tax) of a line, each rounded once, half up."""
    amount = line_amount(unit_price, quantity)
    if tax_rate_bp == 0:
        return 0, amount
    tax = tax_of(amount, tax_rate_bp, tax_included)
    return tax, amount if tax_included else amount + tax


def cut_payments(payments: Sequence[Payment], total: int) -> tuple[Payment, ...]:
    """The payments cut down to a total, the last ones first; for tickets that sold less than was asked."""
    left, kept = total, []
    for payment in payments:
        part = min(payment.amount, left)
        if part > 0:
            kept.append(Payment(payment.kind, part))
            left -= part
    return tuple(kept)


def money_postings(payments: Sequence[Payment], net: int, tax: int, currency: str, *, refund: bool) -> list[Posting]:
    """How a ticket's money moves: from sales and tax to what it was paid with, or back for a refund.

    One payment goes straight; several (or none, where tax and net cancel out) meet in the clearing account, which every
    entry leaves at zero. A part of a return may take back more tax than it pays, since tax and total are cut to whole
    minor units each for itself: its net is then negative and moves the other way.
    """
    through = ACCOUNT_OF[payments[0].kind] if len(payments) == 1 else Account.CLEARING.value
    moves = [(through, Account.SALES.value, net), (through, Account.TAX_PAYABLE.value, tax)]
    if len(payments) > 1:
        moves += [(ACCOUNT_OF[p.kind], Account.CLEARING.value, p.amount) for p in payments]
    return [
        (credit, debit, currency, "", abs(amount))
        if refund is (amount > 0)
        else (debit, credit, currency, "", abs(amount))
        for debit, credit, amount in moves
        if amount
    ]


@dataclass(slots=True)
class SoldLine:
    """A line of the original ticket and how much of it has come back."""

    n: int
    product_id: str
    quantity: int
    unit_price: int
    tax_rate_bp: int
    tax: int
    total: int
    returned: int = 0
    returned_tax: int = 0
    returned_total: int = 0

    @property
    def returnable(self) -> int:
        """Milli-units that may still come back."""
        return self.quantity - self.returned

    def take_back(self, quantity: int) -> tuple[int, int]:
        """(tax, total) to pay back. Shares are cut from the whole line, so that parts always add up to it exactly."""
        returned = self.returned + quantity
        tax = round_half_up(self.tax * returned, self.quantity) - self.returned_tax
        total = round_half_up(self.total * returned, self.quantity) - self.returned_total
        self.returned = returned
        self.returned_tax += tax
        self.returned_total += total
        return tax, total


@dataclass(slots=True)
class Pick:
    """Units of a ticket that came out of one lot, and how many of them have not come back."""

    product_id: str
    lot: str
    left: int


def put_back(picks: Sequence[Pick], product_id: str, lot: str, quantity: int) -> None:
    """Counts units that went back to a lot; those that went to another lot than they came from count nowhere."""
    for pick in picks:
        if (pick.product_id, pick.lot) == (product_id, lot):
            pick.left = max(0, pick.left - quantity)


def allocate_lots(picks: Sequence[Pick], product_id: str, quantity: int) -> Iterator[tuple[Pick, int]]:
    """Which lots a returned quantity goes back to: the last picked first. Stops short when they do not cover it."""
    for pick in reversed(picks):
        if pick.product_id == product_id and pick.left > 0 and quantity > 0:
            part = min(quantity, pick.left)
            quantity -= part
            yield pick, part


def allocate_return(lines: Sequence[SoldLine], product_id: str, quantity: int) -> Iterator[tuple[SoldLine, int]]:
    """Which lines of the ticket a returned quantity comes from, in their order. Stops short when they do not cover it."""
    for line in lines:
        if line.product_id == product_id and line.returnable > 0 and quantity > 0:
            part = min(quantity, line.returnable)
            quantity -= part
            yield line, part

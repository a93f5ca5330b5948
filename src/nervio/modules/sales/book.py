"""The sales book: tickets of a batch on their way to the disk, and the original tickets that returns draw on."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from nervio.db.batch import Batch, Book
from nervio.db.writes import Insert, Row
from nervio.modules.ledger import api as ledger
from nervio.modules.ledger.contracts import STOCK_PREFIX, Posting
from nervio.modules.sales import store
from nervio.modules.sales.domain import Pick, SoldLine, allocate_lots, put_back
from nervio.modules.sales.models import payments, ticket_lines, tickets
from nervio.modules.stock import api as stock

_TICKET_COLUMNS = (
    "tenant_id",
    "id",
    "number",
    "kind",
    "original_id",
    "location_id",
    "actor_id",
    "customer",
    "currency",
    "tax_included",
    "net",
    "tax",
    "total",
    "effective_at",
    "recorded_at",
)
_LINE_COLUMNS = (
    "tenant_id",
    "ticket_id",
    "n",
    "original_n",
    "product_id",
    "quantity",
    "unit_price",
    "tax_rate_bp",
    "tax",
    "total",
)


@dataclass(slots=True)
class Original:
    """The ticket a return is made against."""

    ticket_id: str
    kind: str
    location_id: str
    currency: str
    tax_included: bool
    lines: list[SoldLine]
    picks: list[Pick] | None = None
    """The lots its units came from, in the order they were picked; None where no return of the batch asks for them."""


class SalesBook(Book):
    """Collects tickets, keeps their numbers unique within the batch, and remembers what has come back."""

    lock_name = "ticket"

    def __init__(self) -> None:
        self._wanted_numbers: set[tuple[str, str]] = set()
        self._wanted_originals: dict[tuple[str, str], bool] = {}
        self._taken: set[tuple[str, str]] = set()
        self._originals: dict[tuple[str, str], Original] = {}
        self._tickets: list[Row] = []
        self._lines: list[Row] = []
        self._payments: list[Row] = []
        self._undo: list[Callable[[], object]] = []

    def want_number(self, tenant_id: str, number: str) -> None:
        """Declares a number that a caller chose."""
        self._wanted_numbers.add((tenant_id, number))

    def want_original(self, tenant_id: str, reference: str, *, lots: bool = False) -> None:
        """Declares a ticket that a return is made against; `lots` loads the lots its units came from."""
        name = (tenant_id, reference)
        self._wanted_originals[name] = lots or self._wanted_originals.get(name, False)

    def open(self, batch: Batch) -> None:
        if self._wanted_numbers:
            self._taken |= store.find_numbers(batch.connection, batch.dialect, sorted(self._wanted_numbers))
        if self._wanted_originals:
            found = store.lock_tickets(batch.connection, batch.dialect, sorted(self._wanted_originals))
            by_id: dict[tuple[str, str], Original] = {}
            for reference, found_one in found.items():
                # A ticket named once by number and once by id must be one object: both draw on the same units.
                original = by_id.setdefault((reference[0], found_one[0]), Original(*found_one))
                self._originals[reference] = original
            self._load_picks(batch)

    def _load_picks(self, batch: Batch) -> None:
        """Reads in the journal which lots were picked for the tickets and which have had their units back."""
        asked = {
            (name[0], original.ticket_id): original
            for name, original in self._originals.items()
            if self._wanted_originals[name]
        }
        if not asked:
            return
        returns = store.find_returns(batch.connection, batch.dialect, sorted(asked))
        moved = ledger.find_postings(batch, [*asked, *returns])
        for name, original in asked.items():
            original.picks = picks_of(moved.get(name, ()))
            keys = {(name[0], original.location_id, pick.product_id) for pick in original.picks if pick.lot}
            stock.book(batch).want_lot_dates(keys)
        for (tenant_id, return_id), ticket_id in returns.items():
            picks = asked[tenant_id, ticket_id].picks or ()
            for debit, _, product_id, lot, quantity in moved.get((tenant_id, return_id), ()):
                if debit.startswith(STOCK_PREFIX):
                    put_back(picks, product_id, lot, quantity)

    def is_taken(self, tenant_id: str, number: str) -> bool:
        """Whether a ticket of that number exists, in the store or earlier in this batch."""
        return (tenant_id, number) in self._taken

    def find_original(self, tenant_id: str, reference: str) -> Original | None:
        """The declared original ticket, if there is one."""
        return self._originals.get((tenant_id, reference))

    def take_back(self, line: SoldLine, quantity: int) -> tuple[int, int]:
        """(tax, total) of a quantity that comes back of a sold line."""
        before = (line.returned, line.returned_tax, line.returned_total)

        def undo() -> None:
            line.returned, line.returned_tax, line.returned_total = before

        self._undo.append(undo)
        return line.take_back(quantity)

    def choose_lots(self, original: Original, product_id: str, quantity: int) -> list[tuple[str, int]]:
        """(lot, units) for units that come back of the ticket: where they were picked, the last picked first."""
        chosen = [(pick.lot, part) for pick, part in allocate_lots(original.picks or (), product_id, quantity)]
        for lot, part in chosen:
            self.put_back(original, product_id, lot, part)
        return chosen

    def put_back(self, original: Original, product_id: str, lot: str, quantity: int) -> None:
        """Remembers that units of the ticket went back to a lot."""
        for pick in original.picks or ():
            if (pick.product_id, pick.lot) == (product_id, lot):
                self._undo.append(functools.partial(setattr, pick, "left", pick.left))
        put_back(original.picks or (), product_id, lot, quantity)

    def add(self, ticket: Row, lines: list[Row], paid: list[Row], moved: Sequence[Posting] = ()) -> None:
        """Adds a ticket; rows in the order of the tables' columns, `moved` what it posts."""
        number = (ticket[0], ticket[2])
        self._taken.add(number)
        # Not a closure over the book: with one, every batch would be garbage that only the collector can free, tens of
        # thousands of objects at a stroke, while tills wait.
        self._undo.append(functools.partial(self._taken.discard, number))
        if number in self._wanted_originals and number not in self._originals:
            # A return that waited in the same batch, behind its sale: commands are decided in the order they came.
            sold = [SoldLine(line[2], *line[4:10]) for line in lines]
            picks = picks_of(moved)
            self._originals[number] = Original(ticket[1], ticket[3], ticket[5], ticket[8], ticket[9], sold, picks)
            self._undo.append(functools.partial(self._originals.pop, number))
        self._tickets.append(ticket)
        self._lines.extend(lines)
        self._payments.extend(paid)

    def mark(self) -> tuple[int, int, int, int]:
        return len(self._undo), len(self._tickets), len(self._lines), len(self._payments)

    def rollback(self, mark: tuple[int, int, int, int] | None) -> None:
        undo, heads, lines, paid = mark or (0, 0, 0, 0)
        while len(self._undo) > undo:
            self._undo.pop()()
        del self._tickets[heads:], self._lines[lines:], self._payments[paid:]

    def flush(self, batch: Batch) -> None:
        batch.writes.append(Insert(tickets, _TICKET_COLUMNS, self._tickets))
        batch.writes.append(Insert(ticket_lines, _LINE_COLUMNS, self._lines))
        batch.writes.append(Insert(payments, ("tenant_id", "ticket_id", "n", "kind", "amount"), self._payments))


def picks_of(moved: Iterable[Posting]) -> list[Pick]:
    """The picks of a sale out of what it posted."""
    return [Pick(asset, lot, amount) for _, credit, asset, lot, amount in moved if credit.startswith(STOCK_PREFIX)]

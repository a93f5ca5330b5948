"""A shop in plain Python: slow, obvious, and the judge of the real one.

It knows no batches, books or locks: a deed is tried on a copy of everything, and the copy is kept when nothing was short.
Reserved units are added up from the holds each time they are asked for. Quantities are milli-units, money minor units.
"""

import copy
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from math import floor

OK = "ok"
LOCATIONS = MAIN, DEPOSIT, VAN = "MAIN", "DEPOSIT", "VAN"
"""VAN may go below zero."""


@dataclass(frozen=True)
class Ware:
    """A product: price and tax as the catalog has them."""

    sku: str
    price: int
    tax_rate_bp: int
    tracked: bool = True
    by_lot: bool = False


WARES = {
    ware.sku: ware
    for ware in (
        Ware("BREAD", 1000, 2100),
        Ware("TEA", 333, 1050),
        Ware("YOGHURT", 251, 0, by_lot=True),
        Ware("DELIVERY", 99, 2100, tracked=False),
    )
}

Line = tuple[str, int]
"""(SKU, milli-units)"""


@dataclass(frozen=True)
class Document:
    """A stock document; lines are (SKU, milli-units, lot, expiry)."""

    kind: str
    location: str
    lines: tuple[tuple[str, int, str, str | None], ...]
    to_location: str | None = None


@dataclass(frozen=True)
class Sale:
    """A ticket, tax included, paid half in each of the ways; `off` is how far the payments miss the total."""

    number: str
    location: str
    lines: tuple[Line, ...]
    kinds: tuple[str, ...] = ("cash",)
    partial: bool = False
    off: int = 0


@dataclass(frozen=True)
class Return:
    """Goods of a ticket that come back for cash."""

    original: str
    location: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Place:
    """A hold, by a name that the tests give it."""

    name: str
    location: str
    lines: tuple[Line, ...]
    seconds: int


@dataclass(frozen=True)
class Settle:
    """`claim` or `release` of a hold."""

    name: str
    how: str


Deed = Document | Sale | Return | Place | Settle


class Refused(Exception):
    """The deed is not possible; carries the code of the refusal."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class Lot:
    """Units of one lot; empty lots are kept."""

    units: int
    expires_on: str | None


@dataclass
class Promise:
    """A hold."""

    location: str
    lines: dict[str, int]
    expires_at: int
    state: str = "active"
    made: tuple[int, str] = (0, "")  # when, under which id; else holds are as old as their places in the dict


@dataclass
class Sold:
    """A line of a ticket and what came back of it."""

    sku: str
    quantity: int
    tax: int
    total: int
    returned: int = 0


@dataclass
class Picked:
    """Units of a ticket that came out of a lot and have not come back."""

    location: str
    sku: str
    lot: str
    units: int


@dataclass
class Shop:
    """Everything there is."""

    now: int
    on_hand: Counter[tuple[str, str]] = field(default_factory=Counter)
    lots: dict[tuple[str, str, str], Lot] = field(default_factory=dict)
    holds: dict[str, Promise] = field(default_factory=dict)
    tickets: dict[str, list[Sold]] = field(default_factory=dict)
    picked: dict[str, list[Picked]] = field(default_factory=dict)
    money: Counter[str] = field(default_factory=Counter)
    booked: int = 0
    """Deeds that happened."""

    def do(self, deed: Deed, today: str) -> str:
        """Does the deed, or nothing; "ok" or the code of the refusal."""
        draft = copy.deepcopy(self)
        try:
            match deed:
                case Document():
                    draft._document(deed, today)
                case Sale():
                    draft._sale(deed, today)
                case Return():
                    draft._return(deed)
                case Place():
                    draft._place(deed, today)
                case Settle():
                    draft._settle(deed, today)
        except Refused as refused:
            return refused.code
        draft.booked += 1
        self.__dict__.update(draft.__dict__)
        return OK

    def sweep(self) -> int:
        """Expires what is due; how many."""
        due = [hold for hold in self.holds.values() if hold.state == "active" and hold.expires_at <= self.now]
        for hold in due:
            hold.state = "expired"
        self.booked += len(due)
        return len(due)

    def reserved(self, location: str, sku: str) -> int:
        """Units promised by active holds."""
        return sum(hold.lines[sku] for _, hold in self._promising(location, sku))

    # -- the kinds of deeds --------------------------------------------------------------------------------------------

    def _document(self, deed: Document, today: str) -> None:
        if any(not WARES[sku].tracked for sku, *_ in deed.lines):
            raise Refused("not_stocked")
        match deed.kind:
            case "receipt":
                for sku, quantity, lot, expires_on in deed.lines:
                    if WARES[sku].by_lot and not lot:
                        raise Refused("lot_required")
                    self._put(deed.location, sku, quantity, lot, expires_on)
            case "issue":
                list(self._take_all(deed, today))
            case "transfer":
                assert deed.to_location is not None
                for sku, lot, share, expires_on in list(self._take_all(deed, today)):
                    self._put(deed.to_location, sku, share, lot, expires_on)
            case "adjustment":
                for sku, quantity, lot, expires_on in deed.lines:
                    if quantity > 0:
                        self._put(deed.location, sku, quantity, lot or "unknown", expires_on)
                down = tuple((sku, -quantity, lot, None) for sku, quantity, lot, _ in deed.lines if quantity < 0)
                list(self._take_all(Document("", deed.location, down), today=""))
            case "count":
                self._count(deed)

    def _count(self, deed: Document) -> None:
        for (sku, lot), counted in added_up(deed.lines).items():
            place = (deed.location, sku)
            recorded = self.on_hand[place]
            if WARES[sku].by_lot:
                if not lot:
                    raise Refused("lot_required")
                dates = [date for name, _, its_lot, date in deed.lines if (name, its_lot) == (sku, lot)]
                known = self.lots.setdefault((*place, lot), Lot(0, dates[-1]))
                recorded, known.units = known.units, counted
            self.on_hand[place] += counted - recorded
            while deed.location != VAN and self.reserved(*place) > max(self.on_hand[place], 0):
                newest = list(self._promising(*place))[-1][1]
                newest.state = "broken"

    def _sale(self, deed: Sale, today: str) -> None:
        demand = added_up((sku, quantity, "", None) for sku, quantity in deed.lines)
        short, picked = set(), []
        for (sku, _), quantity in demand.items():
            if WARES[sku].tracked:
                try:
                    for _, lot, units, _ in list(self._take(deed.location, sku, quantity, "", today)):
                        picked.append(Picked(deed.location, sku, lot, units))
                except Refused:
                    short.add(sku)
        kept = [line for line in deed.lines if line[0] not in short]
        if (short and not deed.partial) or not kept:
            raise Refused("insufficient_stock")
        sold = [Sold(sku, quantity, *price_of(sku, quantity)) for sku, quantity in kept]
        tax, total = sum(line.tax for line in sold), sum(line.total for line in sold)
        left = total
        for kind, amount in payments_of(deed):
            part = min(amount, left) if short else amount
            self.money["receivable" if kind == "account" else kind] += part
            left -= part
        if left != 0:
            raise Refused("payments_do_not_add_up")
        self.money["sales"] -= total - tax
        self.money["tax_payable"] -= tax
        self.tickets[deed.number], self.picked[deed.number] = sold, picked

    def _return(self, deed: Return) -> None:
        if deed.original not in self.tickets:
            raise Refused("ticket_not_found")
        for sku, wanted in deed.lines:
            left = wanted
            for line in self.tickets[deed.original]:
                if line.sku == sku:
                    part = min(left, line.quantity - line.returned)
                    left -= part
                    tax, total = (share_of(amount, line, part) for amount in (line.tax, line.total))
                    line.returned += part
                    self.money["cash"] -= total
                    self.money["sales"] += total - tax
                    self.money["tax_payable"] += tax
            if left:
                raise Refused("more_than_sold")
            left = wanted if WARES[sku].tracked else 0
            for pick in reversed(self.picked[deed.original]):
                if pick.sku == sku and (part := min(left, pick.units)):
                    left -= part
                    pick.units -= part
                    was = self.lots.get((pick.location, sku, pick.lot))
                    self._put(deed.location, sku, part, pick.lot, was.expires_on if was else None)

    def _place(self, deed: Place, today: str) -> None:
        demand = added_up((sku, quantity, "", None) for sku, quantity in deed.lines)
        if any(not WARES[sku].tracked for sku, _ in demand):
            raise Refused("not_stocked")
        if any(self._free(deed.location, sku, today) < quantity for (sku, _), quantity in demand.items()):
            raise Refused("insufficient_stock")
        lines = {sku: quantity for (sku, _), quantity in demand.items()}
        self.holds[deed.name] = Promise(deed.location, lines, self.now + deed.seconds * 1_000_000)

    def _settle(self, deed: Settle, today: str) -> None:
        hold = self.holds[deed.name]
        if hold.state != "active":
            raise Refused("hold_settled")
        if deed.how == "release":
            hold.state = "released"
            return
        if hold.expires_at <= self.now:
            raise Refused("hold_expired")
        hold.state = "claimed"
        for sku, quantity in hold.lines.items():
            list(self._take(hold.location, sku, quantity, "", today, promised=True))

    # -- units -----------------------------------------------------------------------------------------------------------

    def _promising(self, location: str, sku: str) -> Iterator[tuple[str, Promise]]:
        """Active holds on a product at a location, the oldest first."""
        for name, hold in sorted(self.holds.items(), key=lambda one: one[1].made):
            if hold.state == "active" and hold.location == location and sku in hold.lines:
                yield name, hold

    def _free(self, location: str, sku: str, today: str) -> float:
        """What may be sold or promised to somebody new."""
        reserved = self.reserved(location, sku)
        free = float("inf") if location == VAN else self.on_hand[location, sku] - reserved
        if WARES[sku].by_lot:
            free = min(free, sum(lot.units for _, lot in self._fit(location, sku, today)) - reserved)
        return free

    def _fit(self, location: str, sku: str, today: str) -> list[tuple[str, Lot]]:
        """Lots that may be sold, the first to be picked first."""
        found = [
            (name, lot)
            for (place, product, name), lot in self.lots.items()
            if (place, product) == (location, sku) and (lot.expires_on is None or lot.expires_on >= today)
        ]
        return sorted(found, key=lambda one: (one[1].expires_on or "9999-99-99", one[0]))

    def _put(self, location: str, sku: str, quantity: int, lot: str, expires_on: str | None) -> None:
        self.on_hand[location, sku] += quantity
        if WARES[sku].by_lot:
            known = self.lots.setdefault((location, sku, lot), Lot(0, expires_on))
            dates = [date for date in (known.expires_on, expires_on) if date is not None]
            known.expires_on = (min(dates) if known.units else dates[-1]) if dates else None
            known.units += quantity

    def _take_all(self, deed: Document, today: str) -> Iterator[tuple[str, str, int, str | None]]:
        for (sku, lot), quantity in added_up(deed.lines).items():
            yield from self._take(deed.location, sku, quantity, lot, today)

    def _take(
        self, location: str, sku: str, quantity: int, named: str, today: str, *, promised: bool = False
    ) -> Iterator[tuple[str, str, int, str | None]]:
        """Takes units; yields (SKU, lot, units, expiry)."""
        if promised:
            short = location != VAN and self.on_hand[location, sku] - self.reserved(location, sku) < quantity
        else:
            short = self._free(location, sku, today) < quantity
        if short:
            raise Refused("insufficient_stock")
        if not WARES[sku].by_lot:
            self.on_hand[location, sku] -= quantity
            yield sku, "", quantity, None
            return
        lots = [(name, lot) for name, lot in self._fit(location, sku, today) if not named or name == named]
        if sum(lot.units for _, lot in lots) < quantity:
            raise Refused("insufficient_stock")
        for name, lot in lots:
            share = min(quantity, lot.units)
            if share:
                lot.units -= share
                quantity -= share
                self.on_hand[location, sku] -= share
                yield sku, name, share, lot.expires_on


def added_up(lines: Iterable[tuple[str, int, str, str | None]]) -> dict[tuple[str, str], int]:
    """Lines of one product (and lot, where lots are kept) added up."""
    sums: Counter[tuple[str, str]] = Counter()
    for sku, quantity, lot, _ in lines:
        sums[sku, lot if WARES[sku].by_lot else ""] += quantity
    return sums


def half_up(value: Fraction) -> int:
    """The nearest whole number, halves upwards."""
    return floor(value + Fraction(1, 2))


def price_of(sku: str, quantity: int) -> tuple[int, int]:
    """(tax in it, total) of a line."""
    total = half_up(Fraction(WARES[sku].price * quantity, 1000))
    rate = WARES[sku].tax_rate_bp
    return half_up(Fraction(total * rate, 10_000 + rate)), total


def share_of(amount: int, line: Sold, part: int) -> int:
    """What of an amount of a line belongs to the next part of it that comes back."""
    before, after = (
        half_up(Fraction(amount * units, line.quantity)) for units in (line.returned, line.returned + part)
    )
    return after - before


def payments_of(sale: Sale) -> list[tuple[str, int]]:
    """What the customer gives for the whole ticket: (kind, amount)."""
    total = sum(price_of(sku, quantity)[1] for sku, quantity in sale.lines) + sale.off
    if len(sale.kinds) == 1:
        return [(sale.kinds[0], total)]
    return [(sale.kinds[0], total // 2), (sale.kinds[1], total - total // 2)]

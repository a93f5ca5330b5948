"""Deeds drawn from a seed: mostly possible, often just not."""

from random import Random

from tests.oracle import DEPOSIT, LOCATIONS, MAIN, VAN, WARES, Deed, Document, Line, Place, Return, Sale, Settle, Shop

QUANTITIES = (1000, 2000, 3000, 5000, 500, 333)
LOTS = ("A", "B", "C")
DATES = (None, "2026-02-28", "2026-03-01", "2026-03-02", "2026-03-09")
KINDS = ("cash", "card", "transfer", "wallet", "account")
DOCUMENTS = ("receipt", "receipt", "receipt", "issue", "transfer", "adjustment", "count")


def draw_deed(random: Random, shop: Shop, name: str) -> Deed:
    """A deed; `name` is a new number or name for what it makes."""
    location = random.choice((MAIN, MAIN, MAIN, DEPOSIT, VAN))
    match random.choice(("document", "document", "sale", "sale", "return", "place", "settle")):
        case "sale":
            kinds = tuple(random.choice(KINDS) for _ in range(random.choice((1, 1, 2))))
            partial = random.random() < 0.3
            off = random.choice((0,) * 9 + (1,)) if not partial else 0
            return Sale(name, location, draw_lines(random, list(WARES)), kinds, partial, off)
        case "return" if shop.tickets:
            original = random.choice(list(shop.tickets))
            skus = sorted({line.sku for line in shop.tickets[original]})
            return Return(original, location, draw_lines(random, skus))
        case "place":
            return Place(name, location, draw_lines(random, list(WARES)[:3]), random.choice((60, 3600, 200_000)))
        case "settle" if shop.holds:
            return Settle(random.choice(list(shop.holds)), random.choice(("claim", "claim", "release")))
    return draw_document(random, location)


def draw_lines(random: Random, skus: list[str]) -> tuple[Line, ...]:
    """One to three lines, sometimes twice of the same product."""
    return tuple((random.choice(skus), random.choice(QUANTITIES)) for _ in range(random.choice((1, 1, 2, 3))))


def draw_document(random: Random, location: str) -> Document:
    """A stock document of one to three lines."""
    kind = random.choice(DOCUMENTS)
    lines = []
    for sku, quantity in draw_lines(random, [sku for sku in WARES if WARES[sku].tracked]):
        wanted = quantity * random.choice((1, 3)) if kind == "receipt" else quantity
        if kind == "adjustment":
            wanted *= random.choice((1, -1))
        if kind == "count":
            wanted = random.choice((0, quantity, quantity * 4))
        by_lot = WARES[sku].by_lot
        needed = by_lot and (kind in {"receipt", "count"} or random.random() < 0.4)
        lot = random.choice(LOTS) if needed else ""
        lines.append((sku, wanted, lot, random.choice(DATES) if lot else None))
    to_location = random.choice([one for one in LOCATIONS if one != location]) if kind == "transfer" else None
    return Document(kind, location, tuple(lines), to_location)

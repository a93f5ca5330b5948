"""The oracle's deeds as commands of the real program, and the two compared."""

from collections import Counter
from typing import Any
from zoneinfo import ZoneInfo

from nervio.db.batch import Command
from nervio.db.context import Ctx
from nervio.db.tenancy import TenantConnection
from nervio.kernel.errors import NervioError
from nervio.kernel.time import to_datetime
from nervio.modules.catalog import api as catalog
from nervio.modules.catalog.contracts import LocationInput, ProductInput, SaveProducts
from nervio.modules.ledger.store import balances as balances_store
from nervio.modules.sales import api as sales
from nervio.modules.sales.contracts import Payment, PaymentKind, RecordReturn, RecordSale, SaleLine
from nervio.modules.stock import api as stock
from nervio.modules.stock import store as stock_store
from nervio.modules.stock.contracts import PlaceHold, SettleHold, StockDocument, StockLine
from nervio.modules.stock.usecases import holds, upkeep
from tests import oracle
from tests.oracle import Deed, Document, Place, Return, Sale, Settle, Shop


def furnishing(ctx: Ctx) -> list[Command[Any, Any]]:
    """Commands that create the oracle's locations and wares."""
    places = [LocationInput(code, code, allow_negative=code == oracle.VAN) for code in oracle.LOCATIONS]
    wares = [
        ProductInput(ware.sku, ware.sku, ware.price, "ARS", ware.tax_rate_bp, tracked=ware.tracked, by_lot=ware.by_lot)
        for ware in oracle.WARES.values()
    ]
    return [
        *(ctx.command(catalog.SAVE_LOCATION, place, f"place-{place.code}") for place in places),
        ctx.command(catalog.SAVE_PRODUCTS, SaveProducts(tuple(wares)), "wares"),
    ]


def command_of(ctx: Ctx, deed: Deed, key: str, hold_ids: dict[str, str]) -> Command[Any, Any]:
    """The command that does the deed."""
    match deed:
        case Document():
            lines = tuple(StockLine(*line) for line in deed.lines)
            document = StockDocument(deed.location, lines, to_location=deed.to_location)
            return stock.document_command(ctx, deed.kind, document, key)
        case Sale():
            paid = tuple(Payment(PaymentKind(kind), amount) for kind, amount in oracle.payments_of(deed))
            sold = tuple(SaleLine(sku, quantity) for sku, quantity in deed.lines)
            sale = RecordSale(deed.location, sold, paid, deed.number, partial=deed.partial)
            return sales.sale_command(ctx, sale, key)
        case Return():
            back = tuple(SaleLine(sku, quantity) for sku, quantity in deed.lines)
            return sales.return_command(ctx, RecordReturn(deed.location, back, deed.original), key)
        case Place():
            held = tuple(StockLine(sku, quantity) for sku, quantity in deed.lines)
            return ctx.command(holds.PLACE, PlaceHold(deed.location, held, deed.seconds), key)
        case Settle():
            operation = holds.CLAIM if deed.how == "claim" else holds.RELEASE
            return ctx.command(operation, SettleHold(hold_ids[deed.name]), key)


def verdict(outcome: object) -> str:
    """An outcome as the oracle puts it. Anything but a refusal is a bug of ours and raised."""
    if isinstance(outcome, NervioError):
        return outcome.code
    if isinstance(outcome, BaseException):
        raise outcome
    return oracle.OK


def day(shop: Shop) -> str:
    """The day it is in the shop."""
    return to_datetime(shop.now).astimezone(ZoneInfo("America/Argentina/Buenos_Aires")).date().isoformat()


def compare(connection: TenantConnection, shop: Shop) -> None:
    """Everything the oracle knows is so in the store, and every invariant holds."""
    report = upkeep.check_invariants(connection)
    assert report.discrepancies == ()
    assert report.oversold == 0
    codes = {location.id: location.code for location in catalog.read_locations(connection).values()}
    found = stock_store.read_all_levels(connection)
    skus = {id_: one.sku for id_, one in catalog.read_products(connection, [key[1] for key in found]).items()}
    levels = {(codes[place], skus[product]): level for (place, product), level in found.items()}
    for key in {*levels, *shop.on_hand}:
        on_hand, reserved = (levels[key].on_hand, levels[key].reserved) if key in levels else (0, 0)
        assert (key, on_hand, reserved) == (key, shop.on_hand[key], shop.reserved(*key))
    lots = {
        (codes[place], skus[product], lot): units
        for (place, product, lot), units in stock_store.read_lot_units(connection).items()
    }
    assert {key: units for key, units in lots.items() if units} == {
        key: lot.units for key, lot in shop.lots.items() if lot.units
    }
    assert dict(money(connection)) == {account: amount for account, amount in shop.money.items() if amount}


def money(connection: TenantConnection) -> Counter[str]:
    """Balances by account, those at zero left out."""
    balances = balances_store.read_balances(connection)
    return Counter({one.account: one.amount for one in balances if one.amount})

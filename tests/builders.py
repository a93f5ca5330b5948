"""What tests start from: an open store of their own, and the smallest product, receipt, sale or hold that is one.

    async with a_store(tmp_path) as store:
        product = await a_product(store)
        await a_receipt(store, product, units=10)
        ticket = await a_sale(store, lines=2)

Every builder goes through the same api functions that the program uses, so a store that was built is a store that
could have come about. Quantities are given in whole units, where the api wants thousandths of them.
"""

import asyncio
import contextlib
import itertools
import secrets
import tempfile
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from nervio.db import migrate
from nervio.db.context import Ctx
from nervio.db.database import Database
from nervio.db.postgresql import PostgreSQLDatabase
from nervio.db.pruning import ROUND_SECONDS, Aged, Pruner
from nervio.db.sequencer import number_commits
from nervio.db.sqlite import SQLiteDatabase
from nervio.kernel.ids import new_id
from nervio.kernel.quantity import UNIT
from nervio.kernel.time import SECOND, Instant
from nervio.modules.catalog import api as catalog
from nervio.modules.catalog.contracts import Location, LocationInput, Product, ProductInput
from nervio.modules.sales import api as sales
from nervio.modules.sales.contracts import Payment, PaymentKind, RecordSale, SaleLine, TicketRecorded
from nervio.modules.stock import api as stock
from nervio.modules.stock.contracts import HoldSettled, PlaceHold, StockDocument, StockLine, StockRecorded

QUEUE_CAPACITY = 100_000
NOON = 1_772_366_400 * SECOND
"""2026-03-01T12:00:00Z, where the clocks of tests stand."""
MAIN = "MAIN"
"""The location that every store of tests has."""

_numbers = itertools.count(1)
_migrated: list[bytes] = []
_templates: dict[str, str] = {}


class SetClock:
    """A clock that moves when it is told to."""

    def __init__(self, now: Instant = NOON) -> None:
        self._now = now

    def now(self) -> Instant:
        """Microseconds since the epoch, UTC."""
        return self._now

    def monotonic(self) -> float:
        """Seconds; moves with the wall."""
        return self._now / SECOND

    def advance(self, seconds: float) -> None:
        """Lets time pass."""
        self._now += int(seconds * SECOND)


@dataclass(frozen=True, slots=True)
class Store:
    """An open database, its clock, and a context in it that may do everything."""

    database: Database
    clock: SetClock
    ctx: Ctx
    main: Location
    address: str
    """Path of the SQLite file, or URL of the PostgreSQL database."""

    async def another_tenant(self) -> "Store":
        """A second tenant of the same database, with a MAIN location of its own."""
        return await furnished(self.database, self.clock, self.address)

    def permitted(self, *permissions: str) -> Ctx:
        """The context of a person who has only these permissions."""
        return replace(self.ctx, permissions=frozenset(permissions))


@asynccontextmanager
async def a_store(folder: Path) -> AsyncIterator[Store]:
    """An empty SQLite store in a folder, opened, with one tenant and its MAIN location."""
    path = folder / "nervio.db"
    clock = SetClock()
    async with a_sqlite_database(path, clock) as database:
        yield await furnished(database, clock, str(path))


@asynccontextmanager
async def a_postgres_store(server_url: str) -> AsyncIterator[Store]:
    """The same on PostgreSQL, in a database of its own that is dropped afterwards. Mark tests `services("postgres")`."""
    clock = SetClock()
    async with a_postgres_database(server_url, clock) as (database, url):
        yield await furnished(database, clock, url)


@asynccontextmanager
async def a_sqlite_database(path: Path, clock: SetClock) -> AsyncIterator[SQLiteDatabase]:
    """An open SQLite database with every table; kept on disk, so that it may be opened again."""
    await create_sqlite_file(path)
    database = SQLiteDatabase(path, clock, QUEUE_CAPACITY)
    await database.start()
    try:
        yield database
    finally:
        await database.close()


async def create_sqlite_file(path: Path) -> None:
    """A migrated, empty database, where there is no file yet. Migrated once a run and copied from then on."""
    if not _migrated:
        with tempfile.TemporaryDirectory() as folder:
            template = Path(folder) / "template.db"
            await migrate.upgrade(f"sqlite:///{template}")
            _migrated.append(await asyncio.to_thread(template.read_bytes))
    with contextlib.suppress(FileExistsError):
        await asyncio.to_thread(_write_new, path, _migrated[0])


def _write_new(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)


@asynccontextmanager
async def a_postgres_database(server_url: str, clock: SetClock) -> AsyncIterator[tuple[PostgreSQLDatabase, str]]:
    """An open PostgreSQL database with every table, and its URL for other processes; dropped afterwards."""
    async with a_postgres_url(server_url) as url, open_postgres(url, clock) as database:
        yield database, url


@asynccontextmanager
async def open_postgres(url: str, clock: SetClock) -> AsyncIterator[PostgreSQLDatabase]:
    """A PostgreSQL database that exists, opened."""
    database = PostgreSQLDatabase(url, clock, QUEUE_CAPACITY)
    await database.start()
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def a_postgres_url(server_url: str) -> AsyncIterator[str]:
    """The URL of a new PostgreSQL database with every table, dropped afterwards. Migrated once a run and copied from then on."""
    if server_url not in _templates:
        template = f"nervio_template_{secrets.token_hex(6)}"
        await _administer(server_url, f"CREATE DATABASE {template}")
        _templates[server_url] = template
        await migrate.upgrade(_database_url(server_url, template))
    name = f"nervio_test_{secrets.token_hex(6)}"
    await _administer(server_url, f"CREATE DATABASE {name} TEMPLATE {_templates[server_url]}")
    try:
        yield _database_url(server_url, name)
    finally:
        await _administer(server_url, f"DROP DATABASE {name} WITH (FORCE)")


def drop_templates() -> None:
    """Drops what this process copied its PostgreSQL databases from. For the end of a run."""
    while _templates:
        server_url, template = _templates.popitem()
        asyncio.run(_administer(server_url, f"DROP DATABASE IF EXISTS {template} WITH (FORCE)"))


def _database_url(server_url: str, name: str) -> str:
    return make_url(server_url).set(database=name).render_as_string(hide_password=False)


async def _administer(server_url: str, statement: str) -> None:
    engine = create_async_engine(server_url, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text(statement))
    await engine.dispose()


async def furnished(database: Database, clock: SetClock, address: str) -> Store:
    """A store over an open database: a new tenant with a MAIN location."""
    ctx = Ctx(new_id(), "tester", database, clock)
    main = await catalog.save_location(ctx, LocationInput(MAIN, "Main"))
    return Store(database, clock, ctx, main, address)


# -- things ----------------------------------------------------------------------------------------------------------


async def a_location(store: Store, code: str = "DEPOSIT", *, allow_negative: bool = False) -> Location:
    """A further location."""
    return await catalog.save_location(store.ctx, LocationInput(code, code.title(), allow_negative))


async def a_product(
    store: Store,
    sku: str | None = None,
    *,
    price_minor: int = 1000,
    tax_rate_bp: int = 0,
    currency: str = "ARS",
    barcodes: tuple[str, ...] = (),
    tracked: bool = True,
    by_lot: bool = False,
) -> Product:
    """A product that costs 10.00 ARS; without a SKU it gets one of its own."""
    code = sku or f"SKU-{next(_numbers)}"
    given = ProductInput(
        sku=code,
        name=f"Product {code}",
        price_minor=price_minor,
        currency=currency,
        tax_rate_bp=tax_rate_bp,
        barcodes=barcodes,
        tracked=tracked,
        by_lot=by_lot,
    )
    await catalog.save_products(store.ctx, [given])
    return await catalog.get_product(store.ctx, code)


async def a_receipt(
    store: Store,
    product: Product,
    units: float = 10,
    *,
    location: str = MAIN,
    lot: str = "",
    expires_on: str | None = None,
    key: str | None = None,
) -> StockRecorded:
    """Units of a product received."""
    line = StockLine(product.sku, milli(units), lot, expires_on)
    return await stock.record_document(store.ctx, "receipt", StockDocument(location, (line,)), key)


async def a_stocked_product(store: Store, units: float = 10, **given: str | int | bool | tuple[str, ...]) -> Product:
    """A product and a receipt of it at MAIN."""
    product = await a_product(store, **given)  # type: ignore[arg-type]
    await a_receipt(store, product, units, lot="L1" if product.by_lot else "")
    return product


def a_sale_of(
    *wanted: tuple[Product, float], kind: PaymentKind = PaymentKind.CASH, location: str = MAIN, number: str = ""
) -> RecordSale:
    """A ticket of (product, units) at their prices, tax included, paid exactly."""
    lines = tuple(SaleLine(product.sku, milli(units)) for product, units in wanted)
    total = sum(product.price_minor * line.quantity // UNIT for (product, _), line in zip(wanted, lines, strict=True))
    payments = (Payment(kind, total),) if total else ()
    return RecordSale(location, lines, payments, number)


async def a_sale(store: Store, *, lines: int = 1, units: float = 1, key: str | None = None) -> TicketRecorded:
    """A ticket of as many products, each freshly received, paid in cash."""
    products = [await a_stocked_product(store, units) for _ in range(lines)]
    return await sales.record_sale(store.ctx, a_sale_of(*((product, units) for product in products)), key)


async def a_hold(store: Store, product: Product, units: float = 1, *, seconds: int | None = None) -> HoldSettled:
    """A promise of units at MAIN."""
    body = PlaceHold(MAIN, (StockLine(product.sku, milli(units)),), seconds)
    return await stock.place_hold(store.ctx, body)


# -- looking ---------------------------------------------------------------------------------------------------------


def milli(units: float) -> int:
    """Thousandths of a unit."""
    return round(units * UNIT)


async def level_of(store: Store, product: Product, location: str = MAIN) -> tuple[float, float]:
    """(on hand, reserved) in units; nothing where there is no level yet."""
    for level in await stock.get_levels(store.ctx, product.id):
        if level.location_code == location:
            return level.on_hand / UNIT, level.reserved / UNIT
    return 0, 0


async def number_all(store: Store) -> None:
    """Gives every commit its position, however many other tests have left without one."""
    while await store.database.bookkeep("sequence", number_commits):
        pass


async def prune_all(store: Store, aged: Sequence[Aged]) -> None:
    """Has everything forgotten that is over, from the newest fact on, however much other tests have left in the database."""
    await number_all(store)
    pruner, has_rested = Pruner(36_500, 36_500, readers=[], others=aged), 0
    while has_rested < 2:
        # What is removed makes a round long, and so does what is only looked at: several that remove nothing, and then a rest.
        started = asyncio.get_running_loop().time()
        removed = await pruner.run(store.ctx)
        is_short = asyncio.get_running_loop().time() - started < ROUND_SECONDS
        has_rested = has_rested + 1 if is_short and not removed else 0


async def assert_sound(stores: Store | Iterable[Store]) -> None:
    """Every invariant of stock holds, and nothing was ever oversold."""
    for store in [stores] if isinstance(stores, Store) else stores:
        report = await stock.check_invariants(store.ctx)
        assert report.discrepancies == ()
        assert report.oversold == 0

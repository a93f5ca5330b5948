"""Nervio itself: the library and the server, on both databases, nothing of the write path switched off.

`ours_*` issue one unit (movement, key, journal, outbox, fence): the same durable work as the peers do and more. The
`*_ticket` and `*_http` contenders record a whole ticket (ticket, line, payment, tax, money in the journal) for that unit.
"""

import asyncio
import os
import secrets
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, closing
from pathlib import Path

import msgspec
from sqlalchemy import func, select

from bench.stock import database
from bench.stock.contender import Audit, UnavailableError
from bench.stock.wire import Client
from nervio.db.context import Ctx
from nervio.db.tenancy import TenantConnection
from nervio.kernel.errors import NervioError
from nervio.kernel.ids import new_id
from nervio.modules.catalog import api as catalog
from nervio.modules.catalog.contracts import LocationInput, ProductFilter, ProductInput
from nervio.modules.ledger.contracts import Account
from nervio.modules.ledger.models import journal_postings
from nervio.modules.sales import api as sales
from nervio.modules.sales.contracts import Payment, PaymentKind, RecordSale, SaleLine
from nervio.modules.stock import api as stock
from nervio.modules.stock.contracts import StockDocument, StockLine
from nervio.modules.stock.models import stock_levels
from nervio.runtime.settings import load_settings
from nervio.runtime.wiring import App, build

_UNIT = 1000
_PRICE = 1000
_BACKGROUND = ("sequencer", "relay", "sealer", "scheduler")
_START_SECONDS = 60


class _Library:
    """The api functions called in this process, with the background roles running beside them."""

    durable = True

    def __init__(self, on_postgres: bool, tickets: bool) -> None:
        self._on_postgres = on_postgres
        self._tickets = tickets
        self._url: str | None = None
        self._stack = AsyncExitStack()
        self._app: App | None = None
        self._ctx: Ctx | None = None
        self._units: Sequence[int] = ()

    async def start(self, workdir: Path) -> None:
        if self._on_postgres:
            self._url = await database.create("ours")
        settings = load_settings(data_dir=workdir, database_url=self._url)
        self._app = await self._stack.enter_async_context(build(settings).started(_BACKGROUND))

    async def prepare(self, units: Sequence[int]) -> None:
        assert self._app is not None
        self._units = units
        self._ctx = Ctx(new_id(), "bench", self._app.database, self._app.clock)
        await _stock_up(self._ctx, units)
        if self._url is not None:
            await database.settle(self._url)

    async def sell(self, sku_index: int, key: str) -> bool:
        assert self._ctx is not None
        sku = str(sku_index)
        try:
            if self._tickets:
                sale = RecordSale("SHOP", (SaleLine(sku, _UNIT),), (Payment(PaymentKind.CASH, _PRICE),))
                await sales.record_sale(self._ctx, sale, key)
            else:
                await stock.record_document(self._ctx, "issue", StockDocument("SHOP", (StockLine(sku, _UNIT),)), key)
        except NervioError as refusal:
            if refusal.code != "insufficient_stock":
                raise
            return False
        return True

    async def audit(self) -> Audit:
        assert self._ctx is not None
        return await _audit(self._ctx, self._units)

    async def stop(self) -> None:
        await self._stack.aclose()
        if self._url is not None:
            await database.drop(self._url)


async def _stock_up(ctx: Ctx, units: Sequence[int]) -> None:
    await catalog.save_location(ctx, LocationInput("SHOP", "Shop"))
    skus = [str(n) for n in range(len(units))]
    for at in range(0, len(skus), 500):
        await catalog.save_products(ctx, [ProductInput(sku, f"Product {sku}", _PRICE) for sku in skus[at : at + 500]])
        lines = [StockLine(sku, units[int(sku)] * _UNIT) for sku in skus[at : at + 500] if units[int(sku)]]
        if lines:
            await stock.record_document(ctx, "receipt", StockDocument("SHOP", tuple(lines)))


async def _audit(ctx: Ctx, units: Sequence[int]) -> Audit:
    def query(connection: TenantConnection) -> tuple[dict[str, int], int]:
        levels, postings = stock_levels.c, journal_postings.c
        on_hand = connection.execute(
            select(levels.product_id, levels.on_hand).where(levels.tenant_id == ctx.tenant_id)
        ).all()
        movements = connection.execute(
            select(func.count()).where(
                postings.tenant_id == ctx.tenant_id,
                postings.debit == Account.SOLD.value,
                func.length(postings.asset) > 3,
            )
        ).scalar_one()
        return {row[0]: row[1] for row in on_hand}, int(movements)

    on_hand, movements = await ctx.read(query)
    ids = await _ids_by_sku(ctx)
    sold = [there - on_hand.get(ids[str(n)], 0) // _UNIT for n, there in enumerate(units)]
    return Audit(sold=sold, movements=movements)


async def _ids_by_sku(ctx: Ctx) -> dict[str, str]:
    ids: dict[str, str] = {}
    after: tuple[str, str] | None = None
    while page := await catalog.list_products(ctx, ProductFilter(), after, 500):
        ids.update({product.sku: product.id for product in page})
        after = (page[-1].name, page[-1].id)
    return ids


class OnSqlite(_Library):
    """The library on SQLite."""

    def __init__(self) -> None:
        super().__init__(on_postgres=False, tickets=False)


class OnPostgres(_Library):
    """The library on PostgreSQL."""

    def __init__(self) -> None:
        super().__init__(on_postgres=True, tickets=False)


class TicketsOnSqlite(_Library):
    """Whole tickets through the library on SQLite."""

    def __init__(self) -> None:
        super().__init__(on_postgres=False, tickets=True)


class TicketsOnPostgres(_Library):
    """Whole tickets through the library on PostgreSQL."""

    def __init__(self) -> None:
        super().__init__(on_postgres=True, tickets=True)


class _Sale(msgspec.Struct):
    location: str
    lines: list[dict[str, object]]
    payments: list[dict[str, object]]


class _Http:
    """A server process of its own, asked over loopback by its hot sale route."""

    durable = True
    connections = 256
    settings: Mapping[str, str] = {}
    """Variables that the server is started with besides."""

    def __init__(self, on_postgres: bool) -> None:
        self._on_postgres = on_postgres
        self._url: str | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._client: Client | None = None
        self._headers = ""
        self._database_file = Path()
        self.environment: dict[str, str] = {}
        """What the server was started with, for commands that find it by its data directory."""
        self._tenant_units: Sequence[int] = ()
        self._prefix = ""
        self._sold_before: list[int] = []

    async def start(self, workdir: Path) -> None:
        if self._on_postgres:
            self._url = await database.create("ours")
        key = secrets.token_urlsafe(32)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        data = workdir / "data"
        self._database_file = data / "nervio.db"
        self.environment = {
            **os.environ,
            "NERVIO_DATA_DIR": str(data),
            "NERVIO_LOG__DIRECTORY": str(workdir / "logs"),
            "NERVIO_SECRETS__DASHBOARD_API_KEY": key,
            **self.settings,
        }
        if self._url is not None:
            self.environment["NERVIO_DATABASE_URL"] = self._url
        command = [sys.executable, "-m", "nervio", "up", "--port", str(port)]
        with (workdir / "server.log").open("wb") as log:
            self._process = await asyncio.to_thread(
                subprocess.Popen, command, env=self.environment, stdout=log, stderr=log, cwd=workdir
            )
        self._headers = f"X-API-Key: {key}\r\n"
        self._client = Client("127.0.0.1", port)
        await self._wait_for_server(workdir)

    async def _wait_for_server(self, workdir: Path) -> None:
        assert self._client is not None
        assert self._process is not None
        for _ in range(_START_SECONDS * 10):
            if self._process.poll() is not None:
                break
            try:
                await self._client.open(self.connections)
                return
            except OSError:
                await asyncio.sleep(0.1)
        raise UnavailableError(f"the server did not start: {(workdir / 'server.log').read_text()[-400:]}")

    async def prepare(self, units: Sequence[int]) -> None:
        self._tenant_units = units
        self._prefix = secrets.token_hex(4)
        await self._post("/api/locations", {"code": self._prefix, "name": "Shop"})
        skus = [self._sku(n) for n in range(len(units))]
        for at in range(0, len(skus), 500):
            part = range(at, min(at + 500, len(skus)))
            products = [{"sku": skus[n], "name": f"Product {skus[n]}", "unit_price_minor": _PRICE} for n in part]
            await self._post("/api/products", {"products": products})
            lines = [{"sku": skus[n], "quantity_milli": units[n] * _UNIT} for n in part if units[n]]
            if lines:
                document = {"kind": "receipt", "location": self._prefix, "lines": lines}
                await self._post("/api/stock/movements", document)
        if self._url is not None:
            await database.settle(self._url)

    def _sku(self, n: int) -> str:
        return f"{self._prefix}-{n}"

    async def _post(self, path: str, body: object) -> bytes:
        assert self._client is not None
        status, answer = await self._client.post(path, msgspec.json.encode(body), self._headers)
        if status not in (200, 201):
            raise RuntimeError(f"{path} answered {status}: {answer[:300]!r}")
        return answer

    async def sell(self, sku_index: int, key: str) -> bool:
        assert self._client is not None
        body = msgspec.json.encode(
            _Sale(
                self._prefix,
                [{"sku": self._sku(sku_index), "quantity_milli": _UNIT}],
                [{"kind": "cash", "amount_minor": _PRICE}],
            )
        )
        status, answer = await self._client.post("/api/sales", body, f"{self._headers}Idempotency-Key: {key}\r\n")
        if status == 201:
            return True
        if status == 409 and b"insufficient_stock" in answer:
            return False
        raise RuntimeError(f"the sale answered {status}: {answer[:300]!r}")

    async def audit(self) -> Audit:
        on_hand, movements = dict.fromkeys((self._sku(n) for n in range(len(self._tenant_units))), 0), 0
        for sku, units, moved in await self._read_database():
            on_hand[sku] = units
            movements += moved
        sold = [there - on_hand[self._sku(n)] // _UNIT for n, there in enumerate(self._tenant_units)]
        return Audit(sold=sold, movements=movements)

    async def _read_database(self) -> list[tuple[str, int, int]]:
        """(sku, milli-units on hand, movements of sales) of every product of this load, past the server's back."""
        query = (
            "SELECT p.sku, l.on_hand, (SELECT count(*) FROM journal_postings j WHERE j.tenant_id = p.tenant_id AND "
            f"j.asset = CAST(p.id AS text) AND j.debit = '{Account.SOLD.value}') FROM products p JOIN stock_levels l "
            f"ON l.tenant_id = p.tenant_id AND l.product_id = p.id WHERE p.sku LIKE '{self._prefix}-%'"
        )
        if self._url is not None:
            return [(row[0], row[1], row[2]) for row in await database.read(self._url, query)]
        with closing(sqlite3.connect(f"file:{self._database_file}?mode=ro", uri=True)) as connection:
            return [(row[0], row[1], row[2]) for row in connection.execute(query)]

    async def stop(self) -> None:
        if self._client is not None:
            self._client.close()
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                await asyncio.to_thread(self._process.wait, 20)
            except subprocess.TimeoutExpired:
                self._process.kill()
        if self._url is not None:
            await database.drop(self._url)


class HttpOnSqlite(_Http):
    """A server on SQLite."""

    def __init__(self) -> None:
        super().__init__(on_postgres=False)


class HttpOnPostgres(_Http):
    """A server on PostgreSQL."""

    def __init__(self) -> None:
        super().__init__(on_postgres=True)

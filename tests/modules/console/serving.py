"""The console as a browser without scripts uses it: cookies, forms, redirects. A real store, the real login."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from nervio.db.context import Ctx
from nervio.modules.catalog import api as catalog
from nervio.modules.catalog.contracts import LocationInput, ProductInput
from nervio.modules.identity import api as identity
from nervio.modules.identity.contracts import NewTenant, NewUser
from nervio.modules.sales import api as sales
from nervio.modules.sales.contracts import Payment, PaymentKind, RecordSale, SaleLine
from nervio.modules.stock import api as stock
from nervio.modules.stock.contracts import StockDocument, StockLine
from tests.runtime.program import Program, a_program

ORIGIN = "http://shop.test"
YERBA, EAN = "YER-1", "7790387000014"


@dataclass(frozen=True)
class Visitor:
    """A browser: keeps cookies, says where its requests come from, follows where it is led."""

    client: httpx.AsyncClient

    async def get(self, path: str) -> httpx.Response:
        """A page, after every redirect."""
        return await self.client.get(path, follow_redirects=True)

    async def post(self, path: str, on: str = "/console/offline", **fields: str | list[str]) -> httpx.Response:
        """A form posted with the token of the page `on`, and the page it leads to."""
        token = token_in((await self.get(on)).text)
        return await self.client.post(path, data={"csrf": token, **fields}, follow_redirects=True)

    async def log_in(self, email: str, password: str) -> httpx.Response:
        """Fills in the login."""
        return await self.post("/console/login", "/console/login", username=email, password=password, next="/console")


@dataclass(frozen=True)
class Shop:
    """A shop with a product in stock and one sale, and a browser of its superadmin."""

    program: Program
    visitor: Visitor
    ctx: Ctx
    location_id: str

    async def as_role(self, role: str) -> Visitor:
        """Another browser, of a person with the role."""
        app, email = self.program.app, f"{role}@example.com"
        given = NewUser(email, role.title(), (role,), "four words of my own")
        await identity.create_user(self.ctx, app.authenticator, given)
        visitor = browser(self.program)
        answer = await visitor.log_in(email, "four words of my own")
        assert answer.status_code < 400, answer.text
        return visitor


def browser(program: Program) -> Visitor:
    """A browser that nobody has used yet."""
    transport = httpx.ASGITransport(
        app=program.face.application.asgi, raise_app_exceptions=False, client=("127.0.0.1", 50001)
    )
    headers = {"Accept": "text/html", "Accept-Language": "en", "Sec-Fetch-Site": "same-origin"}
    return Visitor(httpx.AsyncClient(transport=transport, base_url=ORIGIN, headers=headers))


def token_in(html: str) -> str:
    """The form token of a page."""
    found = re.search(r'name="csrf" (?:content|value)="(\w*)"', html)
    assert found is not None
    return found[1]


@asynccontextmanager
async def a_shop(folder: Path) -> AsyncIterator[Shop]:
    """The program with a furnished first shop, its superadmin logged in."""
    async with a_program(folder) as program:
        app = program.app
        tenant = await app.first_tenant()
        assert tenant is not None
        ctx = app.system_ctx(tenant.id)
        place = await catalog.save_location(ctx, LocationInput("SALON", "Salón"))
        await catalog.save_location(ctx, LocationInput("DEP", "Depósito"))
        given = ProductInput(YERBA, "Yerba mate", 285_000, "ARS", 2100, "Almacén", (EAN,))
        await catalog.save_products(ctx, [given])
        await stock.record_document(ctx, "receipt", StockDocument("SALON", (StockLine(YERBA, 24_000),), "R-1", "Sur"))
        sale = RecordSale("SALON", (SaleLine(YERBA, 2000),), (Payment(PaymentKind.CASH, 570_000),), "T-1")
        await sales.record_sale(ctx, sale)
        visitor = browser(program)
        await visitor.log_in(program.email, program.password)
        yield Shop(program, visitor, ctx, place.id)


async def another_shop(shop: Shop) -> Ctx:
    """A second tenant with a product of its own, which nobody of the first may ever see."""
    app = shop.program.app
    made = await identity.create_tenant(app.system_ctx(), app.authenticator, NewTenant("other", "Other shop"))
    ctx = app.system_ctx(made.tenant.id)
    await catalog.save_location(ctx, LocationInput("SALON", "Their floor"))
    await catalog.save_products(ctx, [ProductInput("THEIRS-1", "Their secret", 100, "ARS")])
    await stock.record_document(ctx, "receipt", StockDocument("SALON", (StockLine("THEIRS-1", 5000),), "R-THEIRS"))
    return ctx

"""Products: the list, and the form that creates and changes one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from nervio.kernel.errors import NervioError
from nervio.modules.catalog import api as catalog
from nervio.modules.catalog.contracts import Product, ProductFilter, ProductInput, ProductOrder, ProductSort
from nervio.modules.console import lists
from nervio.modules.console.answers import page_router
from nervio.modules.console.requests import Frame, open_frame, redirect, text_of
from nervio.modules.console.tables import Choice, Column, Filter, Table
from nervio.modules.console.typed import read_figure, read_money, read_quantity, type_money, type_quantity
from nervio.modules.stock import api as stock
from nervio.modules.stock.contracts import Level, LevelPolicy

PRODUCTS = "/console/products"
NEW = "new"
TAX_DIGITS = 2

COLUMNS = (
    Column("name", "col.name", sortable=True, fixed=True),
    Column("sku", "col.sku", sortable=True, phone=False),
    Column("category", "col.category", phone=False),
    Column("price", "col.price", numeric=True, sortable=True),
    Column("available", "col.available", numeric=True),
)
FIELD_OF = {"price_minor": "price", "cost_minor": "cost", "tax_rate_bp": "tax"}
"""Fields of the use case → those of the form, where they differ."""

router = page_router()


@dataclass
class Edit:
    """The form as it is drawn: what was typed, or what is stored, and what is wrong with it."""

    sku: str = ""
    """Empty for a new product; then `new_sku` holds what was typed."""
    new_sku: str = ""
    name: str = ""
    barcodes: str = ""
    category: str = ""
    price: str = ""
    cost: str = ""
    tax: str = ""
    critical: str = ""
    by_lot: bool = False
    active: bool = True
    errors: dict[str, str] = field(default_factory=dict)


@router.get(PRODUCTS)
async def show_products(request: Request) -> Response:
    """The list by name; `edit` opens the form of one."""
    frame = await open_frame(request, "catalog.read")
    if lists.wants_csv(frame):
        key, descending = lists.sort_of(frame, COLUMNS)
        sort = f"-{key}" if descending else key
        return lists.to_csv("/api/products", search=frame.query("q"), category=frame.query("category"), sort=sort)
    asked, edit = frame.query("edit"), None
    if asked and frame.may("catalog.write"):
        edit = Edit() if asked == NEW else await _stored(frame, await catalog.get_product(frame.ctx, asked))
    return await _products_page(frame, edit)


@router.post(PRODUCTS)
async def create_product(request: Request) -> Response:
    """Creates a product; one that exists is not changed by accident."""
    frame = await open_frame(request, "catalog.write")
    form = await frame.form()
    edit = _typed(form, "")
    edit.new_sku = text_of(form, "sku", 64)
    if not edit.new_sku:
        edit.errors["sku"] = frame.t("problem.missing")
    elif any(
        p.sku == edit.new_sku for p in await catalog.list_products(frame.ctx, ProductFilter(edit.new_sku), limit=50)
    ):
        edit.errors["sku"] = frame.t("problem.sku_taken")
    return await _save(frame, edit, None)


@router.post(PRODUCTS + "/{sku:path}")
async def change_product(request: Request, sku: str) -> Response:
    """Changes a product; what the form does not show stays as it is."""
    frame = await open_frame(request, "catalog.write")
    form = await frame.form()
    known = await catalog.get_product(frame.ctx, sku)
    edit = _typed(form, known.sku)
    edit.active = "active" in form
    return await _save(frame, edit, known)


async def _save(frame: Frame, edit: Edit, known: Product | None) -> Response:
    given, critical = _checked(frame, edit, known)
    if given is not None:
        try:
            await catalog.save_products(frame.ctx, [given], default_currency=frame.tenant.currency)
            if frame.may("stock.write") and given.tracked and frame.shell.location_id:
                await _save_critical(frame, given.sku, critical)
        except NervioError as error:
            path = str(error.data.get("field", "")).rpartition(".")[2]
            edit.errors[FIELD_OF.get(path, path or "name")] = frame.explain(error)
            given = None
    if given is None:
        return await _products_page(frame, edit, 422)
    return redirect(f"{PRODUCTS}?{urlencode({'q': given.sku})}")


async def _save_critical(frame: Frame, sku: str, critical: int | None) -> None:
    level = await _level_here(frame, sku)
    if critical != (None if level is None else level.critical_level):
        await stock.set_critical_level(frame.ctx, LevelPolicy(frame.shell.location_id, sku, critical))


def _checked(frame: Frame, edit: Edit, known: Product | None) -> tuple[ProductInput | None, int | None]:
    t, formats = frame.t, frame.formats
    price = read_money(edit.price, formats)
    cost = read_money(edit.cost, formats) if edit.cost else None
    tax = read_figure(edit.tax or "0", TAX_DIGITS, formats.number(0, "0")[1])
    critical = read_quantity(edit.critical, formats) if edit.critical else None
    if not edit.name:
        edit.errors["name"] = t("problem.missing")
    if price is None or price < 0:
        edit.errors["price"] = t("problem.amount")
    if edit.cost and (cost is None or cost < 0):
        edit.errors["cost"] = t("problem.amount")
    if tax is None or not 0 <= tax <= 10_000:
        edit.errors["tax"] = t("problem.percent")
    if edit.critical and (critical is None or critical < 0):
        edit.errors["critical"] = t("js.count_bad")
    if edit.errors or price is None or tax is None:
        return None, None
    given = ProductInput(
        sku=edit.sku or edit.new_sku,
        name=edit.name,
        price_minor=price,
        currency=frame.tenant.currency if known is None else known.currency,
        tax_rate_bp=tax,
        category=edit.category,
        barcodes=tuple(dict.fromkeys(edit.barcodes.split())),
        tracked=True if known is None else known.tracked,
        by_lot=edit.by_lot if known is None else known.by_lot,
        active=edit.active,
        cost_minor=cost,
    )
    return given, critical


def _typed(form: FormData, sku: str) -> Edit:
    return Edit(
        sku=sku,
        name=text_of(form, "name", 400),
        barcodes=text_of(form, "barcodes"),
        category=text_of(form, "category", 400),
        price=text_of(form, "price", 40),
        cost=text_of(form, "cost", 40),
        tax=text_of(form, "tax", 40),
        critical=text_of(form, "critical", 40),
        by_lot="by_lot" in form,
    )


async def _stored(frame: Frame, product: Product) -> Edit:
    formats, level = frame.formats, await _level_here(frame, product.id)
    critical = None if level is None else level.critical_level
    whole, rest = divmod(product.tax_rate_bp, 100)
    fraction = f"{rest:02d}".rstrip("0")
    return Edit(
        sku=product.sku,
        name=product.name,
        barcodes=" ".join(product.barcodes),
        category=product.category,
        price=type_money(product.price_minor, formats),
        cost="" if product.cost_minor is None else type_money(product.cost_minor, formats),
        tax=formats.number(whole, fraction),
        critical="" if critical is None else type_quantity(critical, formats),
        by_lot=product.by_lot,
        active=product.active,
    )


async def _level_here(frame: Frame, reference: str) -> Level | None:
    if not frame.may("stock.read"):
        return None
    levels = await stock.get_levels(frame.ctx, reference)
    return next((level for level in levels if level.location_id == frame.shell.location_id), None)


async def _products_page(frame: Frame, edit: Edit | None, status: int = 200) -> Response:
    search, category = frame.query("q"), frame.query("category")
    sort, descending = lists.sort_of(frame, COLUMNS)
    order = ProductOrder(ProductSort(sort) if sort else ProductSort.NAME, descending=descending)
    wanted = ProductFilter(search, category)

    async def read(position: lists.Positions | None, limit: int, backwards: bool) -> list[Product]:
        return await catalog.list_products(frame.ctx, wanted, position, limit, order, backwards=backwards)

    cut = await lists.page(lists.start_of(frame, *order.kinds), read, order.position)
    levels = await _levels_of(frame, cut.rows)
    categories = await catalog.list_categories(frame.ctx)
    is_whole = not search and not category
    filters = (Filter("category", "products.any_category", tuple(Choice(name, name) for name in categories)),)
    table = Table(
        path=PRODUCTS,
        columns=COLUMNS,
        name="products",
        search=search,
        sort=sort,
        descending=descending,
        usual="name",
        chosen={"category": category},
        hidden=lists.hidden_of(frame, COLUMNS),
        filters=filters if categories else (),
        views=await lists.views_of(frame, "products"),
        shown=len(cut.rows),
        total=await catalog.count_products(frame.ctx) if is_whole else None,
        previous_cursor=cut.previous,
        next_cursor=cut.following,
    )
    context = {
        "table": table,
        "rows": [_row(p, levels.get(p.id, [])) for p in cut.rows],
        "edit": edit,
        "categories": categories,
    }
    return frame.page("products", context, status)


async def _levels_of(frame: Frame, products: Any) -> dict[str, list[Level]]:
    found: dict[str, list[Level]] = {}
    if products and frame.may("stock.read"):
        for level in await stock.list_product_levels(frame.ctx, [product.id for product in products]):
            found.setdefault(level.product_id, []).append(level)
    return found


def _row(product: Product, levels: list[Level]) -> dict[str, Any]:
    return {
        "sku": product.sku,
        "name": product.name,
        "category": product.category,
        "price_minor": product.price_minor,
        "available_milli": sum(level.available for level in levels) if product.tracked else None,
        "critical": any(
            level.critical_level is not None and level.available <= level.critical_level for level in levels
        ),
        "active": product.active,
    }

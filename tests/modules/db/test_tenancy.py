"""Statements that could touch another tenant's rows are refused before they run, whatever shape they come in."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    Connection,
    Executable,
    and_,
    bindparam,
    case,
    exists,
    func,
    insert,
    literal,
    not_,
    or_,
    select,
    text,
    true,
    union_all,
)

from nervio.db.maintenance import Access, run_on_file
from nervio.db.tables import commits, outbox
from nervio.db.tenancy import CrossTenantStatement, TenantConnection
from nervio.kernel.ids import new_id
from nervio.modules.catalog.models import barcodes, locations, products
from nervio.modules.stock.models import stock_levels
from tests.builders import create_sqlite_file
from tests.modules.db.samples import sample_of

OWN, OTHER = new_id(), new_id()

P, B, S, L = products.c, barcodes.c, stock_levels.c, locations.c
again = products.alias("again")
mine = P.tenant_id == OWN
codes = select(B.tenant_id, B.product_id).where(B.tenant_id == OWN).subquery("codes")
all_codes = select(B.tenant_id, B.product_id).subquery("all_codes")
own_codes = select(B.tenant_id, B.product_id).where(B.tenant_id == OWN).cte("own_codes")

REFUSED: dict[str, Callable[[], Executable]] = {
    "no condition at all": lambda: select(P.name),
    "another tenant's id": lambda: select(P.name).where(P.tenant_id == OTHER),
    "another tenant's id beside the own": lambda: select(P.name).where(mine, P.tenant_id == OTHER),
    "another tenant's id as a parameter": lambda: select(P.name).where(P.tenant_id == bindparam("tenant")),
    "a condition on another column": lambda: select(P.name).where(P.id == OWN),
    "a condition inside OR": lambda: select(P.name).where(or_(mine, P.sku == "A")),
    "a condition inside OR with true": lambda: select(P.name).where(or_(mine, true())),
    "a condition that is denied": lambda: select(P.name).where(not_(mine)),
    "a condition in the list of columns": lambda: select(P.name, mine.label("mine")),
    "a condition in CASE": lambda: select(P.name).where(case((mine, 1), else_=1) == 1),
    "a list of tenants": lambda: select(P.name).where(P.tenant_id.in_([OWN, OTHER])),
    "greater or equal": lambda: select(P.name).where(P.tenant_id >= OWN),
    "the tenant compared with itself": lambda: select(P.name).where(P.tenant_id == P.tenant_id),
    "the tenant compared with an expression": lambda: select(P.name).where(P.tenant_id == func.lower(P.tenant_id)),
    "a second table": lambda: select(P.name, B.code).where(mine),
    "a join on something else": lambda: (
        select(P.name, B.code).join_from(products, barcodes, B.product_id == P.id).where(mine)
    ),
    "a join that neither side pins": lambda: select(P.name).join_from(products, barcodes, B.tenant_id == P.tenant_id),
    "an alias of the same table": lambda: select(P.name, again.c.name).where(mine),
    "an outer join that pins only what it may leave out": lambda: select(P.name).join_from(
        products, barcodes, and_(B.tenant_id == OWN, B.tenant_id == P.tenant_id), isouter=True
    ),
    "an outer join whose condition pins the kept side": lambda: select(P.name).join_from(
        products, barcodes, mine, isouter=True
    ),
    "a full join": lambda: select(P.name).join_from(products, barcodes, and_(mine, B.tenant_id == OWN), full=True),
    "a subquery that pins nothing": lambda: select(P.name).where(mine, P.id.in_(select(B.product_id))),
    "a subquery of the same table": lambda: select(P.name).where(mine, P.id.in_(select(again.c.id))),
    "EXISTS that pins nothing": lambda: select(P.name).where(mine, exists().where(B.product_id == P.id)),
    "a scalar subquery": lambda: select(P.name, select(func.count()).select_from(barcodes).scalar_subquery()).where(
        mine
    ),
    "a subquery in ORDER BY": lambda: select(P.name).where(mine).order_by(select(func.max(B.code)).scalar_subquery()),
    "a subquery in HAVING": lambda: (
        select(P.category)
        .where(mine)
        .group_by(P.category)
        .having(func.count() > select(func.count(B.code)).scalar_subquery())
    ),
    "a derived table that pins nothing": lambda: select(all_codes.c.product_id),
    "a derived table pinned only outside": lambda: select(all_codes.c.product_id).where(all_codes.c.tenant_id == OWN),
    "a CTE that pins nothing": lambda: select(select(B.product_id).cte("c").c.product_id),
    "the second half of a UNION": lambda: union_all(select(P.name).where(mine), select(P.name)),
    "a UNION in a derived table": lambda: select(
        union_all(select(P.name).where(mine), select(P.name)).subquery().c.name
    ),
    "a count": lambda: select(func.count()).select_from(products),
    "a table whose key does not begin with the tenant": lambda: select(outbox.c.payload),
    "text": lambda: text("SELECT name FROM products"),
    "text as a condition": lambda: select(P.name).where(mine, text("1 = 1")),
    "text as a table": lambda: select(P.name).select_from(products, text("barcodes")).where(mine),
    "an insert": lambda: insert(locations).values(sample_of(locations)),
    "an update of everything": lambda: products.update().values(name="x"),
    "an update of another tenant": lambda: products.update().where(P.tenant_id == OTHER).values(name="x"),
    "an update inside OR": lambda: products.update().where(or_(mine, P.sku == "A")).values(name="x"),
    "an update that moves a row to another tenant": lambda: products.update().where(mine).values(tenant_id=OTHER),
    "an update from another table": lambda: products.update().where(mine, P.id == B.product_id).values(name=B.code),
    "an update from a subquery": lambda: (
        products.update().where(mine).values(name=select(func.max(B.code)).scalar_subquery())
    ),
    "a delete of everything": products.delete,
    "a delete by a subquery": lambda: products.delete().where(mine, P.id.in_(select(B.product_id))),
}

ALLOWED: dict[str, Callable[[], Executable]] = {
    "the own tenant": lambda: select(P.name).where(mine),
    "the own tenant on the other side": lambda: select(P.name).where(literal(OWN) == P.tenant_id),
    "the own tenant among other conditions": lambda: select(P.name).where(and_(P.active, and_(mine, P.sku == "A"))),
    "the own tenant as a parameter": lambda: select(P.name).where(P.tenant_id == bindparam("own", OWN)),
    "a join along the tenant": lambda: (
        select(P.name).join_from(products, barcodes, and_(B.tenant_id == P.tenant_id, B.product_id == P.id)).where(mine)
    ),
    "a chain of joins": lambda: (
        select(P.name)
        .join_from(products, stock_levels, and_(S.tenant_id == P.tenant_id, S.product_id == P.id))
        .join(locations, and_(L.tenant_id == S.tenant_id, L.id == S.location_id))
        .where(L.tenant_id == OWN)
    ),
    "an outer join along the tenant": lambda: (
        select(P.name)
        .join_from(products, barcodes, and_(B.tenant_id == P.tenant_id, B.product_id == P.id), isouter=True)
        .where(mine)
    ),
    "aliases, each pinned": lambda: select(P.name).where(mine, again.c.tenant_id == P.tenant_id, again.c.sku == "A"),
    "a subquery that is pinned": lambda: select(P.name).where(
        mine, P.id.in_(select(B.product_id).where(B.tenant_id == OWN))
    ),
    "EXISTS along the tenant": lambda: select(P.name).where(
        mine, exists().where(B.tenant_id == P.tenant_id, B.product_id == P.id)
    ),
    "a derived table": lambda: select(codes.c.product_id),
    "a join with a derived table": lambda: select(P.name).join_from(
        products, codes, and_(P.tenant_id == codes.c.tenant_id, P.id == codes.c.product_id)
    ),
    "a CTE": lambda: select(own_codes.c.product_id).where(own_codes.c.product_id.in_(select(own_codes.c.product_id))),
    "a UNION of pinned halves": lambda: union_all(select(P.name).where(mine), select(B.code).where(B.tenant_id == OWN)),
    "a condition in the list of columns as well": lambda: select(P.name, (P.tenant_id == OWN).label("mine")).where(
        mine
    ),
    "a table of no tenant": lambda: select(commits.c.id),
    "a value without a table": lambda: select(literal(1)),
    "an update": lambda: products.update().where(mine, P.sku == "none").values(name="x"),
    "a delete": lambda: barcodes.delete().where(B.tenant_id == OWN),
}


@pytest.fixture
async def connect(tmp_path: Path) -> Callable[[Callable[[Connection], Any]], Any]:
    path = tmp_path / "nervio.db"
    await create_sqlite_file(path)

    def fill(connection: Connection) -> None:
        for tenant in (OWN, OTHER):
            row = {**sample_of(products), "tenant_id": tenant, "name": f"of {tenant}"}
            connection.execute(products.insert().values(row))

    run_on_file(path, fill, Access.CHANGE)
    return lambda work: run_on_file(path, work, Access.CHANGE)


@pytest.mark.parametrize("shape", REFUSED)
def test_a_statement_that_could_touch_another_tenant_is_refused(
    shape: str, connect: Callable[[Callable[[Connection], Any]], Any]
) -> None:
    def execute(connection: Connection) -> None:
        for _ in range(2):  # what is remembered about a shape does not let it through the second time
            with pytest.raises(CrossTenantStatement):
                TenantConnection(connection, OWN).execute(REFUSED[shape](), {"tenant": OTHER})

    connect(execute)


@pytest.mark.parametrize("shape", ALLOWED)
def test_a_statement_that_stays_within_the_tenant_runs(
    shape: str, connect: Callable[[Callable[[Connection], Any]], Any]
) -> None:
    def execute(connection: Connection) -> None:
        for _ in range(2):
            result = TenantConnection(connection, OWN).execute(ALLOWED[shape]())
            if result.returns_rows:
                assert not [row for row in result if f"of {OTHER}" in row]
            else:
                assert result.rowcount == 0

    connect(execute)


def test_a_shape_that_was_approved_is_still_judged_by_its_values(
    connect: Callable[[Callable[[Connection], Any]], Any],
) -> None:
    statement = select(P.name).where(P.tenant_id == bindparam("tenant"))

    def execute(connection: Connection) -> list[str]:
        own = TenantConnection(connection, OWN)
        names = list(own.execute(statement, {"tenant": OWN}).scalars())
        with pytest.raises(CrossTenantStatement):
            own.execute(statement, {"tenant": OTHER})
        with pytest.raises(CrossTenantStatement):
            TenantConnection(connection, OTHER).execute(select(P.name).where(mine))
        return names

    assert connect(execute) == [f"of {OWN}"]

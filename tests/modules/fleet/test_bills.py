"""The bill of a month: exact, the same in every form, and rounded once."""

import csv
import io
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nervio.db.dialects import dialect_of
from nervio.kernel.errors import NervioError
from nervio.kernel.money import micros_a_minor
from nervio.modules.fleet import api as fleet
from nervio.modules.fleet.contracts import BillLine, Spend, Usage
from nervio.modules.fleet.domain.bills import days_of, make_bill
from nervio.modules.fleet.module import MANIFEST
from nervio.modules.fleet.routes.bill_paper import bill_csv, bill_pdf, format_percent
from nervio.modules.identity.contracts import Tenant
from nervio.modules.identity.store import people
from nervio.ports.workers import Ending
from tests.builders import NOON, Store
from tests.modules.fleet.spending import a_usage, spend
from tests.modules.served import a_client, ok, refused
from tests.pdf import read_pages

USED = Usage("chat", 9, 7, 1, 0, 2, 1000, 100, 50, 0, 0, 0)


@pytest.mark.parametrize(
    ("month", "days"),
    [("2026-02", ("2026-02-01", "2026-02-28")), ("2028-02", ("2028-02-01", "2028-02-29")), ("9999-12", ("9999-12-01", "9999-12-31"))],
)  # fmt: skip
def test_a_month_has_its_days(month: str, days: tuple[str, str]) -> None:
    assert days_of(month) == days


@pytest.mark.parametrize("month", ["", "2026", "2026-13", "2026-00", "0000-01", "2026-3", "2026-03-01", "٢٠٢٦-٠٣"])
def test_what_is_no_month_is_refused(month: str) -> None:
    with pytest.raises(NervioError) as refusal:
        days_of(month)
    assert refusal.value.data["field"] == "month"


def test_what_had_no_price_stands_apart_and_is_not_zero_in_a_currency() -> None:
    costs = [Spend("chat", "ARS", 1, 10, 5, 1), Spend("chat", "USD", 4, 60, 40, 10_000)]
    bill = make_bill(
        "Shop", "2026-03", NOON, [USED, replace(USED, kind="ocr", done=0, input_tokens=0, output_tokens=0)], costs, 0
    )

    assert bill.lines == (
        BillLine("chat", "ARS", 1, 10, 5, 1, 1),
        BillLine("chat", "USD", 4, 60, 40, 10_000, 10_000),
        BillLine("chat", "", 2, 30, 5, 0, 0),
    )
    assert [(one.currency, one.amount_minor) for one in bill.totals] == [("ARS", 0), ("USD", 1)]
    assert not bill.is_final
    assert make_bill("Shop", "2026-02", NOON, [], [], 0).is_final


@given(
    st.lists(st.tuples(st.sampled_from(["USD", "CLP", "KWD"]), st.integers(1, 10**12)), max_size=12),
    st.integers(0, 100_000),
)
def test_totals_are_the_sum_of_their_lines_and_round_once(costs: list[tuple[str, int]], markup: int) -> None:
    spent = [Spend(f"kind{n}", currency, 1, 0, 0, cost) for n, (currency, cost) in enumerate(costs)]
    bill = make_bill("Shop", "2026-03", NOON, [], spent, markup)

    for total in bill.totals:
        mine = [one for one in bill.lines if one.currency == total.currency]
        assert total.cost_micros == sum(cost for currency, cost in costs if currency == total.currency)
        assert total.charged_micros == sum(one.charged_micros for one in mine)
        exact = Fraction(total.cost_micros * (10_000 + markup), 10_000)
        assert abs(total.charged_micros - exact) <= Fraction(len(mine), 2)
        assert abs(total.amount_minor * micros_a_minor(total.currency) - total.charged_micros) * 2 <= micros_a_minor(
            total.currency
        )


async def named(store: Store) -> None:
    """Gives the store's tenant a name, as the start of the program does."""
    tenant = Tenant(store.ctx.tenant_id, f"shop-{store.ctx.tenant_id[-12:]}", "Almacén Ñandú", "ARS", "UTC", "es", NOON)
    await store.database.bookkeep("lease", lambda c: people.add_tenant(c, dialect_of(c), tenant))


def test_what_only_saved_something_is_on_no_bill() -> None:
    costs = [Spend("chat", "USD", 0, 0, 0, 0, 1_800)]
    assert make_bill("Shop", "2026-03", NOON, [], costs, 0).lines == ()


async def test_a_bill_is_the_same_over_http_in_all_its_forms(store: Store) -> None:
    await named(store)
    await spend(store, a_usage(1_234_567), a_usage(1), a_usage(0, None))
    await spend(store, a_usage(3_000_000, "CLP"), kind="cmd")
    await spend(store, a_usage(432), ending=Ending.FAILED)
    async with a_client(store.ctx, MANIFEST) as client:
        bill = ok(await client.get("/api/fleet/bill", params={"month": "2026-03"}))
        sheet = await client.get("/api/fleet/bill.csv", params={"month": "2026-03", "language": "en"})
        paper = await client.get("/api/fleet/bill.pdf", params={"month": "2026-03"})
        used = ok(await client.get("/api/fleet/usage", params={"since": "2026-03-01", "until": "2026-03-01"}))["usage"]
        february = ok(await client.get("/api/fleet/bill", params={"month": "2026-02"}))
        for path in ("bill", "bill.csv", "bill.pdf"):
            refused(await client.get(f"/api/fleet/{path}", params={"month": "2026-13"}), 422, "invalid_month", "month")

    assert [(one["kind"], one["currency"], one["tasks"], one["charged"]) for one in bill["lines"]] == [
        ("chat", "USD", 2, "1.235"), ("chat", "", 1, ""), ("cmd", "CLP", 1, "3"),
    ]  # fmt: skip
    assert [(one["currency"], one["amount"], one["amount_minor"]) for one in bill["totals"]] == [
        ("CLP", "3", 3),
        ("USD", "1.24", 124),
    ]
    assert (bill["is_final"], february["lines"], february["is_final"]) == (False, [], True)
    costs = {one["kind"]: one["costs"] for one in used}
    assert costs == {
        "chat": [{"currency": "USD", "tasks": 2, "cost_micros": 1_235_000, "cost": "1.235", "saved_micros": 0}],
        "cmd": [{"currency": "CLP", "tasks": 1, "cost_micros": 3_000_000, "cost": "3", "saved_micros": 0}],
    }
    assert sheet.headers["content-disposition"] == 'attachment; filename="nervio-2026-03.csv"'
    rows = list(csv.reader(io.StringIO(sheet.text)))
    assert rows == [
        ["type", "Task", "Currency", "Done", "Tokens read", "Tokens written", "Cost", "Amount", "Total"],
        ["use", "chat", "USD", "2", "9", "15", "1.235", "1.235", ""],
        ["use", "chat", "", "1", "3", "5", "", "", ""],
        ["use", "cmd", "CLP", "1", "3", "5", "3", "3", ""],
        ["total", "", "CLP", "", "", "", "3", "3", "3"],
        ["total", "", "USD", "", "", "", "1.235", "1.235", "1.24"],
    ]
    assert paper.headers["content-type"] == "application/pdf"
    (page,) = read_pages(paper.content)
    for words in ("Almacén Ñandú", "Trabajo de IA: uso y costo", "Mes 2026-03 (días de UTC)", "Pregunta", "USD 1,235", "sin precio", "Total USD", "1,24",
                  "CLP 3", "1 / 1"):  # fmt: skip
        assert words in page, words


def test_a_long_bill_of_an_odd_shop_goes_on_over_pages_in_both_languages() -> None:
    costs = [Spend(f"kind-{n:03d}", "USD", n, 10**6 * n, 7, 10**11 + n) for n in range(120)]
    name = "Almacén “El Ñandú” (y Cía.) \\ 東京 ﬁn\x07 " + "largo " * 60
    for language, head, total in (("es", "Tarea", "13.500.000,01"), ("en", "Task", "13,500,000.01")):
        bill = make_bill(name, "2026-03", NOON, [], costs, 1250)
        pages = read_pages(bill_pdf(bill, language))
        assert len(pages) > 2
        words = [word for page in pages for word in page]
        assert all(f"kind-{n:03d}" in words for n in range(120))
        assert any(word.startswith("Almacén “El Ñandú” (y Cía.) \\ ?? fin") for word in words)
        rows = [page for page in pages if any(word.startswith("kind-") for word in page)]
        assert len(rows) > 1 and all(page.count(head) == 1 for page in rows), "headings stand on each page"
        assert total in words, bill.totals
        assert any("12,5" in word or "12.5" in word for word in words)
        assert pages[-1][-2] == f"{len(pages)} / {len(pages)}"


@pytest.mark.parametrize(
    ("basis_points", "text"), [(0, "0"), (2000, "20"), (1250, "12.5"), (1, "0.01"), (100_000, "1000")]
)
def test_a_mark_up_is_written_in_per_cent(basis_points: int, text: str) -> None:
    assert format_percent(basis_points) == text


def test_a_kind_that_looks_like_a_formula_is_none_in_the_sheet() -> None:
    bill = make_bill("Shop", "2026-03", NOON, [], [Spend("-1+cmd", "USD", 1, 1, 1, 1)], 0)
    assert [row[1] for row in bill_csv(bill, "es")][1] == "'-1+cmd"


async def test_a_bill_is_for_those_who_may_read_it(store: Store) -> None:
    async with a_client(store.permitted(fleet.SUBMIT_TASKS), MANIFEST) as client:
        for path in ("bill", "bill.csv", "bill.pdf"):
            refused(await client.get(f"/api/fleet/{path}", params={"month": "2026-03"}), 403, "forbidden")

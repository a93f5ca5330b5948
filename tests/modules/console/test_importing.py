"""The import of products over a real store: nothing before the confirmation, every good row after it, each bad one explained."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path

import httpx
import pytest

from nervio.modules.catalog import api as catalog
from nervio.modules.catalog.contracts import ProductInput
from nervio.modules.console.formatting import Formats
from nervio.modules.console.i18n import load_texts
from nervio.modules.console.rooms.imports import reading
from nervio.modules.console.rooms.imports.comparing import Reader
from nervio.modules.console.rooms.imports.reading import read_sheet
from nervio.modules.console.rooms.imports.saving import save
from nervio.modules.safety import api as safety
from tests.modules.console.job_running import at_work, until_ended
from tests.modules.console.serving import EAN, YERBA, Shop, Visitor, a_shop, token_in

IMPORT = "/console/import"
GOOD = f"""SKU;Nombre;Precio;Categoría;Código de barras;IVA
{YERBA};Yerba mate suave;3.100,50;;;
CAF-1;Café molido;$ 1.250;Almacén;7790895000997;21
TE-1;Té en hebras;980,5;;;10,5
"""


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with a_shop(tmp_path) as furnished:
        yield furnished


async def send(visitor: Visitor, content: bytes | str) -> httpx.Response:
    """A file sent with the form; the answer is the preview, or the form with what is wrong."""
    raw = content.encode() if isinstance(content, str) else content
    token = token_in((await visitor.get(IMPORT)).text)
    files = {"file": ("products.csv", raw, "text/csv")}
    return await visitor.client.post(IMPORT, data={"csrf": token, "text": ""}, files=files, follow_redirects=True)


def rows(answer: httpx.Response) -> list[tuple[str, str, str]]:
    """(SKU, outcome, details) of every row of a preview."""
    body = answer.text.partition("<tbody>")[2].partition("</tbody>")[0]
    found = []
    for row in body.split("<tr>")[1:]:
        cells = [unescape(" ".join(re.sub(r"<[^>]+>", " ", cell).split())) for cell in row.split("<td")]
        sku = re.search(r'class="cell-sub code">([^<]*)<', row)
        assert sku is not None
        found.append((unescape(sku[1]), cells[2].partition("> ")[2], cells[3].partition("> ")[2]))
    return found


async def confirm(visitor: Visitor, preview: httpx.Response) -> httpx.Response:
    """The button of the preview pressed."""
    path = preview.url.path
    return await visitor.post(path, path)


async def test_a_preview_saves_nothing_and_the_confirmation_every_good_row(shop: Shop) -> None:
    preview = await send(shop.visitor, GOOD)
    assert preview.status_code == 200 and preview.url.path.startswith(f"{IMPORT}/")
    assert rows(preview) == [
        (YERBA, "Changes", "Name: Yerba mate becomes Yerba mate suave Price: $ 2.850,00 becomes $ 3.100,50"),
        ("CAF-1", "New", "Price: $ 1.250,00 Category: Almacén Barcodes: 7790895000997"),
        ("TE-1", "New", "Price: $ 980,50"),
    ]
    assert await catalog.count_products(shop.ctx) == 1
    done = await confirm(shop.visitor, preview)
    assert "Saved: 2 new, 1 changed." in done.text
    assert [outcome for _, outcome, _ in rows(done)] == ["Same"] * 3
    coffee = await catalog.get_product(shop.ctx, "7790895000997")
    assert (coffee.sku, coffee.price_minor, coffee.tax_rate_bp, coffee.currency) == ("CAF-1", 125_000, 2100, "ARS")
    yerba = await catalog.get_product(shop.ctx, YERBA)
    # An empty cell leaves what there is.
    assert (yerba.price_minor, yerba.category, yerba.barcodes, yerba.tax_rate_bp) == (310_050, "Almacén", (EAN,), 2100)
    again = await confirm(shop.visitor, preview)
    assert "Saved: 0 new, 0 changed." in again.text
    assert await catalog.count_products(shop.ctx) == 3


async def test_every_row_that_cannot_be_saved_says_why_and_the_others_are_saved(shop: Shop) -> None:
    given = {
        "A-1": "A-1,Fine,100,779,21,",
        "again": "A-1,Fine again,100,,21,",
        "barcode again": "A-2,Other,100,779,21,",
        "taken": f"A-3,Thief,100,{EAN},21,",
        "no name": "A-4,,100,,21,",
        "no price": "A-5,Free,,,21,",
        "price": "A-6,Text,cheap,,21,",
        "grouping": 'A-7,Groups,"1,2,3",,21,',
        "negative": "A-8,Below,-5,,21,",
        "tax": "A-9,Tax,100,,210,",
        "rounded": 'A-10,Rounded,100,"7,79039E+12",21,',
        "flag": "A-11,Flag,100,,21,perhaps",
        "long": f"{'A' * 65},Long,100,,21,",
        "no sku": ",Nameless,100,,21,",
        "short": "A-12,Short",
        "lots": f"{YERBA},Yerba,,,,no",
    }
    said = [
        "", "It repeats the SKU of row 2.", "The barcode 779 is in row 2 already.",
        f"The barcode {EAN} belongs to another product.", "It is a new product and lacks: Name.",
        "It is a new product and lacks: Price.", "The price “cheap” cannot be read. Type it like 1250.50.",
        "The price “1,2,3” cannot be read. Type it like 1250.50.", "The price “-5” cannot be read. Type it like 1250.50.",
        "The tax “210” cannot be read. Type a percentage between 0 and 100.",
        "The spreadsheet rounded the barcode (7,79039E+12). Format the column as text and export it again.",
        "“perhaps” cannot be read. Type yes or no.", None, "The SKU is missing.",
        "It has fewer cells than the headings. If it is the last row, the file may be cut off.",
        "How it is kept in stock (tracked, by lot) is fixed once it exists. Use a new SKU.",
    ]  # fmt: skip
    preview = await send(shop.visitor, "sku,name,price,barcode,tax,tracked\n" + "\n".join(given.values()) + "\n")
    found = rows(preview)
    assert len(found) == len(given)
    for (sku, outcome, details), reason, what in zip(found, said, given, strict=True):
        assert outcome == ("New" if what == "A-1" else "Not saved"), (what, sku, details)
        assert reason is None or reason in {"", details}, (what, details)
    done = await confirm(shop.visitor, preview)
    assert "Saved: 1 new, 0 changed." in done.text
    assert await catalog.count_products(shop.ctx) == 2
    only = await shop.visitor.get(f"{preview.url.path}?status=refused")
    assert len(rows(only)) == len(given) - 1


async def test_our_own_file_comes_back_as_it_is(shop: Shop) -> None:
    odd = [
        ProductInput("=1+1", "-Dulce; \"de\" leche", 99, "USD", 1050, "Almacén, dulces", ("111", "222"), active=False),
        ProductInput("SRV", "Envío", 0, "ARS", tracked=False),
        ProductInput("LOT", "Yogur", 150_000, "ARS", by_lot=True),
    ]  # fmt: skip
    await catalog.save_products(shop.ctx, odd)
    csv = (await shop.visitor.get("/console/products?format=csv")).content
    assert [outcome for _, outcome, _ in rows(await send(shop.visitor, csv))] == ["Same"] * 4
    dearer = csv.replace(b"1500.00", b"1500.50")
    assert ("LOT", "Changes", "Price: $ 1.500,00 becomes $ 1.500,50") in rows(await send(shop.visitor, dearer))


async def test_text_can_be_pasted_and_what_cannot_be_read_is_kept_in_the_form(shop: Shop) -> None:
    pasted = await shop.visitor.post(IMPORT, IMPORT, text="codigo\tnombre\tprecio\nP-1\tPan\t500\n")
    assert rows(pasted) == [("P-1", "New", "Price: $ 500,00")]
    bad = await shop.visitor.post(IMPORT, IMPORT, text='sku,name\nP-1,"half')
    assert bad.status_code == 422 and "is never closed" in bad.text and "half</textarea>" in bad.text
    shop.visitor.client.cookies.set("nervio_language", "es")
    nothing = await shop.visitor.post(IMPORT, IMPORT, text="")
    assert nothing.status_code == 422 and "El archivo está vacío." in nothing.text
    utf16 = await send(shop.visitor, "SKU;Nombre;Precio\nÑ-1;Ñandú;1,5\n".encode("utf-16"))
    assert rows(utf16) == [("Ñ-1", "Nuevo", "Precio: $ 1,50")]


async def test_a_file_that_is_too_large_is_told_so(shop: Shop) -> None:
    line = b"A,a\n"
    large = await send(shop.visitor, b"sku,name\n" + line * (7 * 1024 * 1024 // len(line)))
    assert large.status_code == 422 and "larger than 7 MB" in large.text
    assert (await send(shop.visitor, b"sku,name\n" + line * (9 * 1024 * 1024 // len(line)))).status_code == 413


async def test_a_draft_is_its_person_s_own_and_the_next_takes_its_place(shop: Shop) -> None:
    first = await send(shop.visitor, GOOD)
    other = await shop.as_role("negocio")
    assert (await other.get(first.url.path)).status_code == 404
    second = await send(shop.visitor, "sku,name,price\nB-1,Bread,5\n")
    assert (await shop.visitor.get(second.url.path)).status_code == 200
    gone = await shop.visitor.get(first.url.path)
    assert gone.status_code == 404 and "another took its place" in gone.text
    assert (await shop.visitor.get(f"{IMPORT}/not-an-id")).status_code == 404


async def test_what_the_store_refuses_at_the_last_moment_leaves_its_neighbours_saved(shop: Shop) -> None:
    """Somebody takes a barcode between the comparison and the save: that row alone is left out."""
    formats, texts = Formats("es-AR", "ARS", "UTC", "en"), load_texts()["en"]
    candidates = Reader(formats, texts).compare(read_sheet(GOOD.replace(YERBA, "YER-2")), {}, {})
    await catalog.save_products(shop.ctx, [ProductInput("FIRST", "Faster", 1, "ARS", barcodes=("7790895000997",))])
    saved = await save(shop.ctx, "draft", candidates)
    assert (saved.created, saved.updated, saved.stopped) == (2, 0, None)
    assert {sku: refusal.code for sku, refusal in saved.refused.items()} == {"CAF-1": "barcode_taken"}
    again = await save(shop.ctx, "draft", candidates)
    assert (again.created, again.updated, list(again.refused)) == (2, 0, ["CAF-1"])
    assert await catalog.count_products(shop.ctx) == 4


async def test_a_stopped_shop_imports_nothing_and_goes_on_afterwards(shop: Shop) -> None:
    preview = await send(shop.visitor, GOOD)
    token = token_in(preview.text)
    await safety.freeze(shop.ctx, "counting", level="read_only")
    stopped = await shop.visitor.client.post(preview.url.path, data={"csrf": token}, follow_redirects=True)
    assert stopped.status_code == 503
    assert await catalog.count_products(shop.ctx) == 1
    await safety.unfreeze(shop.ctx, "done", level="read_only")
    await shop.program.app.halt_watch.refresh()
    assert "Saved: 2 new, 1 changed." in (await confirm(shop.visitor, preview)).text


@pytest.mark.slow
async def test_a_hundred_thousand_rows_are_shown_page_by_page_and_saved(shop: Shop) -> None:
    lines = [f"S-{n:06};Producto {n};{n % 900 + 1},50;779{n:09}" for n in range(reading.MOST_ROWS)]
    started = time.perf_counter()
    preview = await send(shop.visitor, "sku;nombre;precio;ean\n" + "\n".join(lines))
    assert len(rows(preview)) == 100 and "Page 1 of 1,000" in preview.text.replace("1.000", "1,000")
    last = await shop.visitor.get(f"{preview.url.path}?page=1000")
    assert rows(last)[-1][0] == f"S-{reading.MOST_ROWS - 1:06}"
    asked = await confirm(shop.visitor, preview)
    assert asked.url.path.startswith("/console/jobs/"), time.perf_counter() - started
    async with at_work(shop):
        job = await until_ended(shop, asked.url.path.rpartition("/")[2])
    assert job.result == {"saved": reading.MOST_ROWS, "refused": 0, "told": {}}
    assert await catalog.count_products(shop.ctx) == reading.MOST_ROWS + 1

"""What the shell does in a real browser: accessible in every look, quick with scanners and keys, true in its figures."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import pytest
from playwright.sync_api import Page

from nervio.modules.console.formatting import Formats
from tests.modules.console import samples
from tests.modules.console.conftest import DESKTOP, PAGES, PHONE, Open

pytestmark = pytest.mark.browser

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
RUN_AXE = """async () => {
    const rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];
    const { violations } = await axe.run(document, { runOnly: rules });
    return violations.map((v) => `${v.id}: ${v.nodes[0].html}`);
}"""
# Colours fade and dialogs rise even where motion is reduced, if only for a millisecond; judge them when they have settled.
SETTLED = """
    await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
    await Promise.all(document.getAnimations().map((each) => each.finished.catch(() => null)));
    await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
"""
# Right after the window changed its size, a grid may still be laid out for the scroll bar that it had before.
TOO_WIDE = f"""async () => {{
    {SETTLED}
    return document.documentElement.scrollWidth - innerWidth;
}}"""
SET_LOOK = f"""async (media) => {{
    document.querySelector("#dark-sheet").media = media;
    {SETTLED}
}}"""
OPEN_ALONE = f"""async (dialog) => {{
    document.querySelectorAll("dialog[open]").forEach((other) => other.close());
    dialog.showModal();
    {SETTLED}
}}"""
OPEN_MENU = f"""async (menu) => {{
    menu.open = true;
    {SETTLED}
}}"""
EAN = "7790895000997"


def _faults(page: Page) -> list[str]:
    faults: list[str] = page.evaluate(RUN_AXE)
    return faults


def _scan(page: Page, code: str, *, gap_ms: int = 8) -> None:
    """Type as a scanner does: the time between keys is that of the events, however slow this machine is."""
    session = page.context.new_cdp_session(page)
    at = session.send("Runtime.evaluate", {"expression": "Date.now()"})["result"]["value"] / 1000
    for index, character in enumerate([*code, "Enter"]):
        text = "\r" if character == "Enter" else character
        key: dict[str, Any] = {"key": character, "text": text, "timestamp": at + index * gap_ms / 1000}
        session.send("Input.dispatchKeyEvent", {"type": "keyDown", **key})
        session.send("Input.dispatchKeyEvent", {"type": "keyUp", "key": character, "timestamp": key["timestamp"]})


def _until(page: Page, condition: str) -> None:
    """Wait for a condition; `wait_for_function` would compile it in the page, which the policy forbids."""
    for _ in range(200):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(condition)


def _listen(page: Page) -> None:
    page.evaluate("window.scans = []; document.addEventListener('scan', (e) => scans.push(e.detail))")


@pytest.mark.slow
@pytest.mark.parametrize("language", ["es", "en"])
@pytest.mark.parametrize("name", sorted(samples.CONTEXTS))
def test_a_page_is_accessible_in_every_look_and_fits_a_phone(
    open_page: Open, complaints: list[str], name: str, language: str
) -> None:
    page = open_page(name, language=language)
    page.evaluate(AXE)
    for size in (DESKTOP, PHONE):
        page.set_viewport_size({"width": size["width"], "height": size["height"]})
        assert page.evaluate(TOO_WIDE) <= 0
        for media in ("not all", "all"):
            page.evaluate(SET_LOOK, media)
            assert _faults(page) == [], f"{size} {media}"
    for menu in page.query_selector_all("main details.menu"):
        menu.evaluate(OPEN_MENU)
        assert _faults(page) == [], menu.get_attribute("id")
        assert page.evaluate(TOO_WIDE) <= 0
        menu.evaluate("(menu) => { menu.open = false; }")
    # A dialog is the same markup in every language.
    for dialog in page.query_selector_all("dialog:not([open])") if language == "es" else ():
        dialog.evaluate(OPEN_ALONE)
        assert _faults(page) == [], dialog.get_attribute("id")
    assert complaints == []


def test_a_scan_is_heard_anywhere_and_leaves_the_field_as_it_was(open_page: Open) -> None:
    page = open_page("stock")
    _listen(page)
    page.fill("#list-q", "yerba")
    page.focus("#list-q")
    _scan(page, EAN)
    _until(page, "scans.length === 1")
    assert page.evaluate("scans[0]") == {"code": EAN, "valid": True, "repeated": False}
    assert page.evaluate("document.querySelector('#list-q').value") == "yerba"
    # Outside the till the palette opens with the code, but only once the code is whole.
    assert page.input_value("#palette input") == EAN


def test_a_person_s_typing_is_no_scan(open_page: Open) -> None:
    page = open_page("stock")
    _listen(page)
    page.focus("#list-q")
    _scan(page, "yerba", gap_ms=90)
    assert page.evaluate("scans.length") == 0
    assert page.input_value("#list-q") == "yerba"


def test_a_field_for_codes_keeps_the_code(open_page: Open) -> None:
    page = open_page("products")
    page.fill("#barcodes", "")
    page.focus("#barcodes")
    _scan(page, EAN)
    assert page.input_value("#barcodes") == EAN
    assert page.locator("#edit-dialog").get_attribute("open") is not None


def test_the_palette_opens_by_key_and_goes_where_one_types(open_page: Open) -> None:
    page = open_page("dashboard")
    page.keyboard.press("Control+k")
    page.keyboard.type("libro", delay=120)
    assert page.locator("#palette-list [aria-selected=true]").inner_text().startswith("Libro diario")
    page.keyboard.press("Enter")
    page.wait_for_url("**/console/journal", wait_until="commit")


def test_letters_lead_to_rooms_unless_switched_off(open_page: Open) -> None:
    page = open_page("dashboard")
    page.evaluate("localStorage.setItem('nervio-letters', 'off')")
    page.keyboard.press("/")
    page.keyboard.press("Alt+Shift+KeyP")
    assert page.locator("#stop-dialog").get_attribute("open") is not None
    assert page.evaluate("document.activeElement.id") == "stop-reason"
    page.keyboard.press("Escape")
    _until(page, "document.activeElement === document.body")
    page.evaluate("localStorage.setItem('nervio-letters', 'on')")
    page.keyboard.press("g")
    page.wait_for_timeout(200)
    page.keyboard.press("s")
    page.wait_for_url("**/console/stock", wait_until="commit")


def test_the_theme_changes_without_a_reload_and_the_server_remembers(open_page: Open) -> None:
    page = open_page("dashboard")
    page.click("details.menu summary")
    page.check("#top-theme-dark", force=True)
    assert page.evaluate(
        "getComputedStyle(document.body).getPropertyValue('color-scheme') || matchMedia('all').matches"
    )
    assert page.get_attribute("#dark-sheet", "media") == "all"
    page.reload()
    assert page.get_attribute("#dark-sheet", "media") == "all"


def test_a_list_is_sorted_in_place_and_the_address_follows(open_page: Open) -> None:
    page = open_page("stock")
    page.evaluate("window.same = true")
    page.click('[data-focus="sort-name"]')
    page.wait_for_url("**/console/stock?*sort=name", wait_until="commit")
    _until(page, "document.activeElement.dataset.focus === 'sort-name'")
    assert page.evaluate("window.same") is True
    page.go_back()
    page.wait_for_url("**/console/stock", wait_until="commit")
    assert page.evaluate("window.same") is True


def test_a_part_that_loads_itself_again_is_replaced_only_when_it_says_something_new(open_page: Open) -> None:
    page = open_page("workers")
    page.evaluate("document.querySelector('#workers').same = true")
    with page.expect_response("**/console/workers"):
        pass
    page.wait_for_timeout(300)
    assert page.evaluate("document.querySelector('#workers').same") is True
    page.evaluate("document.querySelector('#workers tbody').textContent = ''")
    _until(page, "document.querySelector('#workers').same === undefined")
    assert page.locator("#workers tbody tr").count() == 3


def test_the_palette_leads_to_a_question(open_page: Open) -> None:
    page = open_page("dashboard")
    page.keyboard.press("Control+k")
    page.keyboard.type("pregun", delay=120)
    page.keyboard.press("Enter")
    page.wait_for_url("**/console/ask", wait_until="commit")


def test_a_column_is_left_out_in_place_and_its_menu_stays_open(open_page: Open) -> None:
    page = open_page("products")
    page.evaluate("document.querySelectorAll('dialog[open]').forEach((dialog) => dialog.close())")
    page.click("#list-columns > summary")
    page.check("#list-hide-category")
    page.wait_for_url("**/console/products?*hide=category", wait_until="commit")
    _until(page, "document.activeElement.id === 'list-hide-category'")
    assert page.evaluate("document.querySelector('#list-columns').open") is True


def test_a_stop_that_did_not_reach_the_server_is_never_shown_as_a_stop(open_page: Open) -> None:
    page = open_page("dashboard")
    page.click("[data-dialog=stop-dialog] >> visible=true")
    page.fill("#stop-reason", "fire")
    page.route("**/api/admin/emergency/freeze", lambda route: route.abort())
    page.keyboard.press("Tab")
    page.click("#stop-form [type=submit]")
    _until(page, "document.querySelector('#stop-form [data-status]').textContent.includes('nervio stop')")
    assert page.url.endswith("/console")


def test_a_sale_without_a_line_is_kept_with_its_key_and_counted(open_page: Open) -> None:
    page = open_page("sell")
    page.route("**/api/**", lambda route: route.abort())
    page.evaluate(
        """async (url) => {
            const { sell } = await import(url);
            window.answer = await sell({ location: "l", lines: [], payments: [], partial: false }, 1500);
        }""",
        PAGES.assets.url("js/offline.js"),
    )
    assert page.evaluate("window.answer") == {"kept": True}
    assert page.inner_text("[data-queue-text]") == "1 venta por enviar"
    page.reload()
    page.wait_for_selector("[data-queue]:not([hidden])")
    kept = page.evaluate(
        """async (url) => (await (await import(url)).waiting()).map(({ key, totalMinor }) => [key.length, totalMinor])""",
        PAGES.assets.url("js/offline.js"),
    )
    assert kept == [[36, 1500]]


@pytest.mark.parametrize(
    ("language", "code", "said"),
    [
        ("es", "product_off_sale", "Ese producto ya no se vende."),
        ("en", "product_off_sale", "That product is no longer sold."),
        ("es", "of_a_newer_server", "Its own words."),
    ],
)
def test_a_refusal_of_the_api_is_told_in_the_language_of_the_page(
    open_page: Open, language: str, code: str, said: str
) -> None:
    page = open_page("sell", language=language)
    problem = {"code": code, "kind": "conflict", "detail": "Its own words."}
    page.route("**/api/sales", lambda route: route.fulfill(status=409, json=problem))
    message = page.evaluate(
        """async (url) => (await import(url)).call("POST", "/api/sales", {}).catch((refused) => refused.message)""",
        PAGES.assets.url("js/api.js"),
    )
    assert message == said


@pytest.mark.parametrize(
    ("locale", "currency"),
    [
        ("es-AR", "ARS"), ("es-AR", "USD"), ("es-ES", "EUR"), ("es-MX", "MXN"), ("es-CL", "CLP"), ("es-CO", "COP"),
        ("es-PE", "PEN"), ("es-UY", "UYU"), ("en-GB", "GBP"), ("en-US", "USD"), ("pt-BR", "BRL"), ("en-GB", "KWD"),
    ],
)  # fmt: skip
def test_scripts_write_figures_exactly_as_the_server_does(open_page: Open, locale: str, currency: str) -> None:
    formats = Formats(locale, currency, "UTC", "es")
    page = open_page("error")
    amounts = [0, 5, 123, 99_950, 123_456, 1_234_567, 987_654_321, -45_000]
    quantities = [0, 1, 350, 1000, 12_500, 1_234_000, 98_765_432, -2500]
    written = page.evaluate(
        """async ([url, locale, pattern, exponent, amounts, quantities]) => {
            Object.assign(document.documentElement.dataset, { locale, money: pattern, exponent });
            const { money, quantity } = await import(`${url}?${locale}${exponent}`);
            return [amounts.map(money), quantities.map(quantity)];
        }""",
        [PAGES.assets.url("js/money.js"), locale, formats.money_pattern, formats.exponent, amounts, quantities],
    )
    assert written == [[formats.money(a) for a in amounts], [formats.quantity(q) for q in quantities]]


def test_the_basket_counts_as_the_ledger_does(open_page: Open) -> None:
    page = open_page("sell")
    result = page.evaluate(
        """async (url) => {
            const { Basket, Payment, likelyCash } = await import(url);
            const basket = new Basket(() => {});
            basket.add({ sku: "a", name: "A", unit_price_minor: 999 }, 350);
            basket.add({ sku: "b", name: "B", unit_price_minor: 1000 });
            basket.add({ sku: "b", name: "B", unit_price_minor: 1000 });
            const pay = new Payment(basket.totalMinor);
            const refused = [pay.add("card", 9999), pay.add("cash", 0)];
            pay.add("card", 350);
            pay.add("cash", 5000);
            return { total: basket.totalMinor, lines: basket.toRequest(), refused, change: pay.changeMinor,
                     payments: pay.toRequest(), likely: likelyCash(228900, 2) };
        }""",
        PAGES.assets.url("js/basket.js"),
    )
    assert result == {
        "total": 2350,
        "lines": [
            {"sku": "a", "quantity_milli": 350, "unit_price_minor": 999},
            {"sku": "b", "quantity_milli": 2000, "unit_price_minor": 1000},
        ],
        "refused": ["too_much", "nothing"],
        "change": 3000,
        "payments": [{"kind": "card", "amount_minor": 350}, {"kind": "cash", "amount_minor": 2000}],
        "likely": [250000, 300000, 500000],
    }


@pytest.mark.parametrize(
    ("typed", "minor"),
    [("1.234,56", 123456), ("1234,5", 123450), ("0,350", 35), ("12.5", 1250), ("1.234", 123400), ("", None), ("x", None),
     ("-2", -200), ("$ 1.000", 100000)],
)  # fmt: skip
def test_figures_are_read_as_people_type_them(open_page: Open, typed: str, minor: int | None) -> None:
    page = open_page("error")
    read = page.evaluate(
        "async ([url, text]) => (await import(url)).readFigure(text, 2)", [PAGES.assets.url("js/money.js"), typed]
    )
    assert read == minor

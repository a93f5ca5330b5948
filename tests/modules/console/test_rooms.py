"""Every page and form of the console over a real store: what it shows, what it books, and whom it turns away."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from nervio.kernel.ids import new_id
from nervio.kernel.quantity import UNIT
from nervio.modules.catalog import api as catalog
from nervio.modules.identity import api as identity
from nervio.modules.ledger import api as ledger
from nervio.modules.stock import api as stock
from nervio.web.pages import encode_cursor
from tests.modules.console.serving import EAN, YERBA, Shop, a_shop, another_shop, browser, token_in
from tests.runtime.program import a_program

PAGES = {
    "/console": "sales.read",
    "/console/sell": "sales.write",
    "/console/products": "catalog.read",
    "/console/products?edit=new": "catalog.read",
    "/console/stock": "stock.read",
    "/console/stock?level=critical": "stock.read",
    f"/console/stock/{YERBA}": "stock.read",
    "/console/receipts": "stock.write",
    "/console/receipts/new": "stock.write",
    "/console/journal": "ledger.read",
    "/console/journal?account=cash": "ledger.read",
    f"/console/journal?q={YERBA}": "ledger.read",
    "/console/journal/balances": "ledger.read",
    "/console/users": "identity.users.read",
    "/console/safety": "safety.read",
    "/console/safety/drills": "safety.read",
    "/console/safety/events": "events.read",
    "/console/safety/events?type=sale_recorded.v1": "events.read",
    "/console/setup": "catalog.write",
    "/console/password": "",
    "/console/safety/actions": "safety.read",
    "/console/tasks": "fleet.read",
    "/console/tasks?state=failed&kind=chat": "fleet.read",
    "/console/workers": "fleet.read",
    "/console/ask": "fleet.submit",
    "/console/limits": "fleet.read",
}
FORMS = {
    "/console/password": "",
    "/console/logout": "",
    "/console/products": "catalog.write",
    f"/console/products/{YERBA}": "catalog.write",
    f"/console/stock/{YERBA}/count": "stock.write",
    f"/console/stock/{YERBA}/adjust": "stock.write",
    f"/console/stock/{YERBA}/transfer": "stock.write",
    "/console/receipts": "stock.write",
    "/console/views/products": "catalog.read",
    "/console/views/journal/remove": "ledger.read",
    "/console/users": "identity.users.write",
    "/console/users/x/disable": "identity.users.write",
    "/console/users/x/enable": "identity.users.write",
    "/console/users/x/password": "identity.users.write",
    "/console/keys": "identity.keys.write",
    "/console/keys/x/revoke": "identity.keys.write",
    "/console/safety/events/dead/replay": "events.replay",
    "/console/safety/events/dead/x/replay": "events.replay",
    "/console/stop": "",
    "/console/stopped/x/resume": "",
    "/console/safety/stop": "safety.stop",
    "/console/safety/halts/x/thaw": "safety.read",
    "/console/safety/requests/x/confirm": "safety.read",
    "/console/safety/requests/x/refuse": "safety.read",
    "/console/safety/policy": "safety.policy",
    "/console/safety/drills": "safety.read",
    "/console/setup/empty": "catalog.write",
    "/console/setup/enter": "identity.tenants.write",
    "/console/setup/login": "identity.tenants.write",
    "/console/safety/actions/pause": "safety.pause_campaigns",
    "/console/safety/actions/resume": "safety.resume_campaigns",
    "/console/safety/actions/connections": "safety.manage_campaigns",
    "/console/safety/actions/campaigns": "safety.manage_campaigns",
    "/console/safety/actions/campaigns/x/check": "safety.manage_campaigns",
    "/console/safety/actions/alerts/x/acknowledge": "safety.acknowledge_alerts",
    "/console/safety/actions/destinations": "safety.manage_alerts",
    "/console/safety/actions/destinations/x/test": "safety.manage_alerts",
    "/console/ask": "fleet.submit",
    "/console/limits": "fleet.limit",
    "/console/tasks/x/cancel": "fleet.submit",
    "/console/tasks/x/retry": "fleet.submit",
    "/console/views/tasks": "fleet.read",
}


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with a_shop(tmp_path) as furnished:
        yield furnished


async def test_every_page_answers_in_both_languages_and_keeps_out_of_caches(shop: Shop) -> None:
    for language in ("es", "en"):
        shop.visitor.client.cookies.set("nervio_language", language)
        for path in PAGES:
            answer = await shop.visitor.client.get(path)
            assert answer.status_code == 200, (path, answer.text[:500])
            assert f'<html lang="{language}"' in answer.text
            assert answer.headers["cache-control"] == "private, no-store"
            assert "default-src 'self'" in answer.headers["content-security-policy"]


async def test_nobody_sees_a_page_without_logging_in_and_comes_back_to_it(shop: Shop) -> None:
    stranger = browser(shop.program)
    for path in PAGES:
        answer = await stranger.client.get(path)
        assert answer.status_code == 303, path
        assert answer.headers["location"].startswith("/console/login")
    for path in FORMS:
        assert (await stranger.client.post(path)).headers["location"] == "/console/login", path
    asked = await stranger.client.get("/console/journal?account=cash")
    assert asked.headers["location"] == "/console/login?next=/console/journal%3Faccount%3Dcash"


async def test_a_role_enters_the_rooms_its_permissions_open_and_no_others(shop: Shop) -> None:
    for role in ("cashier", "deposito", "negocio"):
        visitor, held = await shop.as_role(role), shop.program.app.permissions
        for path, permission in PAGES.items():
            answer = await visitor.client.get(path)
            if not permission or role in held[permission]:
                assert answer.status_code == 200, (role, path)
            elif path == "/console":
                assert answer.headers["location"] == "/console/products", role
            else:
                assert answer.status_code == 403, (role, path)
                assert "Not allowed" in answer.text
        token = token_in((await visitor.get("/console/stock")).text)
        for path, permission in FORMS.items():
            if permission and role not in held[permission]:
                answer = await visitor.client.post(path, data={"csrf": token})
                assert answer.status_code == 403, (role, path)


async def test_a_form_without_the_token_of_its_session_does_nothing(shop: Shop) -> None:
    other = await shop.as_role("admin")
    stolen = token_in((await other.get("/console/stock")).text)
    for path in FORMS:
        for data in ({}, {"csrf": ""}, {"csrf": stolen}):
            answer = await shop.visitor.client.post(path, data=data)
            assert answer.status_code == 403, path
            assert "went stale" in answer.text
    assert (await shop.visitor.client.post("/console/setup/demo")).status_code == 403
    await shop.program.app.halt_watch.refresh()
    assert not shop.program.app.halt_watch.in_force


async def test_no_page_shows_another_shop_s_data(shop: Shop) -> None:
    theirs = await another_shop(shop)
    entry = (await ledger.list_entries(theirs, kind="receipt"))[0]
    for path in PAGES:
        text = (await shop.visitor.get(path)).text
        assert "THEIRS" not in text and "Their" not in text, path
    for path in (
        "/console/stock/THEIRS-1",
        "/console/products?edit=THEIRS-1",
        f"/console/journal/{entry.id}",
        f"/console/journal/of/{entry.document_id}",
        "/console/journal?sku=THEIRS-1",
    ):
        assert (await shop.visitor.get(path)).status_code == 404, path


async def test_a_wrong_password_is_told_so_and_a_right_one_leads_on(shop: Shop) -> None:
    stranger = browser(shop.program)
    wrong = await stranger.log_in(shop.program.email, "not this one at all")
    assert wrong.status_code == 401
    assert "Wrong user name or password." in wrong.text
    right = await stranger.post(
        "/console/login", "/console/login", username=shop.program.email, password=shop.program.password,
        next="https://evil.example/console",
    )  # fmt: skip
    assert right.url.path == "/console"
    out = await stranger.post("/console/logout", "/console")
    assert out.url.path == "/console/login"
    assert (await stranger.client.get("/console")).status_code == 303


async def test_one_s_own_password_is_changed_with_a_form_and_other_browsers_are_logged_out(shop: Shop) -> None:
    cashier, other = await shop.as_role("cashier"), browser(shop.program)
    await other.log_in("cashier@example.com", "four words of my own")
    page, new = "/console/password", "five words nobody knows yet "

    async def change(current: str, password: str, again: str) -> httpx.Response:
        return await cashier.post(page, page, current=current, password=password, again=again)

    for given, said in (
        (("", "", ""), "This has to be filled in."),
        (("four words of my own", new, new.strip()), "This is not the same as above."),
        (("wrong words of mine", new, new), "That is not your current password."),
        (("four words of my own", "short", "short"), "at least 10 characters"),
    ):
        answer = await change(*given)
        assert answer.status_code == 422 and said in answer.text, (given, answer.text)
    assert (await other.client.get("/console/sell")).status_code == 200
    done = await change("four words of my own", new, new)
    assert done.status_code == 200 and "Password changed." in done.text
    assert (await cashier.client.get("/console/sell")).status_code == 200
    assert (await other.client.get("/console/sell")).status_code == 303
    assert (await other.log_in("cashier@example.com", "four words of my own")).status_code == 401
    assert (await other.log_in("cashier@example.com", new)).status_code == 200
    tries = [await change("wrong words of mine", new + "!", new + "!") for _ in range(11)]
    assert [answer.status_code for answer in tries] == [422] * 10 + [429]
    assert "Too many attempts" in tries[-1].text


async def test_the_dashboard_shows_the_day_and_leads_to_the_entries(shop: Shop) -> None:
    text = (await shop.visitor.get("/console")).text
    assert 'data-live="sales_today">$\xa05.700,00<' in text
    assert 'data-live="tickets_today">1<' in text
    ticket = re.search(r'href="(/console/journal/of/[^"]+)"', text)
    assert ticket is not None
    entry = (await shop.visitor.get(ticket[1])).text
    assert "T-1" in entry and "Yerba mate" in entry and "Cash" in entry


async def test_a_product_is_created_and_changed_with_what_the_form_does_not_show_kept(shop: Shop) -> None:
    new = {"sku": "CAF-1", "name": "Café", "barcodes": "7790895000997", "price": "1.250,50", "tax": "10,5",
           "category": "Almacén", "critical": "6", "by_lot": "1"}  # fmt: skip
    made = await shop.visitor.post("/console/products", "/console/products", **new)
    assert made.status_code == 200 and "CAF-1" in made.text
    product = await catalog.get_product(shop.ctx, "CAF-1")
    assert (product.price_minor, product.tax_rate_bp, product.by_lot) == (125_050, 1050, True)
    assert (await stock.get_levels(shop.ctx, product.id))[0].critical_level == 6 * UNIT
    again = await shop.visitor.post("/console/products", "/console/products", **new)
    assert again.status_code == 422 and "There is a product with that SKU already." in again.text
    changed = {"name": "Café molido", "price": "1300", "barcodes": EAN, "category": "", "active": "1"}
    taken = await shop.visitor.post("/console/products/CAF-1", "/console/products", **changed)
    assert taken.status_code == 422 and "That barcode belongs to another product." in taken.text
    await shop.visitor.post("/console/products/CAF-1", "/console/products", **{**changed, "barcodes": ""})
    product = await catalog.get_product(shop.ctx, "CAF-1")
    assert (product.name, product.price_minor, product.by_lot, product.active) == ("Café molido", 130_000, True, True)
    bad = await shop.visitor.post("/console/products", "/console/products", sku="", name="", price="abc", tax="200")
    assert bad.status_code == 422 and bad.text.count("field-error") == 4


async def test_counting_adjusting_and_moving_are_booked_and_shown(shop: Shop) -> None:
    page = f"/console/stock/{YERBA}"
    counted = await shop.visitor.post(
        f"{page}/count", page, location_id=shop.location_id, counted="20,5", note="shelf 3"
    )
    assert counted.url.path == page
    await shop.visitor.post(f"{page}/adjust", page, location_id=shop.location_id, change="-0,5", reason="damage")
    await shop.visitor.post(f"{page}/transfer", page, from_id=shop.location_id, to_id="DEP", quantity="5")
    levels = {level.location_code: level.on_hand for level in await stock.get_levels(shop.ctx, YERBA)}
    assert levels == {"SALON": 15_000, "DEP": 5_000}
    text = (await shop.visitor.get(page)).text
    for kind in ("Count", "Adjustment", "Transfer in", "Transfer out", "Sale", "Receipt"):
        assert f'<th scope="row">{kind}<' in text, kind
    short = await shop.visitor.post(f"{page}/adjust", page, location_id=shop.location_id, change="-99", reason="theft")
    assert short.status_code == 422 and "There is not enough stock." in short.text
    for action, fields in {
        "count": {"counted": "x"},
        "adjust": {"change": "0"},
        "transfer": {"quantity": "-1"},
    }.items():
        refused = await shop.visitor.post(f"{page}/{action}", page, **fields)
        assert refused.status_code == 422 and f'id="{action}-dialog" class="sheet " aria-labelledby' in refused.text
    here = {"from_id": shop.location_id, "to_id": shop.location_id, "quantity": "1"}
    assert (await shop.visitor.post(f"{page}/transfer", page, **here)).status_code == 422


async def test_a_receipt_is_booked_once_and_a_bad_line_keeps_what_was_typed(shop: Shop) -> None:
    new = "/console/receipts/new"
    key = re.search(r'name="key" value="([^"]+)"', (await shop.visitor.get(new)).text)
    assert key is not None
    given = {"key": key[1], "location_id": shop.location_id, "supplier": "Molinos", "document": "0001-77"}
    lines = {"sku": [EAN, YERBA], "quantity": ["12", "x"], "lot": ["", ""], "expires": ["", ""]}
    bad = await shop.visitor.post("/console/receipts", new, **given, **lines)
    assert bad.status_code == 422 and 'value="Molinos"' in bad.text and 'value="12"' in bad.text
    lines["quantity"] = ["12", "1"]
    for _ in range(2):
        booked = await shop.visitor.post("/console/receipts", new, **given, **lines)
        assert booked.url.path == "/console/receipts" and "0001-77" in booked.text and "Molinos" in booked.text
    assert (await stock.get_levels(shop.ctx, YERBA))[0].on_hand == 35_000
    found = await shop.visitor.get("/console/receipts?q=0001-77")
    assert "0001-77" in found.text and "R-1<" not in found.text
    assert (await shop.visitor.post("/console/receipts", new, **given)).status_code == 422


async def test_lists_page_by_page_and_as_csv(shop: Shop) -> None:
    for _ in range(52):
        document = f"/console/stock/{YERBA}"
        await shop.visitor.post(
            f"{document}/adjust", document, location_id=shop.location_id, change="1", reason="found"
        )
    seen: list[str] = []
    for start in ("/console/journal?kind=adjustment", f"/console/stock/{YERBA}"):
        text = (await shop.visitor.get(start)).text
        following = re.search(r'href="([^"]*cursor=[^"]+)"', text)
        assert following is not None
        path = following[1].replace("&amp;", "&")
        rest = await shop.visitor.get(start + path if path.startswith("?") else path)
        assert rest.status_code == 200
        seen.append(rest.text)
    assert seen[0].count("<tr>") == 3  # two entries and the heading
    # The balance is carried over the page break: the oldest movement left what the receipt brought.
    assert re.findall(r">([\d.,]+)</a></td>\s*</tr>\s*</tbody>", seen[1].partition('id="movements"')[2])[0] == "24"
    for path in ("products", "stock", f"stock/{YERBA}", "receipts", "journal"):
        csv = await shop.visitor.get(f"/console/{path}?format=csv")
        assert csv.headers["content-type"].startswith("text/csv"), path
        assert len(csv.text.splitlines()) > 1
    assert (await shop.visitor.get("/console/journal?cursor=nonsense")).status_code == 422
    for figure in ("²", "--5", "9" * 1_000):
        odd = encode_cursor(new_id(), 0, True, f"{shop.location_id}={figure}")
        assert (await shop.visitor.get(f"/console/stock/{YERBA}?cursor={odd}")).status_code == 200


async def test_people_and_keys_are_made_shown_once_and_ended(shop: Shop) -> None:
    users = "/console/users"
    made = await shop.visitor.post(users, users, name="Rocío", email="rocio@example.com", role="cashier")
    password = re.search(r'id="new-password">([^<]+)<', made.text)
    assert password is not None
    assert (await browser(shop.program).log_in("rocio@example.com", password[1])).status_code == 200
    assert password[1] not in (await shop.visitor.get(users)).text
    again = await shop.visitor.post(users, users, name="Rocío", email="rocio@example.com", role="cashier")
    assert again.status_code == 422 and "There is a user with that email already." in again.text
    user = next(u for u in await identity.list_users(shop.ctx) if u.email == "rocio@example.com")
    off = await shop.visitor.post(f"{users}/{user.id}/disable", users)
    assert "Disabled" in off.text
    assert "Disabled" not in (await shop.visitor.post(f"{users}/{user.id}/enable", users)).text
    reset = await shop.visitor.post(f"{users}/{user.id}/password", users)
    assert 'id="new-password"' in reset.text and password[1] not in reset.text
    key = await shop.visitor.post("/console/keys", users, name="Scale", role="deposito")
    assert 'id="new-key"' in key.text
    (held,) = await identity.list_api_keys(shop.ctx)
    assert "Scale" not in (await shop.visitor.post(f"/console/keys/{held.id}/revoke", users)).text
    admin = await shop.as_role("admin")
    forbidden = await admin.post(users, users, name="Boss", email="boss@example.com", role="superadmin")
    assert forbidden.status_code in {403, 422}
    assert all(u.email != "boss@example.com" for u in await identity.list_users(shop.ctx))


async def test_the_stop_without_scripts_every_page_says_so_and_the_shop_goes_on(shop: Shop) -> None:
    cashier = await shop.as_role("cashier")
    stopped = await cashier.post("/console/stop", "/console/sell", reason="wrong prices in aisle 4")
    assert stopped.url.path == "/console/stopped" and "wrong prices in aisle 4" in stopped.text
    assert "Your role may stop, but not resume." in stopped.text
    instead = await shop.visitor.client.get("/console/journal")
    assert instead.status_code == 503 and "wrong prices in aisle 4" in instead.text
    assert instead.headers["retry-after"] == "5"
    resume = re.search(r'action="(/console/stopped/[^"]+/resume)"', instead.text)
    assert resume is not None
    blank = await shop.visitor.post(resume[1], "/console/stopped", note="")
    assert blank.status_code == 422
    refused = await cashier.post(resume[1], "/console/stopped", note="let me")
    assert refused.status_code == 403
    on = await shop.visitor.post(resume[1], "/console/stopped", note="prices checked")
    assert on.url.path == "/console"
    assert (await cashier.get("/console/sell")).status_code == 200


async def test_the_first_start_offers_a_demo_shop_or_an_empty_one(tmp_path: Path) -> None:
    async with a_program(tmp_path) as program:
        visitor = browser(program)
        first = await visitor.log_in(program.email, program.password)
        assert first.url.path == "/console/setup"
        assert "17,946" in first.text.replace(".", ",") and 'id="demo-start"' in first.text
        progress = await visitor.client.get("/console/setup/demo")
        assert progress.json() == {"state": None, "done": 0, "total": 0}
        started = await visitor.post("/console/setup/empty", "/console/setup")
        assert started.url.path == "/console/products" and 'id="edit-dialog"' in started.text
        assert (await visitor.get("/console")).url.path == "/console"


async def test_what_is_not_there_and_what_needs_no_session(shop: Shop) -> None:
    missing = await shop.visitor.get("/console/nowhere/at/all")
    assert missing.status_code == 404 and "Not found" in missing.text
    assert (await shop.visitor.get("/console/journal/not-an-id")).status_code == 404
    stranger = browser(shop.program)
    assert (await stranger.get("/console/offline")).status_code == 200
    worker = await stranger.get("/console/sw.js")
    assert worker.headers["service-worker-allowed"] == "/console"
    sheet = re.search(r'href="(/static/[^"]+base\.css)"', (await stranger.get("/console/login")).text)
    assert sheet is not None
    asset = await stranger.get(sheet[1])
    assert asset.headers["content-type"].startswith("text/css") and "immutable" in asset.headers["cache-control"]
    assert (await stranger.get("/static/0000000000000000/css/base.css")).status_code == 404
    assert (await stranger.get("/")).url.path == "/console/login"

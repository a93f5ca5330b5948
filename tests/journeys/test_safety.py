"""The stop and the events in real browsers against the real server: two people agree on a thaw, a page follows what happens."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.journeys.browsing import PATIENCE_MS, go, visit
from tests.runtime.program import Server

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SECOND, PASSWORD = "ana@example.com", "correct horse battery"


@pytest.fixture(scope="module")
def headers(server: Server) -> dict[str, str]:
    return server.login()


def call(server: Server, headers: dict[str, str], method: str, path: str, body: dict[str, Any]) -> Any:
    """A request that must succeed."""
    reply = server.call(method, path, body, headers)
    assert reply.status < 300, reply.body
    return reply.json()


def test_a_second_person_confirms_a_thaw_and_the_first_sees_it(
    browser: Browser, server: Server, headers: dict[str, str]
) -> None:
    user = {"email": SECOND, "name": "Ana", "roles": ["admin"], "password": PASSWORD}
    call(server, headers, "POST", "/api/users", user)
    first, second = visit(browser, server), visit(browser, server, SECOND, PASSWORD)
    page, other = first.new_page(), second.new_page()
    go(page, "/console/safety")
    page.select_option("#two-tenant", "yes")
    page.fill("#stage-tenant", "0")
    page.fill("#jitter-tenant", "0")
    page.click("section:has(#two-tenant) form button[type=submit]")
    page.wait_for_url("**/console/safety", wait_until="commit")
    go(page, "/console/safety")
    page.click("[data-dialog=part-dialog]")
    page.select_option("#part-level", "all")
    page.fill("#part-reason", "Precios mal cargados")
    page.click("#part-dialog button[type=submit]")
    expect(page.locator("main section strong")).to_have_text("Precios mal cargados")
    page.fill("main textarea[id^=note-]", "Precios revisados")
    page.click("main button[value=policy]")
    expect(page.locator("section[aria-labelledby^=request-]")).to_be_visible()
    expect(page.locator("section[aria-labelledby^=request-] .button-main")).to_have_count(0)  # not one's own
    go(other, "/console/safety")
    request = other.locator("section[aria-labelledby^=request-]")
    request.locator("textarea").fill("Yo también los miré")
    request.locator(".button-main").click()
    expect(request).to_have_count(0)
    expect(other.locator("section[aria-labelledby^=halt-]")).to_have_count(0)
    expect(page.locator("#banner")).to_have_text("", timeout=PATIENCE_MS)
    call(server, headers, "POST", "/api/locations", {"code": "OK", "name": "It goes on"})
    first.close()
    second.close()


def test_the_events_page_follows_what_happens_without_a_reload(
    browser: Browser, server: Server, headers: dict[str, str]
) -> None:
    context = visit(browser, server)
    page = context.new_page()
    go(page, "/console/safety/events")
    page.evaluate("window.stayed = true")
    newest = page.locator("#events tbody tr").first
    before = newest.inner_text()
    stop = {"reason": "seen live", "scope": "tenant", "module": "stock", "for_seconds": 600}
    call(server, headers, "POST", "/api/admin/emergency/freeze", stop)
    expect(newest).not_to_have_text(before, timeout=PATIENCE_MS)
    expect(newest).to_contain_text("seen live")
    assert page.evaluate("window.stayed") is True
    context.close()

"""The API browser at /docs in a real browser: under the strict policy, without a network beyond the server."""

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.runtime.program import a_server

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
RULES = "async () => (await axe.run()).violations.map((v) => `${v.id}: ${v.nodes[0].html}`)"


@pytest.fixture
def page(tmp_path: Path, free_port: int, chromium_path: str) -> Iterator[Page]:
    """The page, open in Spanish; what its console complains of fails the test."""
    complaints: list[str] = []
    with a_server(tmp_path, free_port, "serve", "--roles", "web") as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path, args=["--no-sandbox", "--disable-gpu"])
        opened = browser.new_page(base_url=server.url, locale="es-AR")
        opened.set_default_timeout(30_000)
        opened.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        opened.goto("/docs")
        yield opened
        browser.close()
    assert complaints == []


@pytest.mark.slow
@pytest.mark.browser
def test_operations_are_found_read_and_tried(page: Page) -> None:
    expect(page.locator("details.operation").first).to_be_visible()
    assert page.locator("html").get_attribute("lang") == "es"
    everything = page.locator("details.operation:visible").count()
    page.fill("#find", "get /api/health/database")
    expect(page.locator("details.operation:visible")).to_have_count(1)
    assert everything > 30
    page.click("details.operation:visible > summary")
    page.click("details.operation:visible form.try button")
    expect(page.locator("details.operation:visible form.try + div")).to_contain_text('"backend": "sqlite"')
    page.fill("#find", "post /api/sales")
    page.click("details.operation:visible > summary >> nth=0")
    expect(page.locator("details.operation[open]:visible").first).to_contain_text("quantity_milli")
    # Only what reads can be tried here: a page must not sell by a slip of the finger.
    expect(page.locator("details.operation[open]:visible form.try")).to_have_count(0)
    page.evaluate(AXE)
    assert page.evaluate(RULES) == []

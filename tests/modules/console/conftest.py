"""A browser that opens the console's pages straight from `Pages`: no server, no API, only what the shell itself does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, sync_playwright

from nervio.modules.console.shell import Pages
from nervio.runtime.http.middleware import SECURITY_HEADERS
from tests import services
from tests.modules.console import samples

# A name that resolves to this machine only, and counts as secure without a certificate.
ORIGIN = "http://localhost"
PAGES = Pages()
DESKTOP = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One headless Chromium for a file of tests. No longer: while it is open its event loop counts as running, and
    asynchronous tests of other files could not start theirs."""
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    # A camera that shows a test picture, for the page that asks for one and is allowed to.
    flags += ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=services.chromium(), args=flags)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[BrowserContext]:
    """One visitor, with cookies of their own; requests are answered from memory."""
    context = browser.new_context(
        viewport={"width": 1440, "height": 900}, service_workers="block", locale="es-AR", reduced_motion="reduce"
    )
    context.route("**/*", _answer)
    yield context
    context.close()


@pytest.fixture
def complaints() -> list[str]:
    """What the browser complained of: broken scripts, things that the policy refused."""
    return []


@pytest.fixture
def open_page(visit: BrowserContext, complaints: list[str]) -> Open:
    """Open a page by its name, ready to be used; the language and theme are those of the cookies."""

    def open_it(name: str, *, language: str = "es", theme: str = "light") -> Page:
        for cookie, value in (("nervio_language", language), ("nervio_theme", theme)):
            visit.add_cookies([{"name": cookie, "value": value, "url": ORIGIN}])
        page = visit.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text) if _is_ours(message.text) else None)
        page.goto(ORIGIN + samples.PATHS[name])
        page.wait_for_selector("html[data-ready=true]", state="attached")
        return page

    return open_it


def _is_ours(text: str) -> bool:
    return "Content Security Policy" in text or "Refused to" in text


def _answer(route: Route) -> None:
    request = route.request
    path = urlsplit(request.url).path
    if path.startswith("/static/"):
        _, _, fingerprint, name = path.split("/", 3)
        asset = PAGES.assets.find(fingerprint, name)
        if asset is None:
            route.fulfill(status=404)
        else:
            route.fulfill(body=asset.body, content_type=asset.content_type)
        return
    named = next((name for name, known in samples.PATHS.items() if known == path), None)
    if named is None:
        route.fulfill(status=503, content_type="application/json", body="{}")
        return
    cookies = dict(pair.split("=", 1) for pair in request.headers.get("cookie", "").split("; ") if "=" in pair)
    language, theme = cookies.get("nervio_language", "es"), cookies.get("nervio_theme", "auto")
    html = PAGES.render(
        named, samples.page_shell(named, language, theme), samples.context(named, PAGES.texts[language])
    )
    headers = {name.decode(): value.decode() for name, value in SECURITY_HEADERS}
    route.fulfill(body=html, content_type="text/html; charset=utf-8", headers=headers)

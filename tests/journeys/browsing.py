"""People with browsers before a real server."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page

from tests.runtime.program import Server

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP = {"width": 1440, "height": 900}
PATIENCE_MS = 30_000
OWNER = "admin@nervio.local"


def visit(browser: Browser, server: Server, email: str = OWNER, password: str = "", **looks: Any) -> BrowserContext:
    """A browser of somebody who is logged in."""
    given = {"viewport": DESKTOP, "locale": "es-AR", "reduced_motion": "reduce", **looks}
    context = browser.new_context(base_url=server.url, **given)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto("/")
    page.fill("#username", email)
    page.fill("#password", password or server.first_password())
    page.click("button[type=submit]")
    page.wait_for_url(re.compile(r"/console(/setup)?$"), wait_until="commit")
    ready(page)
    page.close()
    return context


def go(page: Page, path: str) -> None:
    """Opens a page and waits until its scripts are there."""
    page.goto(path)
    ready(page)


def ready(page: Page) -> None:
    """Waits until the page's scripts are there. Closing a page while it still loads may wait for ever, without a time-out."""
    page.wait_for_selector("html[data-ready=true]", state="attached")

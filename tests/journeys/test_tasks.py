"""Asking AI in a real browser against the real server: the answer appears by itself, another question is cancelled."""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, WebSocketRoute, expect

from tests.journeys.answering_server import COUNTED, WORKER
from tests.journeys.browsing import PATIENCE_MS, go, ready, visit
from tests.runtime.program import Server, a_server

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose own worker answers questions."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    path = os.pathsep.join(sys.path)
    folder, module = tmp_path_factory.mktemp("shop"), "tests.journeys.answering_server"
    with a_server(folder, port, module=module, PYTHONPATH=path) as running:
        yield running


@pytest.fixture(scope="module")
def shop(browser: Browser, server: Server) -> Iterator[BrowserContext]:
    """A browser in Spanish, in a shop that is empty and wants to stay so."""
    context = visit(browser, server)
    yield context
    context.close()


def ask(page: Page, question: str) -> None:
    """Asks with the keyboard alone, and comes to the page of the task."""
    go(page, "/console/ask")
    expect(page.locator("#question")).to_be_focused()
    page.keyboard.insert_text(question)  # keys as fast as a test presses them are a scanner's
    for _ in range(3):  # the model, the priority, the button
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/console/tasks/[0-9a-f-]{36}$"), wait_until="commit")
    ready(page)


def test_a_question_is_asked_and_its_answer_appears_without_a_reload(shop: BrowserContext) -> None:
    page = shop.new_page()
    ask(page, "¿Cuánta yerba <b>queda</b>?")
    page.evaluate("window.stayed = true")
    status = page.locator("#task-status")
    expect(status).to_contain_text("Eso se responde así: ¿Cuánta yerba <b>queda</b>?", timeout=PATIENCE_MS)
    expect(status).to_contain_text(f"La hizo {WORKER}.")
    expect(page.locator("#task-details")).to_contain_text("Tokens escritos", timeout=PATIENCE_MS)
    expect(page.locator("[data-again]")).to_have_count(0)
    assert page.evaluate("window.stayed") is True
    page.close()


def test_another_question_is_cancelled_and_tried_again_by_keyboard(shop: BrowserContext) -> None:
    page = shop.new_page()
    page.on("dialog", lambda dialog: dialog.accept())
    ask(page, "¿Cuándo? nunca")
    status = page.locator("#task-status")
    expect(status).to_contain_text(f"La está haciendo {WORKER}", timeout=PATIENCE_MS)
    page.locator("#task-cancel").press("Enter")
    expect(status).to_contain_text("Alguien la canceló.")
    ready(page)
    page.locator("#task-retry").press("Enter")
    expect(status).to_contain_text("En curso", timeout=PATIENCE_MS)
    expect(page.locator("#task-details .trail li")).to_have_count(2, timeout=PATIENCE_MS)
    page.locator("#task-cancel").press("Enter")
    expect(status).to_contain_text("Alguien la canceló.")
    page.close()


def counted(page: Page) -> list[int]:
    """The numbers of an answer so far; a part that came twice, or not at all, would show."""
    numbers = [int(word) for word in page.locator("#task-live [data-text]").inner_text().split()]
    assert numbers == list(range(1, len(numbers) + 1))
    return numbers


def test_an_answer_is_written_as_it_comes_and_goes_on_after_a_cut_line_and_a_reload(
    browser: Browser, server: Server
) -> None:
    context = visit(browser, server)
    page = context.new_page()
    # Lines go through here, so that they can be cut.
    lines: list[WebSocketRoute] = []

    def connect(line: WebSocketRoute) -> None:
        lines.append(line)
        line.connect_to_server()

    page.route_web_socket(re.compile("/api/tasks/live$"), connect)
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    ask(page, "contá, por favor")
    text = page.locator("#task-live [data-text]")
    expect(text).to_contain_text(" 12 ", timeout=PATIENCE_MS)
    expect(page.locator("[aria-live] [data-text]")).to_have_count(0)
    assert page.locator("#task-cancel").is_hidden(), "one button is enough"
    lines[-1].close(code=1001)
    before = len(counted(page))
    expect(text).to_contain_text(f" {before + 20} ", timeout=PATIENCE_MS)
    assert len(lines) == 2
    counted(page)
    page.reload()
    expect(text).to_contain_text(
        f"1 2 3 4 5 6 7 8 9 10 {' '.join(map(str, range(11, before + 25)))} ", timeout=PATIENCE_MS
    )
    counted(page)
    status = page.locator("#task-status")
    expect(status).to_contain_text(" ".join(map(str, range(1, COUNTED + 1))), timeout=PATIENCE_MS)
    expect(page.locator("#task-live")).to_have_count(0)
    assert faults == []
    context.close()


def test_an_answer_is_cancelled_while_it_is_written_and_what_there_was_stays(shop: BrowserContext) -> None:
    page = shop.new_page()
    ask(page, "contá otra vez")
    expect(page.locator("#task-live [data-text]")).to_contain_text(" 5 ", timeout=PATIENCE_MS)
    page.locator("#task-stop").press("Enter")
    expect(page.locator("#task-status")).to_contain_text("Alguien la canceló.", timeout=PATIENCE_MS)
    expect(page.locator("#task-live")).to_contain_text("Hasta acá había llegado")
    expect(page.locator("#task-retry")).to_be_focused()
    assert 5 <= len(counted(page)) < COUNTED
    page.close()


def test_a_stop_says_why_the_answer_waits_and_it_goes_on_afterwards(shop: BrowserContext, server: Server) -> None:
    page = shop.new_page()
    ask(page, "contá despacio")
    expect(page.locator("#task-live [data-text]")).to_contain_text(" 5 ", timeout=PATIENCE_MS)
    headers = server.login()
    assert server.call("POST", "/api/admin/emergency/freeze", {"reason": "prueba"}, headers).status < 300
    expect(page.locator("#task-live [data-note]")).to_contain_text("parada", ignore_case=True, timeout=PATIENCE_MS)
    assert server.call("POST", "/api/admin/emergency/unfreeze", {"reason": "listo"}, headers).status < 300
    expect(page.locator("#task-status")).to_contain_text(" 99 100", timeout=PATIENCE_MS)
    page.close()


def test_the_list_and_the_workers_tell_of_it_on_a_phone_too(
    shop: BrowserContext, browser: Browser, server: Server
) -> None:
    phone = visit(browser, server, viewport=PHONE, has_touch=True)
    page = phone.new_page()
    go(page, "/console/tasks")
    page.select_option("#list-state", "cancelled")
    page.wait_for_url("**/console/tasks?state=cancelled", wait_until="commit")
    expect(page.locator("#list tbody tr")).to_have_count(2)
    expect(page.locator("#list tbody")).to_contain_text("¿Cuándo? nunca")
    page.click("#list tbody a")
    page.wait_for_url(re.compile(r"/console/tasks/[0-9a-f-]{36}$"), wait_until="commit")
    ready(page)
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    go(page, "/console/workers")
    expect(page.locator("#workers")).to_contain_text(WORKER)
    expect(page.locator("main")).to_contain_text("Primera impresión", timeout=PATIENCE_MS)
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    phone.close()

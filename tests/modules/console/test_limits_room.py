"""Limits and spend in the console: what is left, what was spent, and limits typed as people type them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from nervio.modules.console.formatting import Formats
from nervio.modules.console.i18n import load_texts
from nervio.modules.console.rooms.limits.fields import draw, read
from nervio.modules.console.shell import Pages, Person
from nervio.modules.fleet import api as fleet
from nervio.modules.fleet.contracts import Limits, MoneyLimit
from tests.modules.console import samples
from tests.modules.console.fleet_samples import limits as sampled
from tests.modules.console.serving import Shop, a_shop, another_shop
from tests.modules.console.test_fleet_rooms import a_question, ended
from tests.modules.fleet.spending import a_usage

LIMITS = "/console/limits"
PAGES = Pages()
TEXTS = load_texts()["es"]
ARGENTINE = Formats("es-AR", "ARS", "UTC", "es")
MEXICAN = Formats("es-MX", "MXN", "UTC", "es")


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with a_shop(tmp_path) as furnished:
        yield furnished


async def key_of(shop: Shop) -> str:
    found = re.search(r'name="key" value="([^"]+)"', (await shop.visitor.get(LIMITS)).text)
    assert found is not None
    return found[1]


@pytest.mark.parametrize(
    ("formats", "typed", "limits"),
    [
        (ARGENTINE, {}, Limits()),
        (ARGENTINE, {"tasks_per_day": "5.000", "most_running": "0"}, Limits(tasks_per_day=5000, most_running=0)),
        (
            ARGENTINE,
            {"money_0_currency": "usd", "money_0_per_day": "12,5"},
            Limits(money=(MoneyLimit("USD", 12_500_000),)),
        ),
        (
            MEXICAN,
            {"money_3_currency": "USD", "money_3_per_month": "0.000001"},
            Limits(money=(MoneyLimit("USD", None, 1),)),
        ),
        (ARGENTINE, {"money_0_currency": "EUR"}, Limits(money=(MoneyLimit("EUR"),))),
    ],
)
def test_what_is_typed_becomes_limits(formats: Formats, typed: dict[str, str], limits: Limits) -> None:
    assert read(formats, typed, TEXTS) == (limits, {})


@pytest.mark.parametrize(
    ("typed", "fields"),
    [
        ({"tasks_per_day": "many"}, {"tasks_per_day"}),
        ({"tasks_per_day": "5x"}, {"tasks_per_day"}),
        ({"tasks_per_day": "-5"}, {"tasks_per_day"}),
        ({"tokens_per_day": "1,5"}, {"tokens_per_day"}),
        ({"most_running": "9" * 50}, {"most_running"}),
        ({"money_0_per_day": "5"}, {"money_0_currency"}),
        ({"money_0_currency": "US", "money_0_per_day": "1,0000001"}, {"money_0_currency", "money_0_per_day"}),
        ({"money_0_currency": "USD", "money_1_currency": "usd", "money_1_per_day": "1"}, {"money_1_currency"}),
    ],
)
def test_what_is_no_limit_is_said_at_its_field(typed: dict[str, str], fields: set[str]) -> None:
    limits, errors = read(ARGENTINE, typed, TEXTS)
    assert limits is None
    assert errors.keys() == fields


@pytest.mark.parametrize("formats", [ARGENTINE, MEXICAN])
def test_a_form_that_is_sent_as_it_was_drawn_changes_nothing(formats: Formats) -> None:
    limits = Limits(1234567, None, 0, None, 4, (MoneyLimit("CLP", 10**12), MoneyLimit("USD", 1, 20_500_000)))
    assert read(formats, draw(formats, limits), TEXTS) == (limits, {})


async def test_limits_are_set_once_and_shown_with_what_is_left(shop: Shop) -> None:
    assert "There are no limits" in (await shop.visitor.get(LIMITS)).text
    await ended(shop, a_question(), usage=a_usage(1_234_567))
    typed = {
        "tasks_per_day": "1",
        "most_running": "2",
        "money_0_currency": "usd",
        "money_0_per_month": "20",
        "key": await key_of(shop),
    }

    saved = await shop.visitor.post(LIMITS, LIMITS, **typed)

    assert saved.status_code == 200 and "The new limits are in force." in saved.text
    limits = (await fleet.get_limits(shop.ctx)).limits
    assert limits == Limits(tasks_per_day=1, most_running=2, money=(MoneyLimit("USD", None, 20_000_000),))
    for words in ("Used up", "US$\u00a01,234567", "of\u00a0US$\u00a020,00", "0</strong>", "Changed by"):
        assert words in saved.text, words
    again = await shop.visitor.post(LIMITS, LIMITS, **typed)
    assert again.status_code == 200
    other = await shop.visitor.post(LIMITS, LIMITS, **{**typed, "tasks_per_day": "9"})
    assert other.status_code == 422 and "That request was sent before" in other.text
    refused = await shop.visitor.post("/console/ask", "/console/ask", question="¿Y ahora?", model="", priority="normal")
    assert refused.status_code == 422 and "reached its limit of AI tasks for today" in refused.text


async def test_what_is_wrong_stands_at_its_field_and_changes_nothing(shop: Shop) -> None:
    wrong = {"tasks_per_day": "lots", "money_0_currency": "USD", "money_0_per_day": "1,2,3"}
    refused = await shop.visitor.post(LIMITS, LIMITS, **wrong)
    assert refused.status_code == 422
    assert 'id="tasks_per_day-error"' in refused.text and 'value="lots"' in refused.text
    assert (await fleet.get_limits(shop.ctx)).limits == Limits()


async def test_who_may_only_look_sees_no_form_and_no_other_shop(shop: Shop) -> None:
    other = await another_shop(shop)
    await ended(replace(shop, ctx=other), a_question(), usage=a_usage(7_770_000))
    await fleet.change_limits(other, Limits(tasks_per_day=4321))
    clerk = await shop.as_role("negocio")
    text = (await clerk.get(LIMITS)).text
    assert "Spend this month" in text and 'action="/console/limits"' not in text
    assert "7,77" not in text and "4.321" not in text
    assert (await clerk.post(LIMITS, LIMITS, tasks_per_day="1")).status_code == 403


async def test_the_bill_is_had_from_the_page(shop: Shop) -> None:
    await ended(shop, a_question(), usage=a_usage(2_500_000))
    month = re.search(r'<option value="([0-9-]+)" selected', (await shop.visitor.get(LIMITS)).text)
    assert month is not None
    for kind, begins in (("pdf", b"%PDF-1"), ("csv", b"type,Task")):
        bill = await shop.visitor.get(f"/api/fleet/bill.{kind}?month={month[1]}&language=en")
        assert bill.status_code == 200 and bill.content.startswith(begins)


@pytest.mark.parametrize("language", ["es", "en"])
@pytest.mark.parametrize("is_wrong", [False, True])
def test_the_page_is_drawn_in_every_state(language: str, is_wrong: bool) -> None:
    t = PAGES.texts[language]
    shell = samples.page_shell("limits", language)
    page = PAGES.render("limits", shell, sampled(t, is_wrong=is_wrong))
    assert t("limits.reached") in page and t("limits.save") in page
    assert (t("limits.not_a_number") in page) == is_wrong
    reader = Person("Ana", "negocio", frozenset({"fleet.read"}))
    assert t("limits.save") not in PAGES.render("limits", replace(shell, person=reader), sampled(t))

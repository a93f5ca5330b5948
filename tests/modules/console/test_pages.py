"""Every page renders in both languages, within the content security policy, from exactly the context it states."""

from __future__ import annotations

import gzip
import re
from dataclasses import replace

import pytest

from nervio.modules.console.shell import Pages, Person
from tests.modules.console import samples

PAGES = Pages()
# What a first visit may cost on a slow line, all sheets and scripts of the shell included, compressed.
FIRST_LOAD_BYTES = 60_000


def test_the_samples_cover_every_page() -> None:
    assert sorted(samples.CONTEXTS) == PAGES.page_names() == sorted(samples.PATHS)


@pytest.fixture(params=sorted(samples.CONTEXTS))
def page(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def _render(page: str, language: str, theme: str = "auto") -> str:
    return PAGES.render(page, samples.page_shell(page, language, theme), samples.context(page, PAGES.texts[language]))


@pytest.mark.parametrize("language", ["es", "en"])
def test_a_page_says_which_language_it_speaks(page: str, language: str) -> None:
    assert f'<html lang="{language}"' in _render(page, language)


def test_a_page_keeps_to_the_content_security_policy(page: str) -> None:
    html = _render(page, "es")
    assert re.findall(r"<style|<script(?![^>]*\bsrc=)|\sstyle=|\son[a-z]+=|javascript:|data:[a-z]", html) == []
    assert re.findall(r'(?:src|href|action)="(?:https?:)?//', html) == []


def test_every_id_of_a_page_is_its_own(page: str) -> None:
    ids = re.findall(r'\sid="([^"]*)"', _render(page, "es"))
    assert sorted(ids) == sorted(set(ids))


def test_every_form_that_posts_carries_the_session_s_token(page: str) -> None:
    forms = re.findall(r'<form[^>]*method="post".*?</form>', _render(page, "es"), flags=re.DOTALL)
    assert [form[:80] for form in forms if 'name="csrf" value="sample"' not in form] == []


def test_a_page_names_only_assets_that_exist(page: str) -> None:
    for name in re.findall(r'"/static/[0-9a-f]{16}/([^"#]+)', _render(page, "es")):
        assert name in PAGES.assets.names()


def test_text_from_people_is_never_markup() -> None:
    context = samples.context("stock", PAGES.texts["es"])
    context["rows"][0]["name"] = "<script>alert(1)</script>"
    html = PAGES.render("stock", samples.page_shell("stock"), context)
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert" in html


@pytest.mark.parametrize(
    ("theme", "media"), [("auto", "(prefers-color-scheme: dark)"), ("dark", "all"), ("light", "not all")]
)
def test_the_server_draws_the_theme_so_that_nothing_flashes(theme: str, media: str) -> None:
    assert f'id="dark-sheet" media="{media}"' in _render("dashboard", "es", theme)


def test_someone_without_rights_sees_no_rooms_they_may_not_enter() -> None:
    frame = samples.shell()
    assert "users" in [room.name for room in frame.rooms()]
    cashier = replace(frame, person=Person("Rocío", "cashier", frozenset({"sales.read", "sales.write"})))
    assert [room.name for room in cashier.rooms()] == ["dashboard", "sell"]


def test_the_stop_is_on_every_page_behind_the_login(page: str) -> None:
    html = _render(page, "es")
    inside = page not in {"login", "setup", "error", "offline"}
    assert ('data-dialog="stop-dialog"' in html or 'href="/console/stopped"' in html) == inside


def test_the_first_visit_is_light() -> None:
    html = _render("dashboard", "es")
    names = [name for name in PAGES.assets.names() if name.startswith(("css/", "js/", "texts/es", "icons"))]
    weight = len(gzip.compress(html.encode()))
    for name in names:
        asset = PAGES.assets.find(PAGES.assets.fingerprint, name)
        assert asset is not None
        weight += len(gzip.compress(asset.body))
    assert weight <= FIRST_LOAD_BYTES

"""Every text exists in both languages, every text asked for exists, and no page speaks outside the dictionaries."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest
from jinja2 import Environment, nodes

from nervio.kernel.errors import Kind
from nervio.modules.console.assets import STATIC_ROOT
from nervio.modules.console.i18n import choose_language, load_texts
from nervio.modules.console.shell import ROOMS, TEMPLATES_ROOT

TEXTS = load_texts()
TEMPLATES = sorted(TEMPLATES_ROOT.rglob("*.html"))
SCRIPTS = sorted((STATIC_ROOT / "js").glob("*.js"))
# Names that are the same in every language.
SAME_EVERYWHERE = {"Nervio", "Español", "English", "Ctrl K", "Alt Shift P", "F4", "mm"}


def named(path: Path) -> str:
    return path.name


def test_both_languages_have_the_same_keys_and_the_same_gaps() -> None:
    spanish, english = TEXTS["es"].entries, TEXTS["en"].entries
    assert spanish.keys() == english.keys()
    for key, text in spanish.items():
        assert _gaps(text) == _gaps(english[key]), key
        assert text.strip() and english[key].strip(), key


def _gaps(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def _asked(template: Path) -> Iterator[tuple[str, bool]]:
    """Yield each key that a template asks t() for; True means that it is only the beginning of a key."""
    tree = Environment(autoescape=True).parse(template.read_text(encoding="utf-8"))
    for call in tree.find_all(nodes.Call):
        if isinstance(call.node, nodes.Name) and call.node.name == "t":
            yield from _keys(call.args[0])


def _keys(node: nodes.Node) -> Iterator[tuple[str, bool]]:
    match node:
        case nodes.Const(value=str(key)):
            yield key, False
        case nodes.CondExpr(expr1=yes, expr2=no):
            yield from _keys(yes)
            yield from _keys(no) if no else ()
        case nodes.Concat(nodes=[nodes.Const(value=str(beginning)), *_]):
            yield beginning, True


def _knows(key: str, only_begins: bool) -> bool:
    return any(known.startswith(key) for known in TEXTS["es"].entries) if only_begins else TEXTS["es"].knows(key)


@pytest.mark.parametrize("template", TEMPLATES, ids=named)
def test_templates_ask_for_texts_that_exist(template: Path) -> None:
    assert [key for key, begins in _asked(template) if not _knows(key, begins)] == []


@pytest.mark.parametrize("template", TEMPLATES, ids=named)
def test_templates_hold_no_text_of_their_own(template: Path) -> None:
    source = template.read_text(encoding="utf-8")
    # Blocks and macros that only fill a tag in another file.
    source = re.sub(r"\{% block (body_attributes|width) %\}.*?\{% endblock %\}", "", source)
    source = re.sub(r"\{% macro describe.*?endmacro %\}", "", source, flags=re.DOTALL)
    source = re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", "\x00", source, flags=re.DOTALL)
    spoken = re.findall(r'(?:aria-label|title|placeholder|alt)="([^"\x00]*[^\W\d_][^"\x00]*)"', source)
    spoken += re.findall(r"[^\W\d_][^<>\x00]*", re.sub(r"<[^>]*>", "\x00", source))
    assert [text for text in map(str.strip, spoken) if text not in SAME_EVERYWHERE] == []


@pytest.mark.parametrize("script", SCRIPTS, ids=named)
def test_scripts_ask_for_texts_that_exist(script: Path) -> None:
    source = script.read_text(encoding="utf-8")
    asked = re.findall(r'\bt\("([\w.]+)"', source) + re.findall(r'\bt\(\w+ \? "(\w+)" : "\w+"', source)
    asked += re.findall(r'\bt\(\w+(?: [<>] 0)? \? "\w+" : "(\w+)"', source)
    assert [key for key in asked if not TEXTS["es"].knows(f"js.{key}")] == []
    assert [part for part in re.findall(r"\bt\(`(\w+)\$", source) if not _knows(f"js.{part}", only_begins=True)] == []


def test_no_text_is_kept_that_nobody_asks_for() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in [*TEMPLATES, *SCRIPTS])
    begins = {key for template in TEMPLATES for key, only_begins in _asked(template) if only_begins}
    # Rooms, columns, filters and charts are named by Python, which hands over their keys or texts.
    begins |= {
        "events.type.",
        "nav.",
        "col.",
        "kind.",
        "role.",
        "account.",
        "problem.",
        "stock.any_",
        "stock.level_",
        "journal.any_",
    }
    begins |= {
        "list.newest_first",
        "list.oldest_first",
        "list.order",
        "stock.spark",
        "imports.",
        "login.",
        "password.",
        "products.any_",
        "setup.first_",
    }
    begins |= {"safety.module_", "safety.for_", "safety.finding_", "safety.level_default", "safety.any_"}
    begins |= {"tasks.any_", "ask.question_", "jobs.any_", "jobs.name.", "mishap."}
    begins |= {"dashboard.chart_", "dashboard.hour", "dashboard.show_table", "stop.installation"}
    begins |= {f"js.{part}" for part in re.findall(r"\bt\(`(\w+)\$", source)}
    asked = {key for template in TEMPLATES for key, _ in _asked(template)}
    asked |= {f"js.{key}" for key in re.findall(r'"(\w+)"', source)}
    unused = [
        key
        for key in TEXTS["es"].entries
        if re.sub(r"\.(one|other)$", "", key) not in asked and not any(key.startswith(part) for part in begins)
    ]
    assert unused == []


def test_every_room_and_every_kind_of_error_has_its_words() -> None:
    assert all(TEXTS["es"].knows(room.label) for room in ROOMS)
    kinds = {kind.value for kind in Kind} | {"bug"}
    assert [kind for kind in sorted(kinds) if not TEXTS["es"].knows(f"error.{kind}_note")] == []


def test_one_and_many_are_different_forms() -> None:
    assert TEXTS["es"]("users.count", n=1) == "1 persona"
    assert TEXTS["es"]("users.count", n=0) == "0 personas"
    assert TEXTS["en"]("users.count", n=2) == "2 people"


@pytest.mark.parametrize(
    ("cookie", "header", "language"),
    [
        (None, None, "es"),
        ("en", "es-AR,es;q=0.9", "en"),
        ("fr", "fr;q=0.9,en;q=0.8", "en"),
        (None, "fr-FR,fr", "es"),
        (None, "es;q=0.3, en-GB;q=0.7", "en"),
        (None, "en;q=nonsense, es", "es"),
    ],
)
def test_the_language_is_the_cookie_then_the_browser_then_spanish(
    cookie: str | None, header: str | None, language: str
) -> None:
    assert choose_language(cookie, header) == language

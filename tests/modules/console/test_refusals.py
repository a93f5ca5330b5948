"""Every refusal that the program can utter has its words in both languages, and no words are kept for one it cannot."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from nervio.kernel.errors import Kind, NervioError, invalid, not_found
from nervio.modules.console.i18n import LANGUAGES, load_texts
from nervio.modules.console.requests import explain
from nervio.runtime.http.problems import _KIND_OF_STATUS

SOURCE = Path(__file__).parents[3] / "src" / "nervio"
TEXTS = load_texts()

MAKERS = {"NervioError": 1, "invalid": 0, "conflict": 0, "not_authenticated": 0, "not_found": 0, "forbidden": None}
"""What makes a refusal → which argument is its code; `forbidden` has one code of its own."""

PASSED_ON = {
    "db/execution.py": "refusal['code']",
    "kernel/errors.py": "code",
    "modules/identity/domain.py": "code",
    "runtime/operations.py": "code",
    "web/bodies.py": "error.code",
}
"""Where a refusal made elsewhere is made again, so that its code is no constant there."""

OF_THE_FRAMEWORK = {*_KIND_OF_STATUS.values(), "error"}
"""Codes of what is refused before any code of ours sees it."""


def codes_in(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Each code that a file can refuse with, or `?` and an expression where it is not written there."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            maker = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if maker in MAKERS:
                place = MAKERS[maker]
                if place is None:
                    yield "forbidden", node
                elif len(node.args) > place:
                    for code in constants(node.args[place], tree):
                        yield code + "_not_found" * (maker == "not_found" and code != "?"), node.args[place]
        elif isinstance(node, ast.Dict):  # members of problem details, written out
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "code" and isinstance(value, ast.Constant):
                    yield str(value.value), node


def constants(node: ast.expr, tree: ast.Module) -> Iterator[str]:
    """The texts that an expression may be: a constant, one of two, or a name that is given such."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.IfExp(body=yes, orelse=no):
            yield from constants(yes, tree)
            yield from constants(no, tree)
        case ast.Name(id=name) if given := [
            each.value
            for each in ast.walk(tree)
            if isinstance(each, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in each.targets)
        ]:
            for value in given:
                yield from constants(value, tree)
        case ast.JoinedStr():
            pass  # `not_found` itself, which is read where it is called
        case _:
            yield "?"


def raised() -> dict[str, str]:
    """code → a file that refuses with it."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        for code, node in codes_in(ast.parse(path.read_text(encoding="utf-8"))):
            if code == "?":
                assert ast.unparse(node) == PASSED_ON.get(name), f"{name}: what can {ast.unparse(node)} be?"
            else:
                found[code] = name
    return found


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_refusal_has_its_words(language: str) -> None:
    codes = {**raised(), **dict.fromkeys(OF_THE_FRAMEWORK, "the framework")}
    assert len(codes) > 100
    mute = {code: name for code, name in codes.items() if not TEXTS[language].knows(f"problem.{code}")}
    assert mute == {}, "write their texts into modules/console/i18n/problems.*.json"


def test_no_words_are_kept_for_a_refusal_that_nobody_utters() -> None:
    codes, console = {*raised(), *OF_THE_FRAMEWORK}, SOURCE / "modules" / "console"
    asked = "\n".join(path.read_text(encoding="utf-8") for path in console.rglob("*.py"))
    kept = TEXTS["es"].for_refusals()
    assert [code for code in kept if code not in codes and f'"problem.{code}"' not in asked] == []


def test_spanish_words_are_not_the_english_ones() -> None:
    english = TEXTS["en"].for_refusals()
    assert [code for code, text in TEXTS["es"].for_refusals().items() if text == english[code]] == []


@pytest.mark.parametrize(
    ("source", "codes"),
    [
        ('raise invalid("bad_thing", "No.", field="thing")', {"bad_thing"}),
        ('raise NervioError(Kind.CONFLICT, "taken", "No.")', {"taken"}),
        ('raise errors.conflict("taken" if late else "early", "No.")', {"taken", "early"}),
        ('code = "low" if x else "high"\nraise invalid(code, "No.", field="x")', {"low", "high"}),
        ('raise not_found("lamp", reference)', {"lamp_not_found"}),
        ("raise forbidden(permission)", {"forbidden"}),
        ('members = {"code": "too_big", "detail": "No."}', {"too_big"}),
        ("raise conflict(make_code(), 'No.')", {"?"}),
        ("raise NervioError(Kind.INVALID, refusal.code, 'No.')", {"?"}),
    ],
)
def test_the_walk_sees_every_way_to_refuse(source: str, codes: set[str]) -> None:
    assert {code for code, _ in codes_in(ast.parse(source))} == codes


def test_a_refusal_is_explained_in_the_reader_s_language() -> None:
    refusal = not_found("ticket", "T-9")
    assert explain(TEXTS["es"], refusal) == "Ese ticket no existe."
    assert explain(TEXTS["en"], refusal) == "That ticket does not exist."
    assert explain(TEXTS["es"], invalid("password_too_short", "password must have …", field="password")).startswith(
        "La"
    )
    # One of a newer server behind the same console still says what it is.
    assert explain(TEXTS["es"], NervioError(Kind.CONFLICT, "never_heard_of", "Its own words.")) == "Its own words."

"""Limits of size, words that are not used, and what stands in one place only."""

import ast
import re
from pathlib import Path

import pytest

from tests.architecture.tree import CODE, ROOT, SOURCE, functions, named, parsed, python_files, tracked_files

MOST_LINES_IN_A_FILE = 400
MOST_LINES_IN_A_FUNCTION = 70

# Words that say where something was put because nobody knew what it is.
EMPTY_WORDS = {"common", "helper", "helpers", "manager", "managers", "misc", "util", "utils"}

DIALECTS = {"mariadb", "mysql", "postgresql", "sqlite"}

# Written so that this file does not contain what it looks for.
PACKAGE_INDEX_HOSTS = re.compile(r"pypi[.]org|pythonhosted[.]org|registry[.]npmjs[.]org|static[.]crates[.]io")
MACHINE_PATHS = re.compile(r"(?<![\w.)}$*/-])/(?:home|root|work|farm|tmp|Users)/[A-Za-z.]")


def test_a_file_can_be_read_in_one_sitting() -> None:
    """Scripts of the console count too; a file that grows beyond becomes a package of the same name."""
    scripts = sorted(SOURCE.rglob("*.js"))
    sizes = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in python_files(*CODE) + scripts}
    assert [f"{named(path)} {size}" for path, size in sizes.items() if size > MOST_LINES_IN_A_FILE] == []


def test_a_function_fits_a_screen() -> None:
    long = [
        f"{named(path, node)} {node.name} {lines}"
        for path in python_files(*CODE)
        for node in functions(path)
        if (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > MOST_LINES_IN_A_FUNCTION
    ]
    assert long == []


def test_names_say_what_a_thing_is() -> None:
    empty = [
        named(path)
        for path in python_files(*CODE)
        if EMPTY_WORDS & {part.removesuffix(".py").lower() for part in path.relative_to(ROOT).parts}
    ]
    empty += [
        f"{named(path, node)} {node.name}"
        for path in python_files(*CODE)
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ClassDef) and re.search(r"(Manager|Helpers?|Utils?)$", node.name)
    ]
    assert empty == []


def test_only_dialects_asks_which_database_it_is() -> None:
    others = [path for path in python_files("src") if path != SOURCE / "db" / "dialects.py"]
    assert [f"{named(path)}:{line}" for path in others for line in lines_that_ask(parsed(path))] == []


def test_only_db_speaks_the_words_of_one_database() -> None:
    """Types and constructs of one dialect (JSONB, INSERT … ON CONFLICT) have a name in `nervio.db` for everybody else."""
    others = [path for path in python_files("src") if SOURCE / "db" not in path.parents]
    dialects = re.compile(r"\bsqlalchemy(\.dialects\b| import dialects\b)")
    assert [named(path) for path in others if dialects.search(path.read_text(encoding="utf-8"))] == []


def lines_that_ask(tree: ast.Module) -> list[int]:
    """The lines where the name of a dialect is compared with something."""
    lines: list[int] = []
    for node in ast.walk(tree):
        match node:
            case ast.Compare(left=left, comparators=others) if any(names_a_dialect(one) for one in [left, *others]):
                lines.append(node.lineno)
            case ast.Call(func=ast.Attribute(attr="startswith"), args=[start, *_]) if names_a_dialect(start):
                lines.append(node.lineno)
            case ast.MatchValue(value=value) if names_a_dialect(value):
                lines.append(value.lineno)
    return lines


def names_a_dialect(node: ast.expr) -> bool:
    """Whether an expression is the name of a dialect, with or without a driver, or a collection that holds one."""
    match node:
        case ast.Constant(value=str(text)):
            return re.split(r"[+:]", text)[0] in DIALECTS
        case ast.Tuple(elts=parts) | ast.Set(elts=parts) | ast.List(elts=parts):
            return any(names_a_dialect(part) for part in parts)
    return False


@pytest.mark.parametrize(
    "line",
    [
        'if engine.dialect.name == "sqlite": ...',
        'if "postgresql" != name: ...',
        'if url.startswith("sqlite+aiosqlite:"): ...',
        'if name in ("sqlite", "mysql"): ...',
        'match name:\n    case "postgresql": ...',
    ],
)
def test_asking_which_database_it_is_is_noticed(line: str) -> None:
    assert lines_that_ask(ast.parse(line))


def test_every_package_says_what_it_owns() -> None:
    mute = [
        named(path)
        for path in sorted(SOURCE.rglob("__init__.py"))
        if len(ast.get_docstring(parsed(path)) or "") < len("Owns, promises, never does.")
    ]
    assert mute == []


def test_every_folder_of_code_is_a_package() -> None:
    folders = {path.parent for path in python_files("src")}
    assert [named(folder) for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []


def test_the_package_of_a_module_holds_its_docstring_only() -> None:
    """Code in it would stand outside the layers of the module and run whenever any of its files is imported."""
    busy = [named(path) for path in sorted((SOURCE / "modules").glob("*/__init__.py")) if len(parsed(path).body) > 1]
    assert busy == []


def test_what_others_call_states_its_contract() -> None:
    public = [
        *SOURCE.glob("modules/*/api.py"),
        *SOURCE.glob("modules/*/api/*.py"),
        *SOURCE.glob("ports/*.py"),
        *SOURCE.glob("kernel/*.py"),
    ]
    silent = [
        f"{named(path, node)} {node.name}"
        for path in sorted(public)
        for node in functions(path)
        if not node.name.startswith("_") and node in top_level(path) and not ast.get_docstring(node)
    ]
    assert silent == []


def top_level(path: Path) -> set[ast.AST]:
    """The functions of a file that another file can call: at its top, or methods of its classes."""
    body = parsed(path).body
    return {*body, *(node for top in body if isinstance(top, ast.ClassDef) for node in top.body)}


def test_no_file_names_a_package_index_or_a_place_on_one_machine() -> None:
    found = [
        f"{named(path)}:{number} {hit.group()}"
        for path in tracked_files()
        if (text := text_of(path)) is not None
        for number, line in enumerate(text.splitlines(), 1)
        if (hit := PACKAGE_INDEX_HOSTS.search(line) or MACHINE_PATHS.search(line))
    ]
    assert found == []


def test_the_locks_hold_versions_and_hashes_only() -> None:
    for path in sorted((ROOT / "requirements").glob("*.txt")):
        text = path.read_text(encoding="utf-8")
        assert "://" not in text, named(path)
        assert not re.search(r"^-", text, flags=re.MULTILINE), f"{named(path)} gives options to the installer"
        pins = re.findall(r"^[a-z0-9][\w.\[\]-]*==\S+", text, flags=re.MULTILINE)
        hashed = re.findall(r"^[a-z0-9][^\n]*\\\n    --hash=sha256:[0-9a-f]{64}\b", text, flags=re.MULTILINE)
        assert pins, named(path)
        assert len(pins) == len(hashed), named(path)


def text_of(path: Path) -> str | None:
    """The text of a file, or None where it is data."""
    content = path.read_bytes()
    return None if b"\0" in content[:8192] else content.decode("utf-8", errors="replace")

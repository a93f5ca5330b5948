"""The contracts of `.importlinter` hold on the real tree, and each of them catches what it is there to catch."""

import configparser
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.architecture.tree import ROOT, SOURCE, named

LAYERS = "Layers point down"
MODULE_ORDER = "Modules depend downwards"
PUBLIC_FACES = "Only api and contracts cross a module"
INSIDE = "Inside a module imports point down"
PURE_VOCABULARY = "Kernel, ports and events use the standard library only"
PURE_RULES = "Domain and contracts know no framework"
SDKS = "Vendor SDKs live in adapters"
DRIVERS = "Database drivers live in db"
ENTRY_POINTS = "Entry points go through api"
NO_WEB_BELOW = "Use cases, mechanics and adapters know no web framework"
ROOMS = "Console rooms do not know each other"
NO_CYCLES = "No two packages need each other"

END_OF_RUN = "end of run"


class Violation(NamedTuple):
    """A line that must not be written, where it would stand, and the contract that must refuse it."""

    contract: str
    file: str
    line: str


VIOLATIONS = [
    Violation(LAYERS, "kernel/money.py", "from nervio.db import tables"),
    Violation(LAYERS, "ports/clock.py", "from nervio import events"),
    Violation(LAYERS, "events/planted.py", "import nervio.ports.clock"),
    Violation(LAYERS, "db/planted.py", "from nervio.modules.ledger import contracts"),
    Violation(LAYERS, "adapters/planted.py", "from nervio.modules.stock import api"),
    Violation(LAYERS, "modules/stock/jobs.py", "from nervio.adapters import clock"),
    Violation(LAYERS, "modules/stock/api.py", "import nervio.runtime"),
    Violation(LAYERS, "utilities/__init__.py", ""),
    Violation(MODULE_ORDER, "modules/stock/planted.py", "from nervio.modules.sales import api"),
    Violation(MODULE_ORDER, "modules/ledger/planted.py", "from nervio.modules.identity import contracts"),
    Violation(MODULE_ORDER, "modules/loyalty/__init__.py", ""),
    Violation(PUBLIC_FACES, "modules/sales/planted.py", "from nervio.modules.stock import store"),
    Violation(PUBLIC_FACES, "modules/sales/store.py", "from nervio.modules.stock.models import *"),
    Violation(PUBLIC_FACES, "modules/console/planted.py", "from nervio.modules.ledger import domain"),
    Violation(INSIDE, "modules/ledger/domain.py", "from nervio.modules.ledger import models"),
    Violation(INSIDE, "modules/ledger/models.py", "from nervio.modules.ledger import store"),
    Violation(INSIDE, "modules/stock/store.py", "from nervio.modules.stock import book"),
    Violation(INSIDE, "modules/stock/api.py", "from nervio.modules.stock import routes"),
    Violation(INSIDE, "modules/stock/routes.py", "from nervio.modules.stock import jobs"),
    Violation(INSIDE, "modules/sales/api.py", "from nervio.modules.sales import schemas"),
    Violation(PURE_VOCABULARY, "kernel/money.py", "import pydantic"),
    Violation(PURE_VOCABULARY, "ports/clock.py", "import sqlalchemy"),
    Violation(PURE_VOCABULARY, "events/planted.py", "import msgspec"),
    Violation(PURE_RULES, "modules/stock/domain.py", "from sqlalchemy import select"),
    Violation(PURE_RULES, "modules/stock/domain.py", "from nervio.db import tables"),
    Violation(PURE_RULES, "modules/sales/contracts.py", "import pydantic"),
    Violation(SDKS, "modules/safety/store/halts.py", "import redis"),
    Violation(SDKS, "runtime/planted.py", "import httpx"),
    Violation(SDKS, "db/planted.py", "from nats.aio import client"),
    Violation(DRIVERS, "modules/ledger/store.py", "import sqlite3"),
    Violation(DRIVERS, "runtime/planted.py", "import asyncpg"),
    Violation(ENTRY_POINTS, "modules/stock/routes.py", "from nervio.modules.stock import store"),
    Violation(ENTRY_POINTS, "modules/stock/jobs.py", "from nervio.modules.stock import domain"),
    Violation(ENTRY_POINTS, "modules/sales/handlers.py", "from nervio.modules.sales import models"),
    Violation(NO_WEB_BELOW, "modules/identity/api.py", "from fastapi import Request"),
    Violation(NO_WEB_BELOW, "db/planted.py", "from starlette.responses import Response"),
    Violation(ROOMS, "modules/console/rooms/planted_a/__init__.py", "import nervio.modules.console.rooms.planted_b"),
    Violation(NO_CYCLES, "db/tables.py", "from nervio.db import dialects"),
    Violation(NO_CYCLES, "kernel/errors.py", "from nervio.kernel import money"),
]

# What a planted line may refer to: it must exist to be an edge of the graph, and a real file is left as it is.
ROLE_FILES = [
    f"modules/{module}/{role}.py"
    for module in ("ledger", "sales", "stock")
    for role in ("api", "contracts", "domain", "jobs", "models", "routes", "schemas", "store")
] + ["modules/console/rooms/__init__.py", "modules/console/rooms/planted_b/__init__.py"]


def copy_of_the_tree(target: Path) -> Path:
    """Copy the Python files of the product, with every file that a planted line refers to."""
    copy = target / "nervio"
    for path in SOURCE.rglob("*.py"):
        place = copy / path.relative_to(SOURCE)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
    for name in ROLE_FILES:
        write(copy / name, "")
    return target


def write(path: Path, line: str) -> None:
    """Add a line to a file, or make the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")


# One process for all trees: starting import-linter takes longer than judging a tree with it.
LINT_EACH = f"""
import importlib, sys
from importlinter.cli import lint_imports
for folder in sys.argv[1:]:
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
    code = lint_imports(no_logo=True, cache_dir=None, no_cache=True)
    print("{END_OF_RUN}", code, flush=True)
"""


def broken_contracts(folders: list[Path]) -> list[set[str]]:
    """Run import-linter on the tree in each folder; the names of the contracts that it calls broken there."""
    run = subprocess.run(
        [sys.executable, "-c", LINT_EACH, *map(str, folders)],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    *reports, _ = re.split(rf"^{END_OF_RUN} (?=\d)", run.stdout, flags=re.MULTILINE)
    assert len(reports) == len(folders), run.stdout + run.stderr
    return [broken_in(report) for report in reports]


def broken_in(report: str) -> set[str]:
    """The names of the contracts that a report of import-linter calls broken."""
    broken = set(re.findall(r"^(.+) BROKEN$", report, flags=re.MULTILINE))
    kept = re.findall(r"^(.+) KEPT$", report, flags=re.MULTILINE)
    assert len(broken) + len(kept) == len(contract_names()), report
    return broken


def contract_names() -> set[str]:
    """The names of every contract in `.importlinter`."""
    return {section["name"] for section in contract_sections()}


def contract_sections() -> Iterator[configparser.SectionProxy]:
    """The contracts of `.importlinter`, as they are written."""
    config = configparser.ConfigParser()
    config.read(ROOT / ".importlinter", encoding="utf-8")
    return (config[name] for name in config.sections() if name.startswith("importlinter:contract:"))


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> dict[Violation | None, set[str]]:
    """What each planted violation breaks; under None, what the tree breaks as it is."""

    cases: list[Violation | None] = [None, *VIOLATIONS]
    folders = [copy_of_the_tree(tmp_path_factory.mktemp("planted")) for _ in cases]
    for case, folder in zip(cases, folders, strict=True):
        if case is not None:
            write(folder / "nervio" / case.file, case.line)
    return dict(zip(cases, broken_contracts(folders), strict=True))


def test_the_real_tree_keeps_every_contract(findings: dict[Violation | None, set[str]]) -> None:
    assert findings[None] == set()


@pytest.mark.parametrize("violation", VIOLATIONS, ids=lambda violation: f"{violation.file}: {violation.line or 'new'}")
def test_a_planted_violation_is_caught_by_its_contract(
    violation: Violation, findings: dict[Violation | None, set[str]]
) -> None:
    assert violation.contract in findings[violation] - findings[None]


def test_every_contract_has_a_violation_that_shows_it_working() -> None:
    assert {violation.contract for violation in VIOLATIONS} == contract_names()


def test_a_module_is_made_of_the_files_that_the_house_knows() -> None:
    """A file of another name would stand outside the layers; the console, which has its own shape, is left out."""
    inside = next(section for section in contract_sections() if section["name"] == INSIDE)
    roles = {"__init__", *re.findall(r"\w+", inside["layers"])}
    strangers = [
        named(path)
        for module in sorted((SOURCE / "modules").iterdir())
        if module.is_dir() and module.name not in ("__pycache__", "console")
        for path in sorted(module.iterdir())
        if path.name != "__pycache__" and path.stem not in roles
    ]
    assert strangers == []


def test_no_contract_has_exceptions() -> None:
    for section in contract_sections():
        assert not {"ignore_imports", "exhaustive_ignores"} & set(section), section["name"]

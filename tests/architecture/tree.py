"""The files that the architecture tests read."""

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "nervio"
CODE = ("src", "tests", "bench", "scripts")


@cache
def tracked_files() -> tuple[Path, ...]:
    """Every file of the repository; without git (an unpacked archive), every file of its code folders."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listing.returncode == 0:
        return tuple(path for name in listing.stdout.split("\0") if name and (path := ROOT / name).is_file())
    return tuple(path for folder in CODE for path in sorted((ROOT / folder).rglob("*")) if path.is_file())


def python_files(*folders: str) -> list[Path]:
    """The Python files below folders of the repository, tracked or not yet, revisions of the schema left out."""
    found = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return [path for path in found if "versions" not in path.parts]


@cache
def parsed(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method of a file, nested ones included."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def named(path: Path, node: ast.stmt | ast.expr | None = None) -> str:
    """How a finding names its place: a path from the top of the repository, and a line."""
    place = path.relative_to(ROOT).as_posix()
    return f"{place}:{node.lineno}" if node is not None else place

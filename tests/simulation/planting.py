"""Runs the simulation over a copy of the package in which a race was planted. The product itself is never changed."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import nervio
from tests.simulation.mutants import MUTANTS

ROOT = Path(__file__).parents[2]
PACKAGE = Path(nervio.__file__).parent


@contextmanager
def planted(name: str) -> Iterator[Path]:
    """A folder with a copy of the package that has the race: what the race leaves alone is a link. Raises DoesNotApply."""
    with tempfile.TemporaryDirectory(prefix="nervio-mutant-") as folder:
        copy = Path(folder) / "nervio"
        patches = MUTANTS[name].patches
        _link(PACKAGE, copy, {Path(patch.file) for patch in patches})
        for patch in patches:
            patch.apply(copy)
        yield Path(folder)


def _link(source: Path, target: Path, changed: set[Path]) -> None:
    """Links to everything in a folder but its `changed` files, which are copied, and the folders on the way to them."""
    target.mkdir()
    for one in source.iterdir():
        below = {Path(*path.parts[1:]) for path in changed if path.parts[0] == one.name}
        if not below and one.name != "__pycache__":
            (target / one.name).symlink_to(one)
        elif one.is_dir() and below:
            _link(one, target / one.name, below)
        elif one.is_file():
            shutil.copy2(one, target / one.name)


def environment(*folders: Path) -> dict[str, str]:
    """What makes a run of Python see these folders first, and sets of texts in the same order each time."""
    path = os.pathsep.join(map(str, (*folders, ROOT)))
    return {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "0"}


def run(
    module: str, arguments: Sequence[str], mutant: str | None = None, timeout: float | None = None
) -> subprocess.CompletedProcess[str]:
    """`python -m module arguments` over the product, or over a copy with a race planted."""
    command = [sys.executable, "-m", module, *arguments]

    def finish(folder: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=ROOT, env=environment(folder), text=True, capture_output=True, timeout=timeout, check=False
        )

    if mutant is None:
        return finish(PACKAGE.parent)
    with planted(mutant) as folder:
        return finish(folder)

"""Plays seed after seed until a promise breaks or the time is over."""

import asyncio
import logging
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests import builders
from tests.simulation.decisions import Name
from tests.simulation.mutants import MUTANTS
from tests.simulation.shrinking import Shrunk, shrink
from tests.simulation.world import Story, play

MEMORY = Path("/dev/shm")  # noqa: S108 (a folder in memory, where there is one; each search makes one of its own in it)


@dataclass
class Search:
    """What came of a search. `cpu_seconds` is what this process used from its first seed on."""

    mutant: str | None
    stories: int = 0
    steps: int = 0
    judged: int = 0
    cpu_seconds: float = 0.0
    failed: Story | None = None
    shrunk: Shrunk | None = None
    faults: Counter[str] = field(default_factory=Counter)


def search(
    first: int,
    seconds: float,
    mutant: str | None = None,
    most: int | None = None,
    *,
    only: frozenset[Name] | None = None,
    shrink_seconds: float = 0.0,
) -> Search:
    """Plays `first`, `first` + 1, … for so many seconds of processor time, at most `most` of them, with `only` these of their
    decisions. What fails is made shorter for `shrink_seconds` more."""
    logging.disable(logging.CRITICAL)
    found = Search(mutant)
    schema = () if mutant is None else MUTANTS[mutant].schema
    root = MEMORY if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="nervio-simulation-", dir=root) as name:
        folder = Path(name)
        template = empty_database(folder)
        cpu = time.process_time()
        while found.failed is None and (most is None or found.stories < most):
            story = play(first + found.stories, folder, template, schema, only)
            found.stories += 1
            found.steps += story.steps
            found.judged += story.judged
            found.faults.update(story.faults)
            found.cpu_seconds = time.process_time() - cpu
            if story.failure is not None:
                found.failed = story
            if found.cpu_seconds > seconds:
                break
        if found.failed is not None and shrink_seconds:
            seed = found.failed.seed

            def again(kept: frozenset[Name], most_steps: int) -> Story:
                return play(seed, folder, template, schema, kept, most_steps)

            found.shrunk = shrink(found.failed, again, shrink_seconds)
    return found


def empty_database(folder: Path) -> bytes:
    """A migrated SQLite file, as bytes."""
    path = folder / "template.db"
    asyncio.run(builders.create_sqlite_file(path))
    content = path.read_bytes()
    path.unlink()
    return content

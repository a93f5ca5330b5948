"""The workers in Go and Java, built from Debian's packages by their own Makefiles."""

from __future__ import annotations

import fcntl
import subprocess
from functools import cache
from pathlib import Path

WORKERS = Path(__file__).parents[1] / "workers"
GOALS = {"go": ("all", "vet"), "java": ("all",)}
"""Javac is told to take warnings for errors in any case."""


@cache
def built(language: str) -> str:
    """The path of a worker's program, built if it is not there or something is newer. One process at a time builds it."""
    folder = WORKERS / language
    with (folder / "Makefile").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = subprocess.run(
            ["make", "--silent", "-C", str(folder), *GOALS[language]], capture_output=True, text=True, check=False
        )
    assert made.returncode == 0, made.stdout + made.stderr
    return str(folder / "build" / "nervio-worker")

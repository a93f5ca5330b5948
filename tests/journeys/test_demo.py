"""The demo shop as a user meets it: `nervio demo` as a process, killed in the middle, started again."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from nervio.kernel.time import DAY
from nervio.runtime.demo.records import Adjustment, MoneyAdjustment, Return, Ticket
from nervio.runtime.demo.retail import read_retail_year
from nervio.runtime.demo.retail_plan import plan_retail_year

DAYS = 6
KILLS = 4


def _environment(directory: Path) -> dict[str, str]:
    return {
        **os.environ,
        "NERVIO_DATA_DIR": str(directory / "data"),
        "NERVIO_LOG__DIRECTORY": str(directory / "logs"),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }


def _start(directory: Path, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "nervio", *arguments]
    return subprocess.Popen(
        command, env=_environment(directory), cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def _run(directory: Path, *arguments: str) -> dict[str, Any]:
    process = _start(directory, *arguments, "--json")
    out, error = process.communicate(timeout=240)
    assert process.returncode == 0, (out, error)
    answer: dict[str, Any] = json.loads(out.splitlines()[-1])
    return answer


def _expected_lines_and_tickets() -> tuple[int, int]:
    """Counted from the plan, without the write path."""
    records = plan_retail_year(read_retail_year()).records
    end = records[0].effective_at + DAYS * DAY
    lines = tickets = 0
    for record in records:
        if record.effective_at < end:
            if isinstance(record, Ticket | Return):
                lines += len(record.lines)
                tickets += isinstance(record, Ticket)
            elif isinstance(record, Adjustment | MoneyAdjustment):
                lines += isinstance(record, MoneyAdjustment)
    return lines, tickets


def _tickets_in(directory: Path) -> int:
    """How many are committed so far."""
    try:
        with closing(sqlite3.connect(f"file:{directory}/data/nervio.db?mode=ro", uri=True, timeout=0.1)) as database:
            (count,) = database.execute("SELECT count(*) FROM tickets").fetchone()
    except sqlite3.OperationalError:  # not made yet, or busy
        return 0
    return int(count)


@pytest.mark.sockets
@pytest.mark.slow
def test_a_replay_that_is_killed_again_and_again_ends_as_if_nothing_had_happened(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    sys.stdout.write(f"seed {seed}\n")
    moments = random.Random(seed)
    lines, tickets = _expected_lines_and_tickets()
    killed = 0
    for n in range(KILLS):
        process = _start(tmp_path, "demo", "--days", str(DAYS))
        # By how much is written, not by how long it took: a faster machine must not be over before it is killed.
        wanted = tickets * moments.uniform(n, n + 0.9) / KILLS
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None and _tickets_in(tmp_path) < wanted:
            time.sleep(0.005)
        process.kill()
        process.communicate()
        killed += process.returncode == -9
    assert killed >= 2, "the replay was over before it could be killed"
    for _ in range(2):
        report = _run(tmp_path, "demo", "--days", str(DAYS))
        assert (report["tickets"], report["lines"], report["refused"]) == (tickets, lines, 0)
        assert report["oversold"] == 0 and report["ledger_balanced"] and report["seal_verified"]
    verification = _run(tmp_path, "ledger", "verify")
    assert verification["verified"] is True

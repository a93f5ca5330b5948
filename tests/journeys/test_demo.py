"""The demo shop as a user meets it: `nervio demo` as a process, killed in the middle, started again."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
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


@pytest.mark.sockets
@pytest.mark.slow
def test_a_replay_that_is_killed_again_and_again_ends_as_if_nothing_had_happened(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    sys.stdout.write(f"seed {seed}\n")
    moments = random.Random(seed)
    database = tmp_path / "data" / "nervio.db"
    killed = 0
    for _ in range(KILLS):
        process = _start(tmp_path, "demo", "--days", str(DAYS))
        deadline = time.monotonic() + 60
        grown_from = database.stat().st_size if database.exists() else 0
        # Until it is writing: before that there is nothing to interrupt.
        while time.monotonic() < deadline and process.poll() is None:
            wal = Path(f"{database}-wal")
            if wal.exists() and wal.stat().st_size + database.stat().st_size > grown_from + 200_000:
                break
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 1.2))
        process.kill()
        process.communicate()
        killed += process.returncode == -9
    assert killed >= 2, "the replay was over before it could be killed"
    lines, tickets = _expected_lines_and_tickets()
    for _ in range(2):
        report = _run(tmp_path, "demo", "--days", str(DAYS))
        assert (report["tickets"], report["lines"], report["refused"]) == (tickets, lines, 0)
        assert report["oversold"] == 0 and report["ledger_balanced"] and report["seal_verified"]
    verification = _run(tmp_path, "ledger", "verify")
    assert verification["verified"] is True

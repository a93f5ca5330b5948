"""`nervio worker-check`: passes the Python worker, and finds what is wrong with others."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import services

ROOT = Path(__file__).parents[2]
PATHS = os.pathsep.join((str(ROOT), str(ROOT / "src"), str(ROOT / "workers" / "python")))

pytestmark = pytest.mark.services("mqtt")


async def checked(*command: str, broker: str = "", only: str = "") -> tuple[int, dict[str, Any], str]:
    """Runs the command: its exit code, its answer, and what it said besides."""
    chosen = ("--only", only) if only else ()
    words = ("worker-check", "--json", *chosen, "--broker", broker or services.url("mqtt"), "--", *command)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "nervio", *words),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": PATHS},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    answer, said = await process.communicate()
    assert process.returncode is not None
    return process.returncode, json.loads(answer) if answer else {}, said.decode()


def failed(answer: dict[str, Any]) -> list[str]:
    """The checks that the worker did not pass."""
    return [one["check"] for one in answer["checks"] if one["passed"] is False]


@pytest.mark.slow
async def test_the_python_worker_keeps_the_contract() -> None:
    code, answer, said = await checked(sys.executable, "-m", "nervio_worker", "--check", "--slots", "2")

    assert (code, failed(answer)) == (0, []), said
    assert len(answer["checks"]) == 13
    assert answer["conforms"] is True


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        ("wrong", "does a task"),
        ("gappy", "shows parts in order"),
        ("content", "fails on a bad payload and goes on"),
        ("abrupt", "leaves in order"),
        ("elsewhere", "registers"),
    ],
)
async def test_a_fault_is_found_by_its_check(fault: str, found: str) -> None:
    code, answer, _ = await checked(sys.executable, "-m", "tests.conformance.broken_worker", fault, only=found)

    assert code == 4
    assert found in failed(answer)
    assert answer["conforms"] is False


async def test_a_command_that_does_not_run_is_said_at_once() -> None:
    code, answer, _ = await checked(sys.executable, "-c", "raise SystemExit(3)")

    assert (code, failed(answer)) == (4, ["registers"])
    assert "has ended" in answer["checks"][0]["detail"]
    assert {one["passed"] for one in answer["checks"][1:]} == {None}


async def test_a_broker_that_is_not_there_is_an_error_of_its_own(free_port: int) -> None:
    code, answer, said = await checked("true", broker=f"mqtt://127.0.0.1:{free_port}")

    assert (code, answer) == (5, {})
    assert "does not answer" in said


async def test_an_address_that_is_none_is_refused_by_its_option() -> None:
    code, _, said = await checked("true", broker="tcp://somewhere")

    assert code == 2
    assert "--broker" in said

"""`nervio worker-check` as a process of its own, and the certificates that it is told of."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests import services
from tests.conformance.certificates import Authority

ROOT = Path(__file__).parents[2]
PATHS = os.pathsep.join((str(ROOT), str(ROOT / "src"), str(ROOT / "workers" / "python")))


async def checked(
    *command: str, broker: str = "", only: str = "", options: Sequence[str] = ()
) -> tuple[int, dict[str, Any], str]:
    """Runs the command: its exit code, its answer, and what it said besides."""
    chosen = ("--only", only) if only else ()
    words = ("worker-check", "--json", *chosen, *options, "--broker", broker or services.url("mqtt"), "--", *command)
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


def a_sealed_broker(port: int, authority: Authority, *addresses: str) -> str:
    """Settings of a broker that wants a certificate of everybody, with one for localhost and 127.0.0.1 of its own."""
    pair = authority.issue("broker")
    listeners = "".join(
        f"listener {port} {address}\ncafile {authority.ca}\ncertfile {pair.certificate}\nkeyfile {pair.key}\n"
        "require_certificate true\nallow_anonymous true\n"
        for address in ("127.0.0.1", *addresses)
    )
    return f"per_listener_settings true\n{listeners}persistence false\nuser root\n"


def sealed(authority: Authority) -> tuple[str, ...]:
    """Options for a worker that shows a certificate to broker and master, each of which has one of the same authority."""
    worker, master = authority.issue("worker"), authority.issue("master")
    return (
        *("--ca", str(authority.ca), "--certificate", str(worker.certificate), "--key", str(worker.key)),
        *("--grpc-certificate", str(master.certificate), "--grpc-key", str(master.key)),
        *("--grpc-client-ca", str(authority.ca)),
    )

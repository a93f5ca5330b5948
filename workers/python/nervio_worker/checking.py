"""The kind `check`: does what `nervio worker-check` asks, so that the conformance test knows what should come back.

Payload: `echo` comes back as the result; `chunks` parts ("part 0", "part 1", …) are emitted; `sleep_seconds` it takes; with `fail`
it fails with that text; a `repeat` of n makes the result a text of n characters. Anything else is a failed attempt.
"""

from __future__ import annotations

import asyncio
from typing import Any

from nervio_worker.desk import Kind
from nervio_worker.jobs import Answer, Job, TaskFailed

KNOWN = {"echo", "chunks", "sleep_seconds", "fail", "repeat"}


async def check(job: Job) -> Answer:
    """Raises `TaskFailed` where the payload is none of its own."""
    payload: Any = job.payload
    if not isinstance(payload, dict) or not set(payload) <= KNOWN:
        raise TaskFailed(f"payload: an object of {', '.join(sorted(KNOWN))} is expected", may_help=False)
    for n in range(int(payload.get("chunks", 0))):
        await job.emit(f"part {n}")
    await asyncio.sleep(float(payload.get("sleep_seconds", 0)))
    if "fail" in payload:
        raise TaskFailed(str(payload["fail"]), may_help=False)
    if "repeat" in payload:
        return Answer("x" * int(payload["repeat"]))
    return Answer(payload.get("echo"), {"input_tokens": 1, "output_tokens": int(payload.get("chunks", 0))})


CHECK = Kind("check", check)

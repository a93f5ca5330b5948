"""Processor time of a call of a model: our client beside LiteLLM, both asking the same provider on this machine."""

import asyncio
import json
import os
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bench.fleet.calling import LONG_QUESTION
from bench.fleet.parts import Figures, Part
from bench.fleet.peers import ROOT, hear, install
from bench.fleet.processes import a_program
from tests.model_peer import KEY

VERSION = "1.106.2"
STREAM_PARTS = len(f"You said: {LONG_QUESTION}".split())
LITELLM_SETTINGS = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}
"""Its own table of prices: importing it would fetch one from elsewhere."""


@asynccontextmanager
async def _litellm(programs: Path, *arguments: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        *(str(programs / "python"), "-m", "bench.fleet.calling_litellm", *arguments),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **LITELLM_SETTINGS},
        stdin=PIPE,
        stdout=PIPE,
        stderr=DEVNULL,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _ask(process: Process, **asked: Any) -> dict[str, Any]:
    assert process.stdin is not None
    process.stdin.write(json.dumps(asked).encode() + b"\n")
    await process.stdin.drain()
    return await hear(process)


async def _measure(name: str, process: Process, calls: int, streams: int) -> dict[str, float]:
    figures = {f"provider_{name}_import_seconds": (await hear(process))["import_seconds"]}
    for is_streamed, count in ((False, calls), (True, streams)):
        await _ask(process, calls=max(count // 5, 2), streams=is_streamed)
        heard = await _ask(process, calls=count, streams=is_streamed)
        what, units = ("chunk", count * STREAM_PARTS) if is_streamed else ("call", count)
        figures[f"provider_{name}_{what}_cpu_us"] = 1e6 * heard["cpu_seconds"] / units
    return figures


async def measure(quick: bool) -> Figures:
    """The same calls by both; raises UnavailableError where LiteLLM cannot be installed."""
    calls, streams = (100, 4) if quick else (1_000, 20)
    programs = await install(f"litellm-{VERSION}", (f"litellm=={VERSION}",))
    figures: dict[str, float] = {}
    async with a_program("-m", "bench.fleet.provider_server", speaks=True) as server:
        url = (await hear(server))["url"]
        async with a_program("-m", "bench.fleet.calling_ours", url, KEY, speaks=True) as process:
            figures |= await _measure("ours", process, calls, streams)
        async with _litellm(programs, url, KEY) as process:
            figures |= await _measure("litellm", process, calls, streams)
    return {**figures, **ratios_of(figures)}


def ratios_of(figures: Figures) -> dict[str, float]:
    """Ours to theirs."""
    return {
        key: figures[f"provider_ours_{what}_cpu_us"] / figures[f"provider_litellm_{what}_cpu_us"]
        for key, what in (("provider_cpu_to_litellm", "call"), ("provider_stream_cpu_to_litellm", "chunk"))
    }


PART = Part(
    name="providers",
    measure=measure,
    goals={"provider_cpu_to_litellm": "<= 0.4", "provider_stream_cpu_to_litellm": "<= 0.4"},
    legend=f"processor time of one client process that asks a provider on this machine, one call after another: ours, and LiteLLM "
    f"{VERSION} (`acompletion`). Whole answers a call; streams of {STREAM_PARTS} parts a part",
)

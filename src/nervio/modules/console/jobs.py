"""The console's background jobs: saving what a large file brings."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from nervio.db.jobs import Job, JobCtx
from nervio.kernel.errors import Kind, NervioError
from nervio.modules.catalog import api as catalog
from nervio.modules.console.importing import IMPORT_JOB, unpack

ROWS_A_STEP = 200
"""A save of so many takes some ten milliseconds of the writer, between which tills have their turn."""
MOST_TOLD = 200
"""Refused rows that are told of one by one."""
LONGEST_REASON = 200

_PLACE = re.compile(r"products\[(\d+)\]")


async def import_products(job: JobCtx, payload: Any) -> dict[str, Any]:
    """Saves the products, a chunk a step. A row the store refuses is left out, and its neighbours are saved without it."""
    products = await asyncio.to_thread(unpack, payload)
    reached: dict[str, Any] = job.value or {"at": 0, "saved": 0, "refused": 0, "told": {}}
    while reached["at"] < len(products):
        chunk = products[reached["at"] : reached["at"] + ROWS_A_STEP]
        refused: dict[str, str] = {}
        end = reached["at"] + len(chunk)
        while True:
            told = dict(list({**reached["told"], **refused}.items())[:MOST_TOLD])
            after = {
                "at": end,
                "saved": reached["saved"] + len(chunk),
                "refused": reached["refused"] + len(refused),
                "told": told,
            }
            if not chunk:
                await job.checkpoint(after, done=end, total=len(products))
                break
            try:
                async with job.step(after, done=end, total=len(products)) as ctx:
                    await catalog.save_products(ctx, chunk)
                break
            except NervioError as refusal:
                place = _PLACE.match(str(refusal.data.get("field", "")))
                if refusal.kind not in {Kind.CONFLICT, Kind.INVALID} or place is None:
                    raise
                culprit = chunk.pop(int(place[1]))
                refused[culprit.sku] = refusal.message[:LONGEST_REASON]
        reached = after
    return {name: reached[name] for name in ("saved", "refused", "told")}


IMPORT_PRODUCTS = Job(IMPORT_JOB, import_products, touches=("catalog",))

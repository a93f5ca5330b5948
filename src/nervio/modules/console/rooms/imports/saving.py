"""Saving what was confirmed: in chunks, each under a key of its own, so that confirming again after a fault saves the rest."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import msgspec

from nervio.db.batch import Lane
from nervio.db.context import Ctx
from nervio.kernel.errors import Kind, NervioError
from nervio.modules.catalog import api as catalog
from nervio.modules.catalog.contracts import ProductInput
from nervio.modules.console.importing import pack
from nervio.modules.console.requests import Frame
from nervio.modules.console.rooms.imports.comparing import Candidate, Reader, barcodes_of
from nervio.modules.console.rooms.imports.reading import Sheet, read_sheet
from nervio.modules.jobs import api as jobs
from nervio.modules.jobs.contracts import JobQueued

MOST_AT_ONCE = 2_000
"""Rows that are saved while the browser waits; more become a job, which a restart does not cut short."""
ROWS_A_CHUNK = 200
"""A save of so many takes some ten milliseconds of the writer, between which tills have their turn."""

_PLACE = re.compile(r"products\[(\d+)\]")


@dataclass
class Saved:
    """What came of it. `stopped` is why not everything was tried, if so."""

    created: int = 0
    updated: int = 0
    refused: dict[str, NervioError] = field(default_factory=dict)
    stopped: NervioError | None = None


async def preview(frame: Frame, text: str) -> tuple[Sheet, list[Candidate]]:
    """The rows of a file and what each would do. Raises UnreadableFile."""
    # In a thread: a large file takes seconds, and tills are served by the same loop.
    sheet = await asyncio.to_thread(read_sheet, text)
    known = await catalog.list_products_by_sku(frame.ctx, (row.cells.get("sku", "") for row in sheet.rows))
    owners = await catalog.list_barcode_owners(frame.ctx, (code for row in sheet.rows for code in barcodes_of(row)))
    reader = Reader(frame.formats, frame.t)
    return sheet, await asyncio.to_thread(reader.compare, sheet, known, owners)


async def save_later(ctx: Ctx, draft_id: str, candidates: Sequence[Candidate]) -> str:
    """Has the rows that change something saved by background jobs; the id of the first."""
    given = [candidate.given for candidate in candidates if candidate.given is not None]
    found = await jobs.enqueue_jobs(ctx, await asyncio.to_thread(pack, given, draft_id))
    for outcome in found:
        if isinstance(outcome, BaseException):
            raise outcome
    first = found[0]
    assert isinstance(first, JobQueued)
    return first.id


async def save(ctx: Ctx, draft_id: str, candidates: Sequence[Candidate]) -> Saved:
    """Saves the rows that change something. A row the store refuses is left out, and its neighbours are saved without it."""
    saved = Saved()
    given = [candidate.given for candidate in candidates if candidate.given is not None]
    for start in range(0, len(given), ROWS_A_CHUNK):
        chunk = given[start : start + ROWS_A_CHUNK]
        while chunk and saved.stopped is None:
            chunk = await _save_chunk(ctx, draft_id, chunk, saved)
    return saved


async def _save_chunk(ctx: Ctx, draft_id: str, chunk: list[ProductInput], saved: Saved) -> list[ProductInput]:
    """Saves a chunk; returns what is left of it to be tried again, without the row that was refused."""
    digest = hashlib.sha256(msgspec.json.encode(chunk)).hexdigest()
    try:
        done = await catalog.save_products(replace(ctx, lane=Lane.BULK), chunk, f"import-{draft_id}-{digest}")
    except NervioError as refusal:
        place = _PLACE.match(str(refusal.data.get("field", "")))
        if refusal.kind not in {Kind.CONFLICT, Kind.INVALID} or place is None:
            saved.stopped = refusal
            return []
        culprit = int(place[1])
        saved.refused[chunk[culprit].sku] = refusal
        return chunk[:culprit] + chunk[culprit + 1 :]
    saved.created += done.created
    saved.updated += done.updated
    return []

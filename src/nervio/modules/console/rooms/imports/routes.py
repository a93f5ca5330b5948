"""The import of products: a file or pasted text, what it would do row by row, and one button that does it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response

from nervio.kernel.errors import Kind
from nervio.modules.console import api
from nervio.modules.console.answers import page_router
from nervio.modules.console.requests import Frame, open_frame, redirect, text_of
from nervio.modules.console.rooms.imports.comparing import Candidate, Status, count
from nervio.modules.console.rooms.imports.reading import Sheet, UnreadableFile, decode, read_sheet
from nervio.modules.console.rooms.imports.saving import MOST_AT_ONCE, preview, save, save_later

IMPORT = "/console/import"
WRITE = "catalog.write"
ROWS_A_PAGE = 100
MOST_BYTES = 7 * 1024 * 1024
"""Of a file; a request holds a little more."""

router = page_router()


@router.get(IMPORT)
async def show_form(request: Request) -> Response:
    """Where a file is chosen or text is pasted."""
    return _form_page(await open_frame(request, WRITE))


@router.post(IMPORT)
async def read_file(request: Request) -> Response:
    """Reads the file and leads to its preview; one that cannot be read is explained."""
    frame = await open_frame(request, WRITE)
    async with request.form(max_part_size=MOST_BYTES):
        form = await frame.form()
        sent, pasted = form.get("file"), text_of(form, "text", MOST_BYTES)
        raw = await sent.read() if isinstance(sent, UploadFile) and sent.filename else pasted.encode()
    try:
        if len(raw) > MOST_BYTES:
            raise UnreadableFile("too_large", most=MOST_BYTES // 1024 // 1024)
        text = decode(raw)
        read_sheet(text)
    except UnreadableFile as fault:
        return _form_page(frame, frame.t(f"imports.file_{fault.reason}", **fault.values), pasted)
    return redirect(f"{IMPORT}/{await api.keep_draft(frame.ctx, text)}")


@router.get(IMPORT + "/{draft_id}")
async def show_preview(request: Request, draft_id: str) -> Response:
    """What each row would do; after saving, what was done and what is left."""
    frame = await open_frame(request, WRITE)
    sheet, candidates = await preview(frame, await api.get_draft(frame.ctx, draft_id))
    return _preview_page(frame, draft_id, sheet, candidates)


@router.post(IMPORT + "/{draft_id}")
async def save_rows(request: Request, draft_id: str) -> Response:
    """Saves the good rows and leads back to the preview, which then shows what is left; many rows become a job, whose page shows
    how far it is. Sent twice, it saves once."""
    frame = await open_frame(request, WRITE)
    await frame.form()
    _, candidates = await preview(frame, await api.get_draft(frame.ctx, draft_id))
    if sum(candidate.given is not None for candidate in candidates) > MOST_AT_ONCE:
        return redirect(f"/console/jobs/{await save_later(frame.ctx, draft_id, candidates)}")
    saved = await save(frame.ctx, draft_id, candidates)
    told = {"created": saved.created, "updated": saved.updated, "late": len(saved.refused)}
    if saved.stopped is not None:
        if saved.stopped.kind is Kind.HALTED and not saved.created + saved.updated:
            raise saved.stopped
        told["stopped"] = 1
    return redirect(f"{IMPORT}/{draft_id}?{urlencode(told)}")


def _form_page(frame: Frame, error: str = "", text: str = "") -> Response:
    context = {"error": error, "text": text, "most_bytes": MOST_BYTES, "most_megabytes": MOST_BYTES // 1024 // 1024}
    return frame.page("import", context, 422 if error else 200)


def _preview_page(frame: Frame, draft_id: str, sheet: Sheet, candidates: list[Candidate]) -> Response:
    counts = count(candidates)
    wanted = frame.query("status", 20)
    shown = [each for each in candidates if each.status.value == wanted] if wanted in counts else candidates
    pages = max(1, -(-len(shown) // ROWS_A_PAGE))
    page = min(max(1, _number(frame, "page")), pages)
    context: dict[str, Any] = {
        "draft_id": draft_id,
        "counts": counts,
        "total": len(candidates),
        "status": wanted if wanted in counts else "",
        "statuses": [status.value for status in Status],
        "fields": [frame.t(f"imports.field_{field}") for field in sheet.fields],
        "ignored": list(sheet.ignored),
        "rows": shown[(page - 1) * ROWS_A_PAGE : page * ROWS_A_PAGE],
        "page": page,
        "pages": pages,
        "savable": counts[Status.NEW.value] + counts[Status.CHANGED.value],
        "saved": None,
    }
    if frame.query("created"):
        context["saved"] = {name: _number(frame, name) for name in ("created", "updated", "late", "stopped")}
    return frame.page("import_preview", context)


def _number(frame: Frame, name: str) -> int:
    text = frame.query(name, 9)
    return int(text) if text.isascii() and text.isdigit() else 0

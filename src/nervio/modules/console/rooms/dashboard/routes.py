"""The dashboard and the stream that keeps it and every other page true."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from nervio.kernel.errors import Kind, NervioError
from nervio.kernel.time import to_datetime
from nervio.modules.console.answers import page_router
from nervio.modules.console.requests import HOME, Frame, SignInFirst, open_frame, redirect
from nervio.modules.console.rooms.dashboard.figures import change_percent, draw_chart, find_day, read_figures
from nervio.modules.console.rooms.dashboard.stream import Stream
from nervio.modules.sales import api as sales
from nervio.modules.stock import api as stock

ROWS = 8

router = page_router()
data = APIRouter(include_in_schema=False)


@router.get(HOME)
async def show_dashboard(request: Request) -> Response:
    """The day at a glance; for who sees no sales the first room they may enter, for a shop without a place its setup."""
    frame = await open_frame(request)
    if not frame.locations and frame.may("catalog.write"):
        return redirect("/console/setup")
    if not frame.may("sales.read"):
        rooms = frame.shell.rooms()
        frame.ctx.require("sales.read" if not rooms else rooms[0].permission)
        return redirect(rooms[0].path)
    day = await find_day(frame.ctx, frame.formats)
    now = await read_figures(frame.ctx, day, frame.formats.currency)
    before = await read_figures(frame.ctx, day.week_before(), frame.formats.currency)
    critical = (await stock.count_levels(frame.ctx))[1] if frame.may("stock.read") else 0
    context = {
        "stats": {
            "sales_minor": now.sales_minor,
            "tickets": now.tickets,
            "average_minor": now.average_minor,
            "change_percent": change_percent(now, before),
            "day": None if day.is_today else day.start,
        },
        "light": {"state": "stop" if frame.shell.halt else "warn" if critical else "ok", "critical": critical},
        "chart": await draw_chart(frame.ctx, day, frame.formats, frame.t),
        "critical": await _critical(frame),
        "tickets": await _tickets(frame),
    }
    return frame.page("dashboard", context)


@data.get("/console/stream")
async def follow(request: Request) -> Response:
    """What happens in the shop, as server-sent events, until the session or the program ends."""
    try:
        frame = await open_frame(request)
    except SignInFirst:
        raise NervioError(Kind.UNAUTHENTICATED, "unauthenticated", "Log in first.") from None
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(Stream(frame).events(), media_type="text/event-stream", headers=headers)


async def _critical(frame: Frame) -> list[dict[str, Any]]:
    if not frame.may("stock.read"):
        return []
    return [
        {
            "sku": level.sku,
            "name": level.name,
            "location": frame.place_name(level.location_id),
            "available_milli": level.available,
            "critical_milli": level.critical_level or 0,
        }
        for level in await stock.list_critical_levels(frame.ctx, ROWS)
    ]


async def _tickets(frame: Frame) -> list[dict[str, Any]]:
    return [
        {
            "number": ticket.number,
            "at": to_datetime(ticket.effective_at),
            "lines": len(ticket.lines),
            "total_minor": ticket.total if ticket.kind == "sale" else -ticket.total,
            "kind": ticket.kind,
            "document_id": ticket.id,
        }
        for ticket in await sales.list_tickets(frame.ctx, limit=ROWS)
    ]

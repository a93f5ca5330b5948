"""Saving what a list shows under a name, and forgetting it. The menu itself is drawn above each list."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from nervio.kernel.errors import not_found
from nervio.modules.console import api, lists
from nervio.modules.console.answers import page_router
from nervio.modules.console.requests import open_frame, redirect, text_of
from nervio.modules.console.shell import ROOMS, Room

VIEWS = "/console/views/{name}"
LISTS = {room.name: room for room in ROOMS if room.name in {"products", "stock", "receipts", "journal", "tasks"}}

router = page_router()


@router.post(VIEWS)
async def save_view(request: Request, name: str) -> Response:
    """Keeps the query of a list under a name, and shows the list as it was."""
    room = _list(name)
    frame = await open_frame(request, room.permission)
    form = await frame.form()
    query = lists.view_query(text_of(form, "query", 2 * api.LONGEST_QUERY))
    await api.save_view(frame.ctx, name, text_of(form, "name", 2 * api.LONGEST_NAME), query)
    return _back(room, query)


@router.post(VIEWS + "/remove")
async def remove_view(request: Request, name: str) -> Response:
    """Forgets a view, and shows the list as it was."""
    room = _list(name)
    frame = await open_frame(request, room.permission)
    form = await frame.form()
    await api.remove_view(frame.ctx, name, text_of(form, "name", 2 * api.LONGEST_NAME))
    return _back(room, lists.view_query(text_of(form, "query", 2 * api.LONGEST_QUERY)))


def _list(name: str) -> Room:
    if name not in LISTS:
        raise not_found("page", name)
    return LISTS[name]


def _back(room: Room, query: str) -> Response:
    return redirect(f"{room.path}?{query}" if query else room.path)

"""The stop, for a browser without scripts too: asking for it, what is in force, and going on. Works while stopped."""

from __future__ import annotations

import contextlib
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from nervio.db.halt import Halt
from nervio.kernel.errors import Kind, NervioError
from nervio.kernel.time import to_datetime
from nervio.modules.console.answers import page_router
from nervio.modules.console.requests import HOME, Frame, name_of, open_frame, redirect, text_of, watch_of
from nervio.modules.safety import api as safety
from nervio.modules.safety.contracts.halts import Pending

STOPPED = "/console/stopped"
PANEL = "/console/safety"

router = page_router()


@router.get(STOPPED)
async def show_stopped(request: Request) -> Response:
    """What is stopped, by whom and why. Every page is this one while nothing may even be read."""
    frame = await open_frame(request)
    halts = _in_force(frame)
    if not halts:
        return redirect(HOME)
    is_instead = bool(getattr(request.state, "halted", False))
    page = await _page(frame, halts, status=503 if is_instead else 200)
    if is_instead:
        page.headers["Retry-After"] = "5"
    return page


@router.post("/console/stop")
async def stop(request: Request) -> Response:
    """Stops what the person may stop: their shop, or for a superadmin the installation."""
    frame = await open_frame(request)
    form = await frame.form()
    answer = await safety.freeze(frame.ctx, text_of(form, "reason"))
    await _see(request)
    if isinstance(answer, Pending):
        raise NervioError(Kind.UNAVAILABLE, "stop_pending", answer.detail)
    return redirect(STOPPED)


@router.post(STOPPED + "/{halt_id}/resume")
async def resume(request: Request, halt_id: str) -> Response:
    """Ends one stop; its note says what was checked."""
    frame = await open_frame(request)
    form = await frame.form()
    try:
        answer = await safety.unfreeze(frame.ctx, text_of(form, "note"), halt_id=halt_id)
    except NervioError as error:
        if error.kind is not Kind.INVALID:
            raise
        return await _page(frame, _in_force(frame), error=frame.explain(error), status=422)
    await _see(request)
    if isinstance(answer, Pending):
        raise NervioError(Kind.UNAVAILABLE, "stop_pending", answer.detail)
    # What goes in stages or waits for a second person is followed on the panel.
    return redirect(PANEL if answer.thawing or answer.requested else STOPPED)


def _in_force(frame: Frame) -> list[Halt]:
    return [halt for halt in watch_of(frame.request).in_force if halt.concerns(frame.ctx.tenant_id)]


async def _page(frame: Frame, halts: list[Halt], *, error: str = "", status: int = 200) -> Response:
    people: dict[str, str] = {}
    with contextlib.suppress(NervioError):  # names are worth less than the page, should the store be away
        people = await frame.people()
    rows: list[dict[str, Any]] = [
        {
            "id": halt.id,
            "scope": _scope(frame, halt),
            "level": halt.level.value,
            "reason": halt.reason,
            "by": name_of(people, halt.activated_by),
            "since": to_datetime(halt.activated_at),
            "may_resume": frame.may(safety.RESUME_INSTALLATION if halt.tenant_id is None else safety.RESUME),
        }
        for halt in halts
    ]
    return frame.page("stopped", {"halts": rows, "error": error}, status)


def _scope(frame: Frame, halt: Halt) -> str:
    parts = [frame.t("stop.installation") if halt.tenant_id is None else frame.shell.shop_name]
    if halt.module is not None:
        parts.append(halt.module)
    if halt.location_id is not None:
        parts.append(frame.place_name(halt.location_id))
    return " · ".join(parts)


async def _see(request: Request) -> None:
    """Lets this process know before the next page; a watch that cannot read holds everything for stopped."""
    with contextlib.suppress(Exception):
        await watch_of(request).refresh()

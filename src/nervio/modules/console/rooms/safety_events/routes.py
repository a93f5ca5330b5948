"""The live page of events: the newest by type, relay and handlers with their lag, and dead letters to try again.

It works without scripts as tables of the latest; with them the live stream loads the parts again as facts arrive.
"""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from nervio.kernel.errors import NervioError
from nervio.kernel.time import to_datetime
from nervio.modules.console.answers import page_router
from nervio.modules.console.requests import Frame, name_of, open_frame, redirect
from nervio.modules.safety.api import events as api

EVENTS = "/console/safety/events"
NEWEST = 50
LETTERS = 100
LONGEST_PAYLOAD = 400

router = page_router()


@router.get(EVENTS)
async def show_events(request: Request) -> Response:
    """The newest events, of one type where one is chosen."""
    return await _page(await open_frame(request, api.READ_EVENTS))


@router.post(EVENTS + "/dead/replay")
async def replay_all(request: Request) -> Response:
    """Has every dead letter of the shop tried again."""
    return await _replay(request, None)


@router.post(EVENTS + "/dead/{letter_id}/replay")
async def replay_one(request: Request, letter_id: str) -> Response:
    """Has one dead letter tried again."""
    return await _replay(request, letter_id)


async def _replay(request: Request, letter_id: str | None) -> Response:
    frame = await open_frame(request, api.REPLAY_EVENTS)
    await frame.form()
    try:
        await api.replay(frame.ctx, letter_id)
    except NervioError as error:
        return await _page(frame, error=frame.explain(error), status=422)
    return redirect(EVENTS + "#letters")


async def _page(frame: Frame, *, error: str = "", status: int = 200) -> Response:
    kind = frame.query("type")
    events = await api.list_events(frame.ctx, (kind,) if kind else (), NEWEST)
    figures = await api.get_figures(frame.ctx)
    letters = await api.list_dead(frame.ctx, limit=LETTERS)
    people = await frame.people() if letters else {}
    named = {
        key.removeprefix("events.type."): text
        for key, text in frame.t.entries.items()
        if key.startswith("events.type.")
    }
    context: dict[str, Any] = {
        "kind": kind,
        "kinds": sorted(((f"{stem}.v1", text) for stem, text in named.items()), key=lambda each: each[1].casefold()),
        "events": [
            {
                "at": to_datetime(event.recorded_at),
                "kind": named.get(event.type.partition(".")[0], event.type),
                "type": event.type,
                "position": event.position,
                "payload": _short(event.payload),
            }
            for event in events
        ],
        "position": figures.position,
        "relay_lag": figures.relay_lag_positions,
        "handlers": [{"name": each.name, "lag": each.lag_positions, "dead": each.dead} for each in figures.handlers],
        "letters": [
            {
                "id": letter.id,
                "kind": named.get(letter.type.partition(".")[0], letter.type),
                "handler": letter.handler,
                "reason": letter.reason,
                "attempts": letter.attempts,
                "last_at": to_datetime(letter.last_at),
                "asked_by": None if letter.asked_by is None else name_of(people, letter.asked_by),
            }
            for letter in letters
        ],
        "error": error,
    }
    return frame.page("safety_events", context, status)


def _short(payload: dict[str, Any]) -> str:
    text = json.dumps(payload, ensure_ascii=False, separators=(", ", ": "))
    return text if len(text) <= LONGEST_PAYLOAD else text[:LONGEST_PAYLOAD] + "…"

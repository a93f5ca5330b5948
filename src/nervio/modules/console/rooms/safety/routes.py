"""The stop panel: what is in force, stopping a part, thawing, the second person, the policy; and the drills."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from nervio.kernel.errors import Kind, NervioError, not_found
from nervio.kernel.ids import is_id
from nervio.modules.console.answers import page_router
from nervio.modules.console.requests import Frame, open_frame, redirect, text_of, watch_of
from nervio.modules.console.rooms.safety.rows import (
    choices,
    drill_row,
    halt_row,
    past_drill,
    policy_row,
    request_row,
)
from nervio.modules.safety import api as safety
from nervio.modules.safety.contracts.halts import Pending, Scope, Stages

SAFETY = "/console/safety"
DRILLS = f"{SAFETY}/drills"
HISTORY = 20

router = page_router()


@router.get(SAFETY)
async def show_stops(request: Request) -> Response:
    """Stops in force first, then what waits for a second person, then how they went."""
    return await _stops(await open_frame(request, safety.READ))


@router.post(f"{SAFETY}/stop")
async def stop(request: Request) -> Response:
    """Stops a scope at a level, for a time or until somebody resumes."""
    frame = await open_frame(request, safety.STOP)
    form = await frame.form()
    seconds = _number(text_of(form, "for", 10) or "0")
    return await _do(
        frame,
        lambda: safety.freeze(
            frame.ctx,
            text_of(form, "reason"),
            scope=_scope(text_of(form, "scope", 20)),
            module=text_of(form, "module", 40) or None,
            location_id=text_of(form, "location", 40) or None,
            level=text_of(form, "level", 20) or None,
            for_seconds=float(seconds) if seconds else None,
        ),
    )


@router.post(f"{SAFETY}/halts/{{halt_id}}/thaw")
async def thaw(request: Request, halt_id: str) -> Response:
    """Ends one stop, in stages or at once; where the policy wants two people, asks for the second."""
    frame = await open_frame(request, safety.READ)
    form = await frame.form()
    at_once = text_of(form, "stages", 10) == Stages.NONE
    return await _do(
        frame,
        lambda: safety.unfreeze(
            frame.ctx,
            text_of(form, "note"),
            halt_id=halt_id,
            stages=Stages.NONE if at_once else Stages.POLICY,
        ),
    )


@router.post(f"{SAFETY}/requests/{{request_id}}/confirm")
async def confirm(request: Request, request_id: str) -> Response:
    """The second person's yes."""
    return await _settle(request, request_id, confirms=True)


@router.post(f"{SAFETY}/requests/{{request_id}}/refuse")
async def refuse(request: Request, request_id: str) -> Response:
    """No, or the first person's second thought."""
    return await _settle(request, request_id, confirms=False)


@router.post(f"{SAFETY}/policy")
async def save_policy(request: Request) -> Response:
    """How a shop, or the installation, stops and thaws."""
    frame = await open_frame(request, safety.READ)
    form = await frame.form()
    scope = _scope(text_of(form, "scope", 20))
    frame.ctx.require(safety.WRITE_INSTALLATION_POLICY if scope is Scope.INSTALLATION else safety.WRITE_POLICY)
    current = await safety.get_policy(frame.ctx, scope)
    minutes = _number(text_of(form, "confirm_minutes", 10))
    # The form shows whole minutes: what it rounded is not what somebody chose.
    is_shown = minutes == current.confirm_within_seconds // 60
    given = {
        "two_person_thaw": text_of(form, "two_person_thaw", 5) == "yes",
        "thaw_stage_seconds": _number(text_of(form, "thaw_stage_seconds", 10)),
        "thaw_jitter_seconds": _number(text_of(form, "thaw_jitter_seconds", 10)),
        "confirm_within_seconds": current.confirm_within_seconds if is_shown else 60 * minutes,
        "default_level": text_of(form, "default_level", 20),
    }
    # Only what differs: a change that waits for a second person must not undo what others changed meanwhile.
    changes = {name: value for name, value in given.items() if value != getattr(current, name)}
    return await _do(frame, lambda: safety.save_policy(frame.ctx, scope, **changes))


@router.get(DRILLS)
async def show_drills(request: Request) -> Response:
    """When the stop of each scope was last tried, red ones first."""
    return await _drills(await open_frame(request, safety.READ))


@router.post(DRILLS)
async def run_drill(request: Request) -> Response:
    """Tries one now."""
    frame = await open_frame(request, safety.READ)
    form = await frame.form()
    try:
        await safety.run_drill(frame.ctx, _scope(text_of(form, "scope", 20)), text_of(form, "module", 40) or None)
    except NervioError as error:
        if error.kind in {Kind.FORBIDDEN, Kind.UNAVAILABLE}:
            raise
        return await _drills(frame, frame.explain(error))
    return redirect(DRILLS)


async def _settle(request: Request, request_id: str, *, confirms: bool) -> Response:
    frame = await open_frame(request, safety.READ)
    form = await frame.form()
    if not is_id(request_id):
        raise not_found("request", request_id)
    return await _do(frame, lambda: safety.settle(frame.ctx, request_id, text_of(form, "note"), confirms=confirms))


async def _do(frame: Frame, deed: Callable[[], Awaitable[Any]]) -> Response:
    """Does it and shows the panel; what was wrong with the request is told on it."""
    try:
        answer = await deed()
    except NervioError as error:
        if error.kind not in {Kind.INVALID, Kind.CONFLICT} and error.code != "second_person_required":
            raise
        return await _stops(frame, frame.explain(error))
    with contextlib.suppress(Exception):  # a watch that cannot read holds everything for stopped
        await watch_of(frame.request).refresh()
    if isinstance(answer, Pending):
        raise NervioError(Kind.UNAVAILABLE, "stop_pending", answer.detail)
    return redirect(SAFETY)


async def _stops(frame: Frame, error: str = "") -> Response:
    people = await frame.people()
    halts = await safety.list_halts(frame.ctx, limit=HISTORY)
    in_force = await safety.list_halts(frame.ctx, active=True, limit=500)
    requests = [one for one in await safety.list_requests(frame.ctx) if one.outcome is None]
    policies = [await safety.get_policy(frame.ctx)]
    if frame.may(safety.WRITE_INSTALLATION_POLICY):
        policies.append(await safety.get_policy(frame.ctx, Scope.INSTALLATION))
    now = frame.ctx.clock.now()
    context = {
        "halts": [halt_row(frame, halt, people) for halt in in_force],
        "requests": [request_row(frame, one, people) for one in requests if one.expires_at > now],
        "history": [halt_row(frame, halt, people) for halt in halts if halt.cleared_at is not None],
        "policies": [policy_row(frame, policy) for policy in policies],
        "choices": choices(frame),
        "may_stop": frame.may(safety.STOP),
        "error": error,
    }
    return frame.page("safety", context, 422 if error else 200)


async def _drills(frame: Frame, error: str = "") -> Response:
    people = await frame.people()
    red_after_days = frame.request.app.state.settings.safety.drill_red_after_days
    stands = await safety.list_scopes(frame.ctx, red_after_days)
    drills = await safety.list_drills(frame.ctx, limit=HISTORY)
    context = {
        "scopes": [drill_row(frame, stand, people) for stand in stands],
        "red": sum(stand.is_red for stand in stands),
        "history": [past_drill(frame, drill, people) for drill in drills],
        "error": error,
    }
    return frame.page("safety_drills", context, 422 if error else 200)


def _scope(text: str) -> Scope:
    return Scope.INSTALLATION if text == Scope.INSTALLATION else Scope.TENANT


def _number(text: str) -> int:
    """A whole number of a form; what is none is refused with the field's bounds."""
    return int(text) if text.isascii() and text.isdigit() else -1

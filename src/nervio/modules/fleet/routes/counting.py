"""The dependency of routes that queue work: how often one person or key may call them."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from starlette.datastructures import State
from starlette.requests import Request

from nervio.db.context import Ctx
from nervio.modules.fleet.api import SUBMIT_TASKS, RequestWindows, count_request
from nervio.web.request import context_of


def count_submission(ctx: Ctx, state: State) -> None:
    """Counts a request that queues tasks, by whichever way it came. Raises `forbidden`, `too_many`."""
    settings = getattr(state, "settings", None)
    if settings is None or not settings.fleet.requests_per_window:
        return
    # Who may not queue work anyhow uses up nothing.
    ctx.require(SUBMIT_TASKS)
    windows = getattr(state, "fleet_requests", None)
    if windows is None:
        windows = RequestWindows(settings.fleet.requests_per_window, settings.fleet.request_window_seconds)
        state.fleet_requests = windows
    count_request(ctx, windows)


def _counted(request: Request) -> Ctx:
    """The caller's context, after the request was counted. Raises `unauthenticated`, `forbidden`, `too_many`."""
    ctx = context_of(request)
    count_submission(ctx, request.app.state)
    return ctx


CountedCtx = Annotated[Ctx, Depends(_counted)]
"""Parameter type of a route whose requests are counted."""

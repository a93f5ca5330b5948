"""The events of a shop: the newest, how far handlers are, and what they gave up."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

from nervio.db.context import Ctx
from nervio.kernel.errors import not_found
from nervio.kernel.ids import is_id
from nervio.kernel.time import Instant
from nervio.modules.safety.contracts.events import AskReplay, EventFigures, Letter, ReplayAsked
from nervio.modules.safety.store import events as store
from nervio.modules.safety.usecases.replaying import REPLAY
from nervio.ports.bus import Event

READ_EVENTS = "events.read"
REPLAY_EVENTS = "events.replay"


async def list_events(ctx: Ctx, types: Collection[str] = (), limit: int = 50) -> list[Event]:
    """The newest events, the newest first; of some types, or of all where none is named."""
    ctx.require(READ_EVENTS)
    return await ctx.read(partial(store.list_events, types=types, limit=limit))


async def list_dead(ctx: Ctx, before: tuple[Instant, str] | None = None, limit: int = 50) -> list[Letter]:
    """Dead letters, the last to fail first; `before` is (last_at, id) of the last one of the page before."""
    ctx.require(READ_EVENTS)
    return await ctx.read(partial(store.list_letters, before=before, limit=limit))


async def get_figures(ctx: Ctx) -> EventFigures:
    """How far relay and handlers are behind."""
    ctx.require(READ_EVENTS)
    return await ctx.read(store.read_figures)


async def replay(ctx: Ctx, letter_id: str | None, key: str | None = None) -> ReplayAsked:
    """Has a dead letter tried again, or all of the shop where None is given. Its effect happens once however often that is
    asked. Raises `dead_letter_not_found`."""
    ctx.require(REPLAY_EVENTS)
    if letter_id is not None and not is_id(letter_id):
        raise not_found("dead_letter", letter_id)
    return await ctx.submit(REPLAY, AskReplay(letter_id), key)

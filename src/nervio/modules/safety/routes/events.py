"""Dead letters over HTTP."""

from __future__ import annotations

from fastapi import APIRouter

from nervio.modules.safety.api import events as api
from nervio.modules.safety.schemas.events import LetterReply, ReplayReply
from nervio.web.lists import page_of, position_of
from nervio.web.pages import Page
from nervio.web.request import CurrentCtx, Cursor, IdempotencyKey, Limit

router = APIRouter(prefix="/api/events", tags=["events"])


@router.get("/dead", summary="Events that a handler gave up")
async def list_dead(ctx: CurrentCtx, limit: Limit = 50, cursor: Cursor = None) -> Page[LetterReply]:
    """The last to fail first."""
    found = await api.list_dead(ctx, position_of(cursor, "int", "id"), limit + 1)
    return page_of(found, limit, LetterReply.of, lambda letter: (letter.last_at, letter.id))


@router.post("/dead/{letter_id}/replay", status_code=202, summary="Have a dead letter tried again")
async def replay(ctx: CurrentCtx, letter_id: str, key: IdempotencyKey) -> ReplayReply:
    """It is tried within seconds where a process runs handlers. What a handler had done already it does not do again."""
    asked = await api.replay(ctx, letter_id, key)
    return ReplayReply(letters=asked.letters)

"""Dead letters over HTTP."""

from __future__ import annotations

from fastapi import APIRouter

from nervio.kernel.errors import invalid
from nervio.kernel.ids import is_id
from nervio.modules.safety.api import events as api
from nervio.modules.safety.schemas.events import LetterReply, ReplayReply
from nervio.web.pages import Page, decode_cursor, encode_cursor
from nervio.web.request import CurrentCtx, Cursor, IdempotencyKey, Limit

router = APIRouter(prefix="/api/events", tags=["events"])


@router.get("/dead", summary="Events that a handler gave up")
async def list_dead(ctx: CurrentCtx, limit: Limit = 50, cursor: Cursor = None) -> Page[LetterReply]:
    """The last to fail first."""
    before: tuple[int, str] | None = None
    if cursor is not None:
        at, letter_id = decode_cursor(cursor, int, str)
        if not is_id(letter_id) or not 0 <= at < 2**63:
            raise invalid("invalid_cursor", "cursor must be the next_cursor of the page before.", field="cursor")
        before = at, letter_id
    found = await api.list_dead(ctx, before, limit + 1)
    last = found[limit - 1] if len(found) > limit else None
    return Page(
        items=[LetterReply.of(letter) for letter in found[:limit]],
        next_cursor=None if last is None else encode_cursor(last.last_at, last.id),
    )


@router.post("/dead/{letter_id}/replay", status_code=202, summary="Have a dead letter tried again")
async def replay(ctx: CurrentCtx, letter_id: str, key: IdempotencyKey) -> ReplayReply:
    """It is tried within seconds where a process runs handlers. What a handler had done already it does not do again."""
    asked = await api.replay(ctx, letter_id, key)
    return ReplayReply(letters=asked.letters)

"""Following an answer while it is being made, from wherever one was cut off."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

from nervio.db.context import Ctx
from nervio.db.queue_moves import ENDED
from nervio.modules.fleet.contracts import AnswerPart, Draft
from nervio.modules.fleet.store import tasks as store
from nervio.modules.fleet.usecases.drafts import Drafts

LOOK_SECONDS = 0.25
"""How often the store is asked: whether it has ended, and what there is of it where another process takes the parts."""


async def follow(
    ctx: Ctx, drafts: Drafts, task_id: str, after: tuple[int, int] | None
) -> AsyncIterator[AnswerPart | None]:
    """Parts as they come, until the task has ended. None now and then while nothing comes.

    `after`: (token, characters) that were seen before. Parts are cut where the reader is: a slow one gets fewer and longer ones
    and holds nothing up. A part with another token than the one before begins anew: the answer before it came to nothing.
    """
    key = ctx.tenant_id, task_id
    token, seen = after or (0, 0)
    with drafts.watching(key) as something:
        while True:
            something.clear()
            found = await ctx.read(lambda c: store.find_progress(c, task_id))
            draft = drafts.find(key) or _written_down(None if found is None else found[1])
            if draft is not None and draft.token >= token:
                if draft.token > token:
                    token, seen = draft.token, 0
                if len(draft.text) > seen:
                    part, start = draft.text[seen:], seen
                    seen = len(draft.text)
                    yield AnswerPart(token, start, part)
            if found is None or found[0] in ENDED:
                return
            yield None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await something.wait()


def _written_down(checkpoint: str | None) -> Draft | None:
    if checkpoint is None:
        return None
    told = json.loads(checkpoint)
    return Draft(told["token"], told["text"])

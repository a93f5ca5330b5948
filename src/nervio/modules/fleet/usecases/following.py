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

LONGEST_PART = 16_384
"""Characters of a part. A reader that is far behind gets many of them, and holds one at a time."""


async def follow(
    ctx: Ctx, drafts: Drafts, task_id: str, after: tuple[int, int] | None
) -> AsyncIterator[AnswerPart | None]:
    """Parts as they come, until the task has ended. None now and then while nothing comes.

    `after`: (token, characters) that were seen before. Parts are cut where the reader is: a slow one gets fewer and longer ones
    and holds nothing up. A part with another token than the one before begins anew: the answer before it came to nothing.
    """
    key = ctx.tenant_id, task_id
    token, seen = after or (0, 0)
    look_at, has_ended = ctx.clock.monotonic(), False
    with drafts.watching(key) as something:
        while True:
            something.clear()
            draft = drafts.find(key)
            # What is made in this process is known of here; the store is asked now and then, not for every part.
            if draft is None or ctx.clock.monotonic() >= look_at:
                found = await ctx.read(lambda c: store.find_progress(c, task_id))
                look_at = ctx.clock.monotonic() + LOOK_SECONDS
                has_ended = found is None or found[0] in ENDED
                draft = _newer(drafts.find(key), _written_down(None if found is None else found[1]))
            if draft is not None and draft.token >= token:
                if draft.token > token:
                    token, seen = draft.token, 0
                start, whole = seen, len(draft.text)
                part = draft.text[seen : seen + LONGEST_PART]
                # Whoever reads slowly holds one part, not the whole as it was once.
                draft = None
                if part:
                    seen += len(part)
                    yield AnswerPart(token, start, part)
                if seen < whole:
                    continue
            if has_ended:
                return
            yield None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await something.wait()


def _newer(here: Draft | None, written: Draft | None) -> Draft | None:
    """Of a task that another process took over this one may still have a part of the attempt before."""
    if here is None or written is None:
        return here or written
    return here if here.token >= written.token else written


def _written_down(checkpoint: str | None) -> Draft | None:
    if checkpoint is None:
        return None
    told = json.loads(checkpoint)
    return Draft(told["token"], told["text"])

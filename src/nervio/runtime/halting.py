"""The mirror of the stop for old clients, kept up by the leader."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import asdict

from nervio.db.context import Ctx
from nervio.modules.safety import api as safety
from nervio.ports.halt import HaltNotices

MIRROR_SECONDS = 0.1
"""Pause between two rounds; a round itself lasts until something changes, at most `ROUND_SECONDS`."""
ROUND_SECONDS = 0.9


class HaltMirror:
    """Shows whether the installation is stopped, in the shape of the status endpoint: at every change, and once a second
    anyway, so that a server that lost the picture has it again."""

    def __init__(self, watch: safety.HaltWatch, notices: HaltNotices) -> None:
        self._watch, self._notices = watch, notices

    async def run(self, ctx: Ctx) -> None:
        """One round."""
        changed = asyncio.create_task(self._watch.wait_for_change())
        try:
            await self._notices.show(asdict(safety.summarize(self._watch.in_force)))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ROUND_SECONDS):
                    await asyncio.shield(changed)
        finally:
            changed.cancel()
            await asyncio.gather(changed, return_exceptions=True)

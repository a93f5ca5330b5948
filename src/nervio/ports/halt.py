"""How processes wake each other when the stops have changed, and where old clients look whether something is stopped.

Neither carries the truth: that is in the database, and every process reads it there again and again. What is lost here costs
half a second, never a stop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol


class HaltNotices(Protocol):
    """A bell, and a picture for those who cannot ask us."""

    async def start(self) -> None:
        """Begins to listen. Never fails: a server that is away is tried again."""
        ...

    def on_notice(self, notified: Callable[[], None]) -> None:
        """Calls `notified` on the event loop when somebody rang, this process included."""
        ...

    def ring(self) -> None:
        """Tells everybody that the stops may have changed. Never waits; for callers on the event loop."""
        ...

    async def show(self, status: Mapping[str, object]) -> None:
        """Puts the picture up, over whatever was there. For the leader; whoever fails tries again with the next one."""
        ...

    async def close(self) -> None:
        """Stops listening."""
        ...

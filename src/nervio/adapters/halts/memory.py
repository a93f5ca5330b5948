"""Notices within one process. The picture stays in it, where nobody asks for it but tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping


class MemoryHaltNotices:
    """See `nervio.ports.halt.HaltNotices`."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[], None]] = []
        self.shown: Mapping[str, object] | None = None

    async def start(self) -> None:
        return

    def on_notice(self, notified: Callable[[], None]) -> None:
        self._listeners.append(notified)

    def ring(self) -> None:
        for notified in self._listeners:
            notified()

    async def show(self, status: Mapping[str, object]) -> None:
        self.shown = status

    async def close(self) -> None:
        self._listeners.clear()

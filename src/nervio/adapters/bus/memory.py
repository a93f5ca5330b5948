"""The bus of a single process: a call to every handler, in order."""

from __future__ import annotations

from collections.abc import Callable

from nervio.ports.bus import Event, Handler


class MemoryBus:
    """Delivers within this process. An exception of a handler reaches the publisher, which then publishes again."""

    def __init__(self) -> None:
        self._handlers: dict[str, list[Handler]] = {}
        self._closed = False

    async def publish(self, channel: str, message: Event) -> None:
        """Calls the handlers of `channel` and of `*`, one after another."""
        if self._closed:
            raise RuntimeError("the bus is closed")
        for handler in [*self._handlers.get(channel, ()), *self._handlers.get("*", ())]:
            await handler(message)

    def subscribe(self, channel: str, handler: Handler) -> Callable[[], None]:
        """Adds a handler; returns the function that removes it."""
        handlers = self._handlers.setdefault(channel, [])
        handlers.append(handler)

        def unsubscribe() -> None:
            if handler in handlers:
                handlers.remove(handler)

        return unsubscribe

    def is_heard(self) -> bool:
        """Whether there is a handler at all: an event of this process that nobody hears leaves no trace."""
        return any(self._handlers.values())

    async def close(self) -> None:
        """Refuses further events."""
        self._closed = True

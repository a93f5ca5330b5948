"""Who listens at a shared bus in this process: listeners of channels, and this process's part in each group."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from nervio.adapters.bus.delivery import KeyedDelivery
from nervio.ports.bus import EVERYTHING, Event, Group, Handler

log = logging.getLogger(__name__)


class Membership(Protocol):
    """A process's part in a group; what else it holds is the transport's."""

    delivery: KeyedDelivery


M = TypeVar("M", bound=Membership)


class Subscriptions(Generic[M]):
    """The handlers of this process, whichever transport brings the events."""

    def __init__(self, join: Callable[[Group], M]) -> None:
        self._join = join
        self._listeners: dict[str, list[Handler]] = {}
        self.members: dict[str, M] = {}

    @property
    def has_listeners(self) -> bool:
        """Whether anybody hears events outside of groups."""
        return any(self._listeners.values())

    def add(self, channel: str, handler: Handler, group: Group | None) -> Callable[[], None]:
        """See `nervio.ports.bus.Bus.subscribe`."""
        if group is None:
            self._listeners.setdefault(channel, []).append(handler)
        else:
            if group.name not in self.members:
                self.members[group.name] = self._join(group)
            self.members[group.name].delivery.handlers[channel] = handler

        def unsubscribe() -> None:
            if group is None:
                with contextlib.suppress(ValueError):
                    self._listeners[channel].remove(handler)
                return
            left = self.members.get(group.name)
            if left is not None:
                left.delivery.handlers.pop(channel, None)
                if not left.delivery.handlers:
                    del self.members[group.name]
                    left.delivery.abandon()

        return unsubscribe

    async def tell(self, event: Event) -> None:
        """Calls the listeners; what one raises is its own affair."""
        for listener in [*self._listeners.get(event.type, ()), *self._listeners.get(EVERYTHING, ())]:
            try:
                await listener(event)
            except Exception:
                log.exception("listener_failed", extra={"event_type": event.type})

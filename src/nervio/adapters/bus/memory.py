"""The bus of a single process: a call to every listener, in order."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from nervio.adapters.bus.delivery import KeyedDelivery
from nervio.ports.bus import EVERYTHING, Event, Group, Handler


class MemoryBus:
    """Delivers within this process and keeps nothing: groups lose with the process what they had not handled, so the
    program's handlers follow the outbox instead. An exception of a listener reaches the publisher, which publishes again."""

    is_shared = False

    def __init__(self) -> None:
        self._listeners: dict[str, list[Handler]] = {}
        self._groups: dict[str, list[KeyedDelivery]] = {}
        self._closed = False

    async def publish(self, channel: str, message: Event) -> None:
        """Calls the listeners of `channel` and of `*`, one after another, then hands the event to each group."""
        if self._closed:
            raise RuntimeError("the bus is closed")
        for listener in [*self._listeners.get(channel, ()), *self._listeners.get(EVERYTHING, ())]:
            await listener(message)
        for members in list(self._groups.values()):
            # The eldest works, the others stand by: more than one could have two events of a key at once.
            members[0].put(message, _nothing)

    async def publish_all(self, messages: Sequence[Event]) -> None:
        """Publishes one after another."""
        for message in messages:
            await self.publish(message.type, message)

    async def newest(self) -> Event | None:
        """None: nothing is kept."""
        return None

    def subscribe(self, channel: str, handler: Handler, group: Group | None = None) -> Callable[[], None]:
        """Adds a handler; returns the function that removes it."""
        if group is not None:
            return self._join(channel, handler, group)
        listeners = self._listeners.setdefault(channel, [])
        listeners.append(handler)

        def unsubscribe() -> None:
            if handler in listeners:
                listeners.remove(handler)

        return unsubscribe

    def settled(self, group: str) -> int | None:
        """What the eldest member has settled."""
        members = self._groups.get(group)
        return members[0].settled if members else None

    def retire(self, groups: Collection[str]) -> None:
        """Nothing is kept for them."""

    def is_heard(self) -> bool:
        """Whether there is a handler at all: an event of this process that nobody hears leaves no trace."""
        return any(self._listeners.values()) or bool(self._groups)

    async def close(self) -> None:
        """Refuses further events and gives up those that groups have not handled."""
        self._closed = True
        for members in self._groups.values():
            for member in members:
                await member.close()
        self._groups.clear()

    def _join(self, channel: str, handler: Handler, group: Group) -> Callable[[], None]:
        members = self._groups.setdefault(group.name, [])
        member = next((one for one in members if one.group is group), None)
        if member is None:
            member = KeyedDelivery(group)
            members.append(member)
        member.handlers[channel] = handler
        joined = member

        def leave() -> None:
            joined.handlers.pop(channel, None)
            if not joined.handlers and joined in members:
                members.remove(joined)
                left = joined.abandon()
                if not members:
                    self._groups.pop(group.name, None)
                for event in left if members else ():
                    members[0].put(event, _nothing)

        return leave


def _nothing() -> None:
    """There is nothing to tell a transport that keeps nothing."""

"""Events that JetStream removed by age before a group had them: found out, and got from the outbox."""

from __future__ import annotations

import contextlib
import logging

from nats.js.errors import NotFoundError

from nervio.adapters.bus.delivery import KeyedDelivery
from nervio.adapters.bus.nats_messages import find_event
from nervio.adapters.bus.nats_session import Session

log = logging.getLogger(__name__)

ROOM = 1_000
"""Free places in a group's window from which on more is recalled: at least a page of the outbox."""


class Gaps:
    """What a group lacks, since this process reads for it."""

    def __init__(self, delivery: KeyedDelivery) -> None:
        self._delivery = delivery
        self._next = self._stumbled = 0
        self._is_open = self._is_read = False
        self._after: tuple[int, int] | None = None
        self._until: tuple[int, int] | None = None
        self._recalled = self._unsettled = 0

    async def look(self, session: Session, stream: str, group: str, floor: int) -> None:
        """To be called when the group was taken over with this acknowledged.

        The server counts what it removes as acknowledged, so only a floor that is still in the stream can be believed; any
        other is as good as none.
        """
        state = (await session.js.stream_info(stream)).state
        # What somebody deleted in the middle is a gap that stays, so the same place is not stumbled over again.
        self._next, self._stumbled = max(floor + 1, self._stumbled), 0
        self._is_open = self._is_read = False
        if 0 < state.first_seq <= floor or not state.last_seq:
            return
        if self._delivery.group.recall is None:
            if floor and state.first_seq > self._next:
                log.warning("events_missed", extra={"group": group, "messages": state.first_seq - self._next})
            self._next = max(self._next, state.first_seq)
            return
        self._after = self._until = None
        if state.messages:
            with contextlib.suppress(NotFoundError):  # removed just now
                event = find_event((await session.js.get_msg(stream, seq=state.first_seq)).data or b"")
                self._until = None if event is None else (event.position, event.n)
        self._next = max(self._next, state.first_seq)
        self._is_open, self._recalled = True, 0

    def is_one(self, sequence: int) -> bool:
        """Whether something before this delivery was removed since; the group has to be taken over again then."""
        if sequence > self._next:
            self._stumbled = sequence
            return True
        self._next = max(self._next, sequence + 1)
        return False

    async def close(self, group: str) -> bool:
        """Puts what is missing, as far as there is room; whether all of it is settled.

        Before that nothing newer may be acknowledged: whoever took over then would believe that floor.
        """
        ask = self._delivery.group.recall
        while self._is_open and not self._is_read and ask is not None and self._delivery.free >= ROOM:
            events = await ask(self._after)
            self._is_read = not events
            for event in events:
                if self._until is not None and (event.position, event.n) >= self._until:
                    self._is_read = True
                    break
                self._after = event.position, event.n
                self._recalled += 1
                self._unsettled += 1
                self._delivery.put(event, self._settled)
        if self._is_open and self._is_read and not self._unsettled:
            if self._recalled:
                log.warning("events_recalled", extra={"group": group, "events": self._recalled})
            self._is_open = False
        return not self._is_open

    def _settled(self) -> None:
        self._unsettled -= 1

"""Dead letters that somebody wants tried again, and the trying."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from nervio.adapters.bus.delivery import OF_THE_MOMENT, KeyedDelivery
from nervio.db.dead_letters import KeptLetter, Place, forget, list_asked, place_of
from nervio.kernel.errors import NervioError
from nervio.ports.bus import Event, Suspects
from nervio.runtime.trials import REPLAY, ProcessTrials
from nervio.runtime.work import Surroundings, Work

LOOK_SECONDS = 2.0
"""How often it is looked for letters."""
REST_SECONDS = 10.0
"""For so long letters to a handler from a shop for which it can do nothing at the moment are left alone."""
MOST_AT_ONCE = 500
"""Letters under way at once, and looked at in one go."""


class Replays:
    """Tries dead letters again that somebody asked for. One process at a time does."""

    def __init__(self, works: Sequence[Work], around: Surroundings, trials: ProcessTrials) -> None:
        self._around, self._trials = around, trials
        self._works = {work.name: work for work in works}
        self._deliveries: dict[str, KeyedDelivery] = {}
        self._rests_until: dict[tuple[str, str], float] = {}
        self._place: Place | None = None
        self._look_at = 0.0

    async def look(self) -> None:
        """Takes on what was asked for, page by page: whatever is under way or cannot be handled yet, others come too."""
        now = self._around.clock.monotonic()
        room = MOST_AT_ONCE - len(self._deliveries)
        if now < self._look_at or room <= 0:
            return
        self._look_at = now + LOOK_SECONDS
        self._rests_until = {pair: until for pair, until in self._rests_until.items() if until > now}
        query = partial(list_asked, handlers=list(self._works), after=self._place, limit=MOST_AT_ONCE)
        letters = await self._around.database.read(query)
        begun = {name: await self._trials.read_begun(REPLAY + name) for name in {letter.handler for letter in letters}}
        for letter in letters:
            rests = (letter.handler, letter.event.tenant_id) in self._rests_until
            if letter.id not in self._deliveries and not rests:
                if room == 0:
                    return
                room -= 1
                self._take(self._works[letter.handler], letter, begun[letter.handler])
            self._place = place_of(letter)
        if len(letters) < MOST_AT_ONCE:
            self._place = None

    def _take(self, work: Work, letter: KeptLetter, begun: Suspects) -> None:
        async def again(event: Event) -> None:
            try:
                await work.try_once(event)
            except NervioError as error:
                if error.kind not in OF_THE_MOMENT:
                    raise
                # Still asked for; waiting here it would keep the place of one that can be handled.
                self._rests_until[work.name, event.tenant_id] = self._around.clock.monotonic() + REST_SECONDS
                return
            await self._around.database.bookkeep("handlers", lambda c: forget(c, event.tenant_id, letter.id))

        # One delivery a letter: they were given up one by one, and none of them waits for another.
        group = replace(
            work.group, name=REPLAY + work.name, bury=lambda letter: work.bury(replace(letter, group=work.name))
        )
        delivery = self._deliveries[letter.id] = KeyedDelivery(group)
        # It was given up once, so it is noted before whatever it does now.
        delivery.suspect(replace(begun, until=letter.event.position))
        delivery.handlers[letter.event.type] = again
        delivery.put(letter.event, lambda: self._end(letter.id))

    def _end(self, letter_id: str) -> None:
        del self._deliveries[letter_id]

    async def close(self) -> None:
        """Gives up what is under way; it is still asked for."""
        for delivery in list(self._deliveries.values()):
            await delivery.close()
        self._deliveries.clear()
        self._place = None

"""What there is so far of answers that are being made: shown to whoever watches, written down now and then, never the truth."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from nervio.modules.fleet.contracts import Draft
from nervio.modules.fleet.usecases.roster import TaskKey
from nervio.ports.workers import Chunk

LONGEST_DRAFT = 1_000_000
"""Characters of an answer that are shown before it is whole; of a longer one the rest comes with the result."""

MOST_EARLY = 1_000
"""Parts that are kept while one before them is missing."""


@dataclass(slots=True)
class _Making:
    """The parts of one attempt, in their order. Parts that overtook others wait for those."""

    token: int
    text: str = ""
    expected: int = 0
    early: dict[int, str] = field(default_factory=dict)


class Drafts:
    """Of all tasks of this process. Everything on the event loop."""

    def __init__(self) -> None:
        self._making: dict[TaskKey, _Making] = {}
        self._changed: set[TaskKey] = set()
        self._begun: set[TaskKey] = set()
        self._watchers: dict[TaskKey, set[asyncio.Event]] = {}

    def begin(self, key: TaskKey) -> None:
        """A worker of this process has the task: its end will ring."""
        self._begun.add(key)

    def will_end_here(self, key: TaskKey) -> bool:
        """Whether who watches the task need not look for its end."""
        return key in self._begun

    def add(self, chunk: Chunk) -> None:
        """Takes in a part. One that came before is left out; those of a newer attempt begin anew."""
        key = chunk.tenant_id, chunk.task_id
        making = self._making.get(key)
        if making is None or making.token < chunk.token:
            making = self._making[key] = _Making(chunk.token)
        if chunk.token < making.token or chunk.n < making.expected:
            return
        if len(making.early) >= MOST_EARLY and chunk.n != making.expected:
            return  # the part before them is lost; the whole answer comes with the result
        making.early[chunk.n] = chunk.text
        while making.expected in making.early:
            part = making.early.pop(making.expected)
            making.expected += 1
            making.text += part[: LONGEST_DRAFT - len(making.text)]
        self._changed.add(key)
        self.ring(key)

    def find(self, key: TaskKey) -> Draft | None:
        """What there is of a task's answer; None where no part of it has come to this process."""
        making = self._making.get(key)
        return None if making is None else Draft(making.token, making.text)

    def end(self, key: TaskKey, token: int | None = None) -> None:
        """Forgets a task whose attempt has ended, and wakes who watches it. Of an attempt that another has followed nothing is
        left to be forgotten."""
        making = self._making.get(key)
        if token is not None and making is not None and making.token > token:
            return
        self._begun.discard(key)
        self._making.pop(key, None)
        self._changed.discard(key)
        self.ring(key)

    def take_changed(self) -> dict[TaskKey, Draft]:
        """What has grown since the last time, to be written down for other processes."""
        changed = {key: Draft(self._making[key].token, self._making[key].text) for key in self._changed}
        self._changed.clear()
        return changed

    @contextmanager
    def watching(self, key: TaskKey) -> Iterator[asyncio.Event]:
        """An event that is set whenever something has come or ended; the watcher clears it before it looks."""
        event = asyncio.Event()
        self._watchers.setdefault(key, set()).add(event)
        try:
            yield event
        finally:
            watchers = self._watchers[key]
            watchers.discard(event)
            if not watchers:
                del self._watchers[key]

    def ring(self, key: TaskKey) -> None:
        """Wakes who watches a task."""
        for event in self._watchers.get(key, ()):
            event.set()

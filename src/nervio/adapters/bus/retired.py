"""Groups that have no handler any more, and for how long nobody has read for them."""

from __future__ import annotations

import logging
from collections.abc import Collection

log = logging.getLogger(__name__)

LOOK_SECONDS = 60.0
GRACE_SECONDS = 600.0
"""For so long nobody must have read for a group before what is kept for it is dropped. Longer than a process of the version
before takes to come back, in an upgrade that goes from one to the next."""


class Retired:
    """What a shared bus was told, and what it saw since."""

    def __init__(self) -> None:
        self._names: frozenset[str] = frozenset()
        self._unread_since: dict[str, float] = {}
        self._look_at = 0.0

    def name(self, groups: Collection[str]) -> None:
        """See `nervio.ports.bus.Bus.retire`."""
        self._names = frozenset(groups)
        self._unread_since = {name: since for name, since in self._unread_since.items() if name in self._names}

    def to_look_at(self, now: float, joined: Collection[str]) -> list[str]:
        """The names that have to be looked at now; never one of which this process is a member."""
        if now < self._look_at:
            return []
        self._look_at = now + LOOK_SECONDS
        return sorted(self._names.difference(joined))

    def may_go(self, group: str, now: float, *, is_read: bool) -> bool:
        """Whether nobody has read for it long enough, given whether somebody does now."""
        if is_read:
            self._unread_since.pop(group, None)
            return False
        return now - self._unread_since.setdefault(group, now) >= GRACE_SECONDS

    def gone(self, group: str) -> None:
        """What was kept for it is dropped."""
        self._unread_since.pop(group, None)
        log.info("group_dropped", extra={"group": group})

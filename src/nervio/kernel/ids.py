"""UUIDv7 identifiers (RFC 9562, section 5.7) as canonical 36-character strings.

Strings, because they are dictionary keys on every hot path and Python caches a string's hash but not a UUID's.
Ids made by one process grow strictly: the 12 bits after the millisecond count within it.
"""

from __future__ import annotations

import os
import re
import threading
import time

NIL = "00000000-0000-0000-0000-000000000000"
"""The tenant of facts that belong to the whole installation (a global stop, say)."""

_CANONICAL = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
"""The digit that carries the variant (RFC 9562, section 4.1), for each random digit in its place."""

_DIGITS_AN_ID = 16
_RANDOM_BYTES = 4096


class _Generator:
    """The ids of this process. Randomness is fetched in bulk: the call lets go of the interpreter's lock, and getting
    that back on a busy process costs far more than the bytes. It is kept as hexadecimal digits, because putting text
    together is several times cheaper than numbers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last_tick = 0  # milliseconds << 12 | counter
        self.forget_random()

    def forget_random(self) -> None:
        """Makes sure that no random digit is used from here on that might be used elsewhere too."""
        self._random, self._used = "", 0

    def make(self, count: int) -> list[str]:
        """`count` ids, greater than all before."""
        with self._lock:
            if len(self._random) - self._used < _DIGITS_AN_ID * count:
                self._random, self._used = os.urandom(max(_RANDOM_BYTES, _DIGITS_AN_ID * count)).hex(), 0
            random, at = self._random, self._used
            self._used += _DIGITS_AN_ID * count
            tick = max(self._last_tick + 1, (time.time_ns() // 1_000_000) << 12)
            self._last_tick = tick + count - 1
        made = []
        millisecond, prefix = -1, ""
        for value in range(tick, tick + count):
            if value >> 12 != millisecond:
                millisecond = value >> 12
                digits = f"{millisecond:012x}"
                prefix = f"{digits[:8]}-{digits[8:]}-7"
            variant = _VARIANT[random[at]]
            made.append(f"{prefix}{value & 0xFFF:03x}-{variant}{random[at + 1 : at + 4]}-{random[at + 4 : at + 16]}")
            at += _DIGITS_AN_ID
        return made


_generator = _Generator()

if hasattr(os, "register_at_fork"):
    # A forked child must not hand out the ids its parent is about to.
    os.register_at_fork(after_in_child=_generator.forget_random)


def new_id() -> str:
    """A new UUIDv7, greater than every one this process made before."""
    return _generator.make(1)[0]


def new_ids(count: int) -> list[str]:
    """`count` new ids in growing order, for one price of the lock and of the random source."""
    return _generator.make(count)


def is_id(text: str) -> bool:
    """Whether `text` is an id in canonical form."""
    return _CANONICAL.fullmatch(text) is not None

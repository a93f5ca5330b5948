"""When a provider that fails is left alone, on plain values. It costs waiting only: what is refused here is tried elsewhere."""

from __future__ import annotations

FAILURES = 5
REST_SECONDS = 30.0


class Breaker:
    """Closed until so many calls in a row failed; then open for a rest; then one call at a time may try.

    `now` is the monotonic clock in seconds.
    """

    def __init__(self, failures: int = FAILURES, rest_seconds: float = REST_SECONDS) -> None:
        self._most, self._rest_seconds = failures, rest_seconds
        self._failures = 0
        self._open_until: float | None = None
        self._is_trying = False
        self.last_words = ""
        """What was said of the last failure."""

    @property
    def failures(self) -> int:
        """Calls that failed in a row."""
        return self._failures

    def admit(self, now: float) -> float:
        """0.0 where a call may go out, which then must end in one of the three below; else the seconds to wait."""
        if self._open_until is None:
            return 0.0
        if now < self._open_until:
            return self._open_until - now
        if self._is_trying:
            return self._rest_seconds
        self._is_trying = True
        return 0.0

    def answered(self) -> None:
        """The provider is there, whatever it said."""
        self._failures, self._open_until, self._is_trying, self.last_words = 0, None, False, ""

    def failed(self, now: float, words: str) -> None:
        """The provider is not there, or talks nonsense."""
        self._failures += 1
        self._is_trying = False
        self.last_words = words
        if self._failures >= self._most:
            self._open_until = now + self._rest_seconds

    def withdrawn(self) -> None:
        """The call was given up by its caller, which says nothing about the provider."""
        self._is_trying = False

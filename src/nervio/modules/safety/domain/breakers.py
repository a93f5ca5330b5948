"""The circuit breaker of a connection, which fails safe: what cannot be read counts as open.

Open means that nothing is resumed. Pausing always tries: it is what one wants when things go wrong. The half-open attempt
has a time of its own, so a process that died with it cannot keep the breaker half-open for ever.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from nervio.kernel.time import SECOND, Instant

FAILURES_TO_OPEN = 5
OPEN_SECONDS = 30
PROBE_SECONDS = 60


class BreakerState(StrEnum):
    """Whether resuming is tried."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class Breaker:
    """The breaker of one connection as it is stored."""

    state: str
    failures: int
    open_until: Instant
    probe_until: Instant


CLOSED = Breaker(BreakerState.CLOSED, 0, 0, 0)


def opened(now: Instant, failures: int = FAILURES_TO_OPEN) -> Breaker:
    """Open from now on."""
    return Breaker(BreakerState.OPEN, failures, now + OPEN_SECONDS * SECOND, 0)


def state_of(breaker: Breaker | None) -> BreakerState:
    """What it counts as. A row that is not there or says what we do not know is open."""
    if breaker is None or breaker.state not in {state.value for state in BreakerState}:
        return BreakerState.OPEN
    return BreakerState(breaker.state)


def admit(breaker: Breaker | None, now: Instant) -> tuple[bool, Breaker]:
    """(whether one attempt may go through now, the breaker afterwards). For what increases risk; a pause does not ask."""
    if breaker is None:
        return False, opened(now)
    state = state_of(breaker)
    if state is BreakerState.CLOSED:
        return True, breaker
    if state is BreakerState.OPEN and now < breaker.open_until:
        return False, breaker
    if state is BreakerState.HALF_OPEN and now < breaker.probe_until:
        return False, breaker
    return True, replace(breaker, state=BreakerState.HALF_OPEN, probe_until=now + PROBE_SECONDS * SECOND)


def try_again_at(breaker: Breaker, now: Instant) -> Instant:
    """When an attempt that was not admitted may ask again."""
    return max(breaker.open_until, breaker.probe_until, now + SECOND)


def after_success(_breaker: Breaker | None) -> Breaker:
    """The platform answered sensibly."""
    return CLOSED


def after_failure(breaker: Breaker | None, now: Instant) -> Breaker:
    """The platform did not answer, or made no sense."""
    if breaker is None:
        return opened(now)
    failures = min(breaker.failures + 1, 1_000_000)
    if state_of(breaker) is BreakerState.CLOSED and failures < FAILURES_TO_OPEN:
        return replace(breaker, failures=failures)
    return opened(now, failures)

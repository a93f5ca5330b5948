"""A platform that runs advertising campaigns: what Nervio asks of it, and the few things its answers can mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class Outcome(StrEnum):
    """What is known of an order after it was given."""

    APPLIED = "applied"
    """The platform says it took it. Whether it did it, reading back tells."""
    REFUSED = "refused"
    """The platform says no, and will say so again: a wrong key, no such campaign."""
    NOT_SENT = "not_sent"
    """Nothing can have happened: no connection, or turned away before it was looked at (too many requests)."""
    UNKNOWN = "unknown"
    """It may or may not have happened: the answer was lost, late, or made no sense."""


class CampaignStatus(StrEnum):
    """What a platform says a campaign does."""

    RUNNING = "running"
    PAUSED = "paused"
    GONE = "gone"
    """Removed or archived: it spends nothing and cannot be resumed."""
    UNKNOWN = "unknown"
    """The platform could not be asked, or its answer made no sense."""


@dataclass(frozen=True, slots=True)
class Order:
    """What to do to one campaign. The same `key` goes with every repetition, so that a platform that knows keys does it
    once."""

    campaign: str
    """The platform's own id of it."""
    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an order, in our terms and in the platform's words."""

    outcome: Outcome
    words: str
    retry_after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What a campaign does now, in our terms and in the platform's words."""

    status: CampaignStatus
    words: str
    retry_after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """How to reach one account of a platform. `secrets` are opened for the length of a call and never logged."""

    settings: Mapping[str, str]
    secrets: Mapping[str, str] = field(repr=False)


class CampaignPlatform(Protocol):
    """One account of a platform. No method raises for what the platform does: that is an outcome."""

    async def pause(self, order: Order) -> Answer:
        """Asks the platform to stop the campaign."""
        ...

    async def resume(self, order: Order) -> Answer:
        """Asks the platform to let the campaign run again."""
        ...

    async def read_back(self, campaign: str) -> Reading:
        """What the campaign does now."""
        ...

    async def close(self) -> None:
        """Lets go of its connections."""
        ...


OpenPlatform = Callable[[str, Account], CampaignPlatform]
"""Makes the adapter of a platform by name for an account; connects to nothing."""

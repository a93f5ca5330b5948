"""A way on which an alert leaves the house: a webhook, a chat, an e-mail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from nervio.kernel.time import Instant
from nervio.ports.actions import Account


class Delivery(StrEnum):
    """What came of sending an alert."""

    SENT = "sent"
    FAILED = "failed"
    """Not taken, or not known to be: it is tried again under the same id."""
    REFUSED = "refused"
    """Will never be taken as it is: a wrong password, no such address."""


@dataclass(frozen=True, slots=True)
class Message:
    """An alert in the words of the shop's language. `id` is the same at every repetition."""

    id: str
    severity: str
    code: str
    title: str
    body: str
    link: str
    shop: str
    count: int
    at: Instant


@dataclass(frozen=True, slots=True)
class Receipt:
    """What came of it, and the receiver's words."""

    delivery: Delivery
    words: str
    retry_after_seconds: float | None = None


class AlertChannel(Protocol):
    """One destination. Never raises for what the receiver does."""

    async def send(self, message: Message) -> Receipt:
        """Hands the message over once."""
        ...

    async def close(self) -> None:
        """Lets go of its connections."""
        ...


OpenChannel = Callable[[str, Account], AlertChannel]
"""Makes the adapter of a kind of destination; connects to nothing."""

"""Answers that are kept, so that nothing is paid for twice: what makes two tasks the same, and who asks while others wait."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import msgspec

from nervio.kernel.time import SECOND, Instant
from nervio.modules.fleet.contracts import SubmitTask
from nervio.modules.fleet.domain.tasks import KINDS

HANDING_SECONDS = 10.0
"""How long an answer stays at least that others wait for: nobody is to ask anew before they have it."""


def digest_of(task: SubmitTask) -> str | None:
    """What tasks have in common that ask for the same: SHA-256 of kind, model and payload, whose keys may come in any order. None
    of one that wants an answer of its own, which are those of kinds that nobody knows unless they say otherwise."""
    wanted = task.kind in KINDS if task.cache is None else task.cache
    if not wanted:
        return None
    try:
        payload = msgspec.json.encode(msgspec.json.decode(task.payload), order="deterministic")
    except (msgspec.DecodeError, RecursionError):
        return None
    return hashlib.sha256(b"\0".join((task.kind.encode(), task.model.encode(), payload))).hexdigest()


@dataclass(slots=True)
class KeptAnswer:
    """The answer to all equal tasks of a tenant, or who is getting it.

    `task_id` is the task that asks, or asked; None where it came to nothing. `priority` is that task's.
    """

    tenant_id: str
    digest: str
    task_id: str | None = None
    priority: int = 0
    result: str | None = None
    usage: str | None = None
    answered_at: Instant | None = None
    expires_at: Instant | None = None
    awaited: int = 0
    """How many tasks wait for it."""

    def is_fresh(self, now: Instant) -> bool:
        """Whether it may be given to who asks now."""
        return self.answered_at is not None and self.expires_at is not None and self.expires_at > now

    def answers(self, asked_at: Instant) -> bool:
        """Whether it came after that: who waited for it gets it, however short it is kept."""
        return self.answered_at is not None and self.answered_at >= asked_at

    def is_asked(self, priority: int) -> bool:
        """Whether somebody is getting it who is as urgent. Whoever is more so asks anew, and the others wait for that."""
        return self.task_id is not None and self.answered_at is None and self.priority <= priority

    def ask(self, task_id: str, priority: int) -> None:
        """The task is getting it."""
        self.task_id, self.priority = task_id, priority
        self.result = self.usage = self.answered_at = self.expires_at = None

    def keep(self, task_id: str, result: str, usage: str | None, now: Instant, seconds: float) -> bool:
        """The task has brought it; whether others wait for it. What one brings that no longer asks for all is its own."""
        if self.task_id != task_id or self.answered_at is not None:
            return False
        is_awaited, self.awaited = self.awaited > 0, 0
        self.result, self.usage, self.answered_at = result, usage, now
        self.expires_at = now + int(max(seconds, HANDING_SECONDS if is_awaited else 0.0) * SECOND)
        return is_awaited

    def give_up(self, task_id: str) -> bool:
        """The task came to nothing: the next asks; whether one waits."""
        if self.task_id != task_id or self.answered_at is not None:
            return False
        self.task_id = None
        return self.awaited > 0

"""What a worker's own functions see: the job, and the ways in which it may end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

AttemptKey = tuple[str, str, int]
"""(tenant, task, token)"""

LONGEST_PART = 1024 * 1024
"""Characters; a longer text is shown as several parts."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a task came to: `result` is anything that JSON can say, `usage` what it cost (`input_tokens`, `output_tokens`, …)."""

    result: Any
    usage: Mapping[str, Any] | None = None


class TaskFailed(Exception):
    """An attempt that came to nothing. `may_help` False says that trying again is of no use."""

    def __init__(self, message: str, *, may_help: bool = True, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.may_help, self.retry_after_seconds = may_help, retry_after_seconds


class Room:
    """What `emit` gives back: await it in async functions, so that a slow reader slows the function and not the memory."""

    def __init__(self, wait: Callable[[], Awaitable[object]] | None) -> None:
        self._wait = wait

    def __await__(self) -> Generator[Any, None, None]:
        if self._wait is not None:
            yield from self._wait().__await__()


@dataclass(slots=True, eq=False)
class Job:
    """One attempt at a task. Files in `payload` are named by reference."""

    tenant_id: str
    task_id: str
    token: int
    kind: str
    model: str
    payload: Any
    attempt: int
    size: int
    deadline_at: str | None
    say: Callable[[Job, int, str], Room] = field(repr=False)
    _is_cancelled: bool = field(default=False, repr=False)
    _n: int = field(default=0, repr=False)

    @property
    def key(self) -> AttemptKey:
        """What names the attempt. Good as an idempotency key towards whoever is paid for the work, without the token."""
        return self.tenant_id, self.task_id, self.token

    @property
    def is_cancelled(self) -> bool:
        """Whether nobody wants the result any more. A function in a thread looks at it now and then; an async one is cancelled."""
        return self._is_cancelled

    def emit(self, text: str) -> Room:
        """Shows a part of the answer while it is being made: `job.emit(...)` in a plain function, which waits where whoever reads
        is slow; `await job.emit(...)` in an async one, which waits then."""
        if self._is_cancelled:
            return Room(None)
        room = Room(None)
        for start in range(0, max(len(text), 1), LONGEST_PART):
            room = self.say(self, self._n, text[start : start + LONGEST_PART])
            self._n += 1
        return room

    def cancel(self) -> None:
        """Nobody wants the result any more."""
        self._is_cancelled = True

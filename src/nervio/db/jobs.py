"""Background jobs as modules see them: what one declares, and what its handler is given."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from nervio.db.context import Ctx
from nervio.db.steps import Checkpoint, Step
from nervio.kernel.errors import Kind, NervioError, invalid
from nervio.kernel.time import Instant

LARGEST_CHECKPOINT = 65_536
"""Bytes. What is larger belongs into a table of the module."""


@dataclass(frozen=True, slots=True)
class Job:
    """A kind of background job. `name` is `module.verb` and never changes: what waits in the queue is known by it.

    `handler` gets a context and the payload, and gives a result that fits into JSON. It is begun again from the last checkpoint
    after a crash, so it does what it does in steps (see `JobCtx`). It runs on the event loop: what takes the processor for long it
    hands to a thread. `touches`: other modules that it writes to; while one of them is stopped it does not begin.
    """

    name: str
    handler: Callable[[JobCtx, Any], Awaitable[Any]]
    touches: tuple[str, ...] = ()

    @property
    def modules(self) -> tuple[str, ...]:
        """The modules whose stop keeps it from running."""
        return (self.name.partition(".")[0], *self.touches)


class JobFailed(NervioError):
    """What a handler raises where trying again would not help."""

    def __init__(self, message: str, **data: Any) -> None:
        super().__init__(Kind.INVALID, "job_failed", message, **data)


class JobCtx:
    """What a handler works with: who asked for the job, how far it has come, and the ways to go on.

    A step's effect and the checkpoint after it are one commit, so it happens exactly once:

        for n in range(job.value or 0, len(chunks)):
            async with job.step(n + 1, done=n + 1, total=len(chunks)) as ctx:
                await catalog.save_products(ctx, chunks[n])

    During a stop, and when the process shuts down, the way to the next step raises `halted`: let it pass, and the job is parked
    where it is, without an attempt being counted.
    """

    def __init__(
        self,
        ctx: Ctx,
        job_id: str,
        token: int,
        attempt: int,
        deadline_at: Instant | None,
        reached: Checkpoint,
        keep: Callable[[Ctx, Step], Awaitable[object]],
        check: Callable[[], None],
    ) -> None:
        self.ctx, self.id, self.attempt, self.deadline_at = ctx, job_id, attempt, deadline_at
        self._token, self._reached, self._keep, self._check = token, reached, keep, check

    @property
    def value(self) -> Any:
        """The value of the last checkpoint; None before the first."""
        return self._reached.value

    async def checkpoint(self, value: Any, *, done: int | None = None, total: int | None = None) -> None:
        """Writes down how far the job has come, in a commit of its own: for what has effects that no commit of ours holds.
        Written during a stop too, and then raises `halted`."""
        reached, step = self._next(value, done, total)
        await self._write_alone(step)
        self._reached = reached
        self._check()

    @asynccontextmanager
    async def step(self, value: Any, *, done: int | None = None, total: int | None = None) -> AsyncIterator[Ctx]:
        """A context for exactly one command, committed together with the checkpoint. A command that had been answered before under
        the same key, and one whose refusal the block has caught, leave the checkpoint to a commit of its own."""
        self._check()
        reached, step = self._next(value, done, total)
        yield replace(self.ctx, step=step)
        if not step.is_taken:
            raise RuntimeError("the step of a job made no command; use `checkpoint` where there is none")
        if not step.is_moved:
            await self._write_alone(step)
        self._reached = reached

    async def _write_alone(self, step: Step) -> None:
        await self._keep(self.ctx, Step(step.work, step.token, step.before, step.text, is_alone=True))

    def _next(self, value: Any, done: int | None, total: int | None) -> tuple[Checkpoint, Step]:
        now = self._reached
        reached = Checkpoint(
            now.n + 1, self._token, value, now.done if done is None else done, now.total if total is None else total
        )
        text = encode_json(reached, "checkpoint", LARGEST_CHECKPOINT)
        return reached, Step((self.ctx.tenant_id, self.id), self._token, now.n, text)


def encode_json(value: Any, field: str, most_bytes: int) -> str:
    """A value as JSON text. Raises `invalid` for what JSON cannot say, and for what is too large."""
    try:
        text = msgspec.json.encode(value)
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        raise invalid("not_json", f"{field} must be a value that JSON can say: {error}.", field=field) from None
    if len(text) > most_bytes:
        raise invalid("too_large", f"{field} may have {most_bytes} bytes, not {len(text)}.", field=field)
    return text.decode()

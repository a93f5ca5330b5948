"""What attempts used, counted in the transaction that takes their results."""

from __future__ import annotations

from typing import Any

from nervio.db.batch import Batch, Command
from nervio.db.queue import WorkKey
from nervio.modules.fleet import metrics
from nervio.modules.fleet.book import SpendBook, UsageBook
from nervio.modules.fleet.domain.use import Use


def want_meter(batch: Batch, task: WorkKey, used: Use) -> None:
    """Declares the sums of what an attempt at a task says that it cost, where it cost anything."""
    if used.cost_micros:
        batch.book(SpendBook).want_of(task, used.currency)


def meter(batch: Batch, command: Command[Any, Any], kind: str, use: Use, *, done: bool) -> None:
    """Adds what an attempt used that is accepted; an attempt that failed may have cost something too."""
    if use.input_tokens or use.output_tokens:
        tokens = {"input_tokens": use.input_tokens, "output_tokens": use.output_tokens}
        batch.book(UsageBook).add(batch, command.tenant_id, kind, **tokens)
    if use.cost_micros:
        spend = batch.book(SpendBook)
        if not spend.add(batch, command.tenant_id, command.actor_id, kind, use, done=done):
            metrics.COSTS_NOT_COUNTED.inc()

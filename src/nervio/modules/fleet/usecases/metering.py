"""What attempts used, counted in the transaction that takes their results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nervio.db.batch import Batch, Command
from nervio.modules.fleet import metrics
from nervio.modules.fleet.book import SpendBook, UsageBook
from nervio.modules.fleet.domain.use import Use, use_of


def want_meters(batch: Batch, tenant_id: str, told: Sequence[tuple[str, str | None]]) -> list[Use]:
    """What each attempt says that it used, given as (task id, usage); the sums of what has a cost are declared."""
    uses = [use_of(usage) for _, usage in told]
    for (task_id, _), use in zip(told, uses, strict=True):
        if use.cost_micros:
            batch.book(SpendBook).want_of((tenant_id, task_id), use.currency)
    return uses


def meter(batch: Batch, command: Command[Any, Any], kind: str, use: Use, *, done: bool) -> None:
    """Adds what an attempt used that is accepted; an attempt that failed may have cost something too."""
    if use.input_tokens or use.output_tokens:
        tokens = {"input_tokens": use.input_tokens, "output_tokens": use.output_tokens}
        batch.book(UsageBook).add(batch, command.tenant_id, kind, **tokens)
    if use.cost_micros:
        spend = batch.book(SpendBook)
        if not spend.add(batch, command.tenant_id, command.actor_id, kind, use, done=done):
            metrics.COSTS_NOT_COUNTED.inc()

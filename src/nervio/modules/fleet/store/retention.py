"""What of the fleet is over, so that it may be pruned by its age."""

from __future__ import annotations

from nervio.db.pruning import Aged
from nervio.db.tables import queue_items
from nervio.modules.fleet.models import fleet_answers, fleet_attempts
from nervio.modules.fleet.store.tasks import QUEUE

ANSWERS_DAYS = 1
"""After an answer has expired. Followers that came late find it a little longer."""


def aged_tasks(days: int) -> Aged:
    """Tasks that have ended, with their attempts."""
    attempts = (fleet_attempts.c.tenant_id, fleet_attempts.c.task_id)
    return Aged(queue_items, days, queue_items.c.ended_at, queue_items.c.queue == QUEUE, attempts)


def aged_answers() -> Aged:
    """Answers that nobody gets any more."""
    return Aged(fleet_answers, ANSWERS_DAYS, fleet_answers.c.expires_at)

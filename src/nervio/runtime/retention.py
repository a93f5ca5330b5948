"""What forgets what has done its work, for as long as the settings say that it is kept."""

from __future__ import annotations

from nervio.db.pruning import Pruner
from nervio.modules.fleet import api as fleet
from nervio.modules.jobs import api as jobs
from nervio.modules.safety.api import retention as safety
from nervio.runtime.relay import CURSOR
from nervio.runtime.settings import Settings


def make_pruner(settings: Settings) -> Pruner:
    """The program's pruner."""
    kept = settings.retention
    others = [
        *safety.list_aged(kept.trips_days, kept.alerts_days),
        *jobs.list_aged(kept.jobs_days),
        *fleet.list_aged(kept.tasks_days),
    ]
    return Pruner(kept.answers_days, kept.events_days, readers=[CURSOR], others=others)

"""What hands out AI work in this process, with the ways to workers that the settings ask for."""

from __future__ import annotations

import socket

from nervio.adapters.workers.local import LocalWorkers
from nervio.db.context import Ctx
from nervio.modules.fleet.api import Dispatcher, Drafts, FindBlocking
from nervio.ports.models import Models
from nervio.ports.workers import WorkerTransport
from nervio.runtime.models import kinds_of, names_of
from nervio.runtime.settings import Settings


def make_dispatcher(
    settings: Settings, models: Models, ctx: Ctx, process_id: str, find_blocking: FindBlocking, drafts: Drafts
) -> Dispatcher:
    """A dispatcher that is not started; it connects to nothing before it is."""
    transports = _transports(settings, models, process_id)
    return Dispatcher(ctx, process_id, transports, settings.fleet, find_blocking, drafts)


def _transports(settings: Settings, models: Models, process_id: str) -> list[WorkerTransport]:
    if not settings.fleet.local_slots:
        return []
    # A name that people recognise, and that two processes of one machine do not share.
    worker_id = f"local-{socket.gethostname()}-{process_id[-6:]}"
    return [LocalWorkers(worker_id, kinds_of(models), names_of(models), slots=settings.fleet.local_slots)]

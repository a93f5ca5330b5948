"""What hands out AI work in this process, with the ways to workers that the settings ask for."""

from __future__ import annotations

import socket

from nervio.adapters.workers.local import LocalWorkers
from nervio.db.context import Ctx
from nervio.modules.fleet.api import Dispatcher, Drafts, FindBlocking, Openings
from nervio.ports.clock import Clock
from nervio.ports.models import Models
from nervio.ports.workers import WorkerTransport
from nervio.runtime.models import kinds_of, make_models, names_of
from nervio.runtime.settings import Settings
from nervio.runtime.worker_transports import make_remote_workers


def make_dispatcher(
    settings: Settings,
    models: Models,
    ctx: Ctx,
    process_id: str,
    find_blocking: FindBlocking,
    drafts: Drafts,
    openings: Openings,
) -> Dispatcher:
    """A dispatcher that is not started; it connects to nothing before it is."""
    transports = _transports(settings, models, process_id)
    return Dispatcher(ctx, process_id, transports, settings.fleet, find_blocking, drafts, openings)


def open_models(settings: Settings, clock: Clock) -> Models:
    """The models of the settings; connects to nothing. Raises SettingsError, also where workers could not be reached: a process
    that cannot do what it is told to says so when it starts."""
    make_remote_workers(settings.workers, settings.environment)
    return make_models(settings, clock)


def _transports(settings: Settings, models: Models, process_id: str) -> list[WorkerTransport]:
    transports: list[WorkerTransport] = []
    if settings.fleet.local_slots:
        # A name that people recognise, and that two processes of one machine do not share.
        worker_id = f"local-{socket.gethostname()}-{process_id[-6:]}"
        kinds, names = kinds_of(models), names_of(models)
        transports.append(LocalWorkers(worker_id, kinds, names, slots=settings.fleet.local_slots))
    remote = make_remote_workers(settings.workers, settings.environment)
    return transports if remote is None else [*transports, remote]

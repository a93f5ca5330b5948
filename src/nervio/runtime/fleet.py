"""The ways to workers that the settings ask for."""

from __future__ import annotations

import socket
from collections.abc import Mapping

from nervio.adapters.workers.local import LocalWorkers
from nervio.modules.fleet.settings import FleetSettings
from nervio.ports.workers import Do, WorkerTransport


def make_transports(settings: FleetSettings, process_id: str) -> list[WorkerTransport]:
    """The transports of a process that hands out work; none of them is started."""
    kinds: Mapping[str, Do] = {}
    if not kinds or not settings.local_slots:
        return []
    # A name that people recognise, and that two processes of one machine do not share.
    worker_id = f"local-{socket.gethostname()}-{process_id[-6:]}"
    return [LocalWorkers(worker_id, kinds, slots=settings.local_slots)]

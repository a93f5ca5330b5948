"""What each process has answered so far, a row a process: how processes tell each other their share of errors."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select, update

from nervio.db.tables import request_counts
from nervio.kernel.time import Instant

Counts = tuple[int, int]
"""(requests, of them with a fault of ours), since the process began."""

_R = request_counts.c


def write(connection: Connection, process_id: str, counts: Counts, now: Instant) -> None:
    """Writes down what a process has answered. Only the process itself does so."""
    values = {"requests": counts[0], "errors": counts[1], "counted_at": now}
    found = connection.execute(update(request_counts).where(_R.process_id == process_id).values(**values))
    if found.rowcount == 0:
        connection.execute(insert(request_counts).values(process_id=process_id, **values))


def forget(connection: Connection, before: Instant) -> None:
    """Removes processes that were not heard of since."""
    connection.execute(delete(request_counts).where(_R.counted_at < before))


def read_all(connection: Connection) -> dict[str, Counts]:
    """What each process has answered, by its id."""
    rows = connection.execute(select(_R.process_id, _R.requests, _R.errors))
    return {row[0]: (row[1], row[2]) for row in rows}

"""What an operator does to events: having dead letters tried again, and filling a bus again from the outbox."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from sqlalchemy import Connection

from nervio.db import dead_letters, leases, outbox, pruning
from nervio.kernel.errors import conflict, invalid, not_found
from nervio.modules.safety.api import events
from nervio.runtime.wiring import App

Progress = Callable[[str, int, int], None]


async def replay_events(app: App, arguments: Mapping[str, Any], _progress: Progress) -> dict[str, Any]:
    """By `id`, `all`, or `from_position`: one letter, every letter, or everything that was published from there on."""
    position = arguments.get("from_position")
    if position is not None:
        return await _refill(app, int(position))
    letter_id = arguments.get("id")
    letters = await app.database.read(partial(dead_letters.list_letters, tenant_id=None, limit=100_000))
    chosen = letters if letter_id is None else [letter for letter in letters if letter.id == letter_id]
    if letter_id is not None and not chosen:
        raise not_found("dead_letter", str(letter_id))
    for tenant_id in dict.fromkeys(letter.event.tenant_id for letter in chosen):
        await events.replay(app.system_ctx(tenant_id), None if letter_id is None else str(letter_id))
    return {"letters": len(chosen)}


async def _refill(app: App, position: int) -> dict[str, Any]:
    if not app.bus.is_shared:
        raise conflict(
            "nothing_to_refill", "There is no Redis or NATS to refill: here handlers follow the database themselves."
        )

    def ask(connection: Connection) -> int:
        pruned = leases.read_cursor(connection, pruning.CURSOR)
        if position <= pruned:
            raise invalid(
                "events_pruned",
                f"Events up to position {pruned} are gone; ask from {pruned + 1} on.",
                field="from",
                oldest=pruned + 1,
            )
        outbox.ask_replay(connection, position - 1)
        return outbox.last_position(connection)

    newest = await app.database.bookkeep("relay_mark", ask)
    return {"from_position": position, "to_position": newest}

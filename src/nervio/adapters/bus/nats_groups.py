"""A group's lease and its consumers over JetStream."""

from __future__ import annotations

import contextlib

from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import KeyNotFoundError, NotFoundError
from nats.js.kv import KeyValue

from nervio.adapters.bus.delivery import WINDOW
from nervio.adapters.bus.nats_session import Session
from nervio.kernel.ids import new_id

ACK_SECONDS = 60.0


async def own_lease(leases: KeyValue, group: str, owner: str) -> int | None:
    """The revision of the lease that the owner held before the connection was lost."""
    try:
        entry = await leases.get(group)
    except KeyNotFoundError:
        return None
    return entry.revision if entry.value == owner.encode() else None


async def is_led(leases: KeyValue, group: str) -> bool:
    """Whether somebody reads for the group."""
    try:
        await leases.get(group)
    except KeyNotFoundError:
        return False
    return True


async def drop_consumers(session: Session, stream: str, group: str) -> bool:
    """Deletes what the members of a group left; whether there was anything."""
    left = [one for one in await session.js.consumers_info(stream) if one.name.startswith(_prefix(group))]
    for one in left:
        with contextlib.suppress(NotFoundError):
            await session.js.delete_consumer(stream, one.name)
    return bool(left)


async def take_over(session: Session, stream: str, group: str) -> tuple[str, int]:
    """A consumer of our own from where everything before is acknowledged; those before us are deleted. Its name, and up to
    where that is."""
    prefix = _prefix(group)
    floor = 0
    before = [one for one in await session.js.consumers_info(stream) if one.name.startswith(prefix)]
    for one in before:
        # Each begins at a floor of the one before it, so that the highest is true for all.
        floor = max(floor, one.ack_floor.stream_seq if one.ack_floor is not None else 0)
    own = f"{prefix}{new_id()}"
    await session.js.add_consumer(
        stream,
        ConsumerConfig(
            durable_name=own,
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=floor + 1,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=ACK_SECONDS,
            max_ack_pending=2 * WINDOW,
        ),
    )
    for one in before:
        with contextlib.suppress(NotFoundError):
            await session.js.delete_consumer(stream, one.name)
    return own, floor


def _prefix(group: str) -> str:
    return f"{group.replace('.', '-')}__"

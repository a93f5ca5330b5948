"""The bus over Redis Streams: one stream in the order of facts, a consumer group a handler.

All channels share one stream, because the order of a key's events goes across their types; whoever wants few types lets the
others pass. Of a group's members one reads, under a lease in Redis that the read itself checks, and begins with what the
one before left unacknowledged: so the events of a key are handled in order, and a member that was away too long reads
nothing.

How durable "published" is, `appendfsync` says: with `always` an event is on the disk, with `everysec` the last second may be
lost with the machine. It is noticed (the stream does not end where we left it) and published again from the outbox.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, cast

import msgspec
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from nervio.adapters.bus.delivery import KeyedDelivery
from nervio.adapters.bus.redis_scripts import APPEND, DROP, LET_GO, READ
from nervio.adapters.bus.retired import Retired
from nervio.adapters.bus.subscriptions import Subscriptions
from nervio.kernel.ids import new_id
from nervio.ports.bus import BusChanged, Event, Group, Handler

log = logging.getLogger(__name__)

APPEND_AT_ONCE = 250
READ_AT_ONCE = 500
LOOK_BACK = 20
"""Entries from the end among which one is ours, whoever else may write into the stream."""
LEASE_SECONDS = 10.0
BLOCK_SECONDS = 1.0
ANSWER_SECONDS = 5.0
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 15.0
TRIM_SECONDS = 60.0

_LOST = (RedisError, OSError, TimeoutError)
_NOTHING = "0-0"


def connect(url: str, answer_seconds: float = ANSWER_SECONDS) -> Redis:
    """A client that tells of a lost connection at once instead of trying again by itself."""
    return Redis.from_url(
        url,
        decode_responses=True,
        socket_connect_timeout=2.0,
        socket_timeout=answer_seconds,
        retry=Retry(NoBackoff(), 0),
    )


async def ping(url: str) -> None:
    """Raises where the server does not answer."""
    client = connect(url)
    try:
        await client.ping()
    finally:
        await client.aclose()


class _Membership:
    """This process's part in one group."""

    def __init__(self, group: Group) -> None:
        self.delivery = KeyedDelivery(group)
        self.outstanding: set[str] = set()
        self.settled: list[str] = []
        self.leads = False
        self.has_more = False
        self.is_new = False
        """Whether it leads since just now, and has still to say so."""
        self.must_claim = False
        """Whether an answer was lost: what it held is ours, and nobody would give it to us again."""


class RedisBus:
    """See `nervio.ports.bus.Bus`. Connects on first use; while Redis is away it says so once and tries again and again."""

    is_shared = True

    def __init__(self, url: str, name: str, keep_seconds: float) -> None:
        self._client, self._waiting_client = connect(url), connect(url, BLOCK_SECONDS + ANSWER_SECONDS)
        self._stream = f"{name}:events"
        self._owner = new_id()
        self._keep_seconds = keep_seconds
        self._subscriptions = Subscriptions(_Membership)
        self._retired = Retired()
        self._end: str | None = None
        self._heard: str | None = None
        self._reader: asyncio.Task[None] | None = None
        self._acks = asyncio.Event()
        self._acker: asyncio.Task[None] | None = None
        self._trim_at = 0.0
        self._closed = False

    async def publish(self, channel: str, message: Event) -> None:
        """Appends one event."""
        assert channel == message.type
        if self._end is None:
            await self.newest()
        await self.publish_all([message])

    async def publish_all(self, messages: Sequence[Event]) -> None:
        """Appends the events, many in a round trip, where this publisher left the stream."""
        if self._closed:
            raise RuntimeError("the bus is closed")
        if self._end is None:
            raise BusChanged("where the stream ends is not known yet")
        for first in range(0, len(messages), APPEND_AT_ONCE):
            part = [msgspec.json.encode(message).decode() for message in messages[first : first + APPEND_AT_ONCE]]
            expected, self._end = self._end, None  # until it is answered, nobody knows
            end = await _answer(self._client.eval(APPEND, 1, self._stream, expected, *part))
            if end is None:
                raise BusChanged("the stream does not end where it was left")
            self._end = str(end)

    async def newest(self) -> Event | None:
        """The last entry; the stream's last id is remembered even where its entries were trimmed."""
        async with self._client.pipeline(transaction=True) as pipe:
            pipe.exists(self._stream)
            pipe.xrevrange(self._stream, count=LOOK_BACK)
            exists, entries = await pipe.execute()
        if not exists:
            self._end = _NOTHING
            return None
        info = await self._client.xinfo_stream(self._stream)
        # What was appended between the two answers would be skipped otherwise.
        if entries and info["last-generated-id"] != entries[0][0]:
            raise BusChanged("somebody else publishes")
        self._end = str(info["last-generated-id"])
        return next(filter(None, (_find_event(fields) for _, fields in entries)), None)

    def subscribe(self, channel: str, handler: Handler, group: Group | None = None) -> Callable[[], None]:
        """Adds a handler and begins to read; returns the function that removes it."""
        unsubscribe = self._subscriptions.add(channel, handler, group)
        if self._reader is None:
            self._reader = asyncio.create_task(self._read_on(), name="nervio-redis-reader")
            self._acker = asyncio.create_task(self._acknowledge_on(), name="nervio-redis-acker")
        return unsubscribe

    def settled(self, group: str) -> int | None:
        """What this process has settled, while it leads the group."""
        member = self._subscriptions.members.get(group)
        return member.delivery.settled if member is not None and member.leads else None

    def retire(self, groups: Collection[str]) -> None:
        """Their groups would keep the stream from ever being trimmed."""
        self._retired.name(groups)

    def is_heard(self) -> bool:
        """Yes: who listens elsewhere is not known here."""
        return True

    async def close(self) -> None:
        """Ends reading, gives what is under way back, and lets the connections go."""
        self._closed = True
        tasks = [task for task in (self._reader, self._acker) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            # Not simply awaited: a cancellation may end inside redis-py as a broken connection, and then `_closed` counts.
            await asyncio.wait(tasks, timeout=ANSWER_SECONDS)
        await asyncio.gather(*(member.delivery.end() for member in self._subscriptions.members.values()))
        with contextlib.suppress(*_LOST):
            async with asyncio.timeout(1.0):
                await self._acknowledge()
                for name, member in self._subscriptions.members.items():
                    if member.leads:
                        await _answer(self._client.eval(LET_GO, 1, self._lease(name), self._owner))
        for client in (self._client, self._waiting_client):
            with contextlib.suppress(*_LOST):
                await client.aclose()

    # -- the one reader loop ------------------------------------------------------------------------------------------

    async def _read_on(self) -> None:
        pause = 0.0
        while not self._closed:
            try:
                await self._round()
                if pause:
                    log.info("bus_is_back", extra={"bus": "redis"})
                pause = 0.0
            except Exception as error:  # noqa: BLE001 (a reader that ended would be silence without a cause)
                for member in self._subscriptions.members.values():
                    member.must_claim = True
                pause = min(max(FIRST_PAUSE_SECONDS, pause * 2), LONGEST_PAUSE_SECONDS)
                wait = pause * random.uniform(0.5, 1.0)  # noqa: S311 (no secret)
                what = type(error).__name__  # a driver's message may hold the address with its password
                log.warning(
                    "bus_unreachable", extra={"bus": "redis", "error": what, "again_in_seconds": round(wait, 1)}
                )
                await self._pause(wait)

    async def _pause(self, seconds: float) -> None:
        if not self._closed:
            await asyncio.sleep(seconds)

    async def _round(self) -> None:
        """Groups first, then whatever is new for listeners; waits there when nobody has more to do."""
        if self._heard is None:
            self._heard = await self._last_id()
        for name, member in list(self._subscriptions.members.items()):
            await self._serve(name, member)
        is_busy = any(member.leads and member.has_more for member in self._subscriptions.members.values())
        block = None if is_busy else int(BLOCK_SECONDS * 1000)
        found: Any = await self._waiting_client.xread({self._stream: self._heard}, count=READ_AT_ONCE, block=block)
        entries = _entries_of(found)
        for entry_id, fields in entries:
            self._heard = entry_id
            event = _find_event(fields) if self._subscriptions.has_listeners else None
            if event is not None:
                await self._subscriptions.tell(event)
        if is_busy and not entries:
            full = [m.delivery.room for m in self._subscriptions.members.values() if m.leads and not m.delivery.free]
            for room in full:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await room.wait()
        now = asyncio.get_running_loop().time()
        await self._drop_retired(now)
        if now >= self._trim_at:
            self._trim_at = now + TRIM_SECONDS
            await self._trim()

    async def _serve(self, name: str, member: _Membership) -> None:
        room = min(member.delivery.free, READ_AT_ONCE)
        lease_ms = int(LEASE_SECONDS * 1000)
        answer = await _answer(
            self._client.eval(READ, 2, self._stream, self._lease(name), self._owner, name, lease_ms, room)
        )
        if answer is None:
            if member.leads:
                log.warning("group_lost", extra={"group": name})
                member.leads = False
            member.has_more = False
            return
        taken, entries = answer
        member.leads = True
        member.is_new = member.is_new or bool(taken)
        if member.is_new:
            member.must_claim = True
            await member.delivery.take_over()
            member.is_new = False
        if member.must_claim:
            entries = await self._claim(name, member)  # what was read just now is among it
            member.has_more, member.must_claim = True, False
        else:
            member.has_more = len(entries) == room
        for entry_id, fields in entries:
            self._put(member, entry_id, fields)

    async def _claim(self, name: str, member: _Membership) -> list[tuple[str, Any]]:
        """What the members before had read and not acknowledged, in order; they and their names are gone."""
        found: list[tuple[str, Any]] = []
        start = _NOTHING
        while True:
            start, entries, *_ = await _answer(
                self._client.xautoclaim(self._stream, name, self._owner, 0, start, count=READ_AT_ONCE)
            )
            found += [entry for entry in entries if entry[0] not in member.outstanding and entry[1]]
            if start == _NOTHING:
                break
        for consumer in await self._client.xinfo_consumers(self._stream, name):
            if consumer["name"] != self._owner and not consumer["pending"]:
                await self._client.xgroup_delconsumer(self._stream, name, consumer["name"])
        if found:
            log.info("pending_events_claimed", extra={"group": name, "events": len(found)})
        return found

    def _put(self, member: _Membership, entry_id: str, fields: Any) -> None:
        def settled() -> None:
            member.settled.append(entry_id)
            self._acks.set()

        member.outstanding.add(entry_id)
        event = _find_event(fields)
        if event is None:
            log.error("foreign_entry", extra={"entry": entry_id})
            settled()
            return
        member.delivery.put(event, settled)

    async def _acknowledge_on(self) -> None:
        while not self._closed:
            await self._acks.wait()
            self._acks.clear()
            try:
                await self._acknowledge()
            except _LOST:
                # Kept and sent again; whoever reads them before that finds the effect in the inbox.
                await self._pause(FIRST_PAUSE_SECONDS)
                self._acks.set()

    async def _acknowledge(self) -> None:
        for name, member in list(self._subscriptions.members.items()):
            ids = member.settled[:READ_AT_ONCE]
            if not ids:
                continue
            await _answer(self._client.xack(self._stream, name, *ids))
            del member.settled[: len(ids)]
            member.outstanding.difference_update(ids)
            if member.settled:
                self._acks.set()

    async def _last_id(self) -> str:
        if not await _answer(self._client.exists(self._stream)):
            return _NOTHING
        info = await self._client.xinfo_stream(self._stream)
        return str(info["last-generated-id"])

    async def _trim(self) -> None:
        """Removes what is older than it is kept for, and never what a group has still to read or to acknowledge."""
        if not await _answer(self._client.exists(self._stream)):
            return
        seconds, _ = await _answer(self._client.time())
        oldest = (int((seconds - self._keep_seconds) * 1000), 0)
        for group in await self._client.xinfo_groups(self._stream):
            pending = await self._client.xpending(self._stream, group["name"])
            oldest = min(oldest, _id_of(pending["min"] or group["last-delivered-id"]))
        if oldest[0] > 0:
            await self._client.xtrim(self._stream, minid=f"{oldest[0]}-{oldest[1]}", approximate=True)

    async def _drop_retired(self, now: float) -> None:
        for name in self._retired.to_look_at(now, self._subscriptions.members):
            lease = self._lease(name)
            is_read = bool(await _answer(self._client.exists(lease)))
            if self._retired.may_go(name, now, is_read=is_read) and await _answer(
                self._client.eval(DROP, 2, self._stream, lease, name)
            ):
                self._retired.gone(name)

    def _lease(self, group: str) -> str:
        return f"{self._stream}:{group}:reader"


async def _answer(asked: Any) -> Any:
    """redis-py types its commands for both of its clients at once; ours always awaits."""
    return await cast("Awaitable[Any]", asked)


def _entries_of(found: Any) -> list[tuple[str, Any]]:
    """The entries of the one stream that was asked for, whichever protocol the connection speaks."""
    if not found:
        return []
    entries = next(iter(found.values()))[0] if isinstance(found, dict) else found[0][1]
    return cast("list[tuple[str, Any]]", entries)


def _find_event(fields: Any) -> Event | None:
    """From a mapping, or from the flat list that a script returns; None for what somebody else put there."""
    try:
        body = fields["event"] if isinstance(fields, dict) else fields[fields.index("event") + 1]
        return msgspec.json.decode(body, type=Event)
    except (LookupError, ValueError, msgspec.MsgspecError):
        return None


def _id_of(text: str) -> tuple[int, int]:
    milliseconds, _, n = text.partition("-")
    return int(milliseconds), int(n or 0)

"""The bus over NATS JetStream: one stream in the order of facts, a durable pull consumer a group.

As over Redis, one member of a group reads, under a lease (a key of a KV bucket whose keys run out). Who takes over makes a
consumer of its own that begins where the one before had everything acknowledged, and deletes the other: what was in the
hands of a dead member comes at once and first, not after the acknowledgement's time-out and behind newer events of its key,
and a member that was away too long finds its consumer gone.

How durable "published" is, the server's `sync_interval` says: by default it gives files to the disk every two minutes, so
that a killed server loses nothing and a machine without power two minutes. `sync_interval: always` needs nats-server 2.10.
What was lost is noticed (the stream ends before our last sequence) and published again from the outbox.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Collection, Sequence
from datetime import datetime

from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import BucketNotFoundError, KeyWrongLastSequenceError, NotFoundError

from nervio.adapters.bus.delivery import KeyedDelivery
from nervio.adapters.bus.nats_gaps import Gaps
from nervio.adapters.bus.nats_groups import drop_consumers, is_led, own_lease, take_over
from nervio.adapters.bus.nats_messages import check, find_event, message_of
from nervio.adapters.bus.nats_session import ANSWER_SECONDS, Session, ping
from nervio.adapters.bus.retired import Retired
from nervio.adapters.bus.subscriptions import Subscriptions
from nervio.kernel.ids import new_id
from nervio.ports.bus import BusChanged, Event, Group, Handler

__all__ = ["NatsBus", "ping"]

log = logging.getLogger(__name__)

PUBLISH_AT_ONCE = 250
PULL_AT_ONCE = 500
PULL_SECONDS = 5.0
LOOK_BACK = 20
"""Messages from the end among which one is ours, whoever else may publish into the stream."""
LEASE_SECONDS = 10.0
RENEW_SECONDS = 2.5
TEND_SECONDS = 0.5
ACK_SECONDS = 60.0
DUPLICATE_SECONDS = 120.0
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 15.0

_LOST = (NatsError, OSError, TimeoutError)

Place = tuple[int, datetime]
"""A message's sequence and when the stream took it: a stream that is made anew counts from one again."""


class _Membership:
    """This process's part in one group."""

    def __init__(self, group: Group) -> None:
        self.delivery = KeyedDelivery(group)
        self.replies: dict[Place, str] = {}
        """Where to acknowledge what is not settled yet, by its place; the newest delivery's address counts."""
        self.acks: list[str] = []
        self.consumer: str | None = None
        self.revision: int | None = None
        self.renew_at = 0.0
        self.asked = 0
        self.asked_until = 0.0
        self.gaps = Gaps(self.delivery)


class NatsBus:
    """See `nervio.ports.bus.Bus`. Connects on first use; while NATS is away it says so once and tries again and again."""

    is_shared = True

    def __init__(self, url: str, name: str, keep_seconds: float) -> None:
        self._url, self._name = url, name
        self._stream, self._bucket = f"{name}_events", f"{name}_readers"
        self._keep_seconds = keep_seconds
        self._owner = new_id()
        self._subscriptions = Subscriptions(_Membership)
        self._retired = Retired()
        self._session: Session | None = None
        self._connecting = asyncio.Lock()
        self._end: int | None = None
        self._one_by_one = False
        self._wake = asyncio.Event()
        self._tender: asyncio.Task[None] | None = None
        self._closed = False

    # -- publishing ---------------------------------------------------------------------------------------------------

    async def publish(self, channel: str, message: Event) -> None:
        """Appends one event."""
        assert channel == message.type
        if self._end is None:
            await self.newest()
        await self.publish_all([message])

    async def publish_all(self, messages: Sequence[Event]) -> None:
        """Appends the events, many under way at once, each only behind the one before it."""
        if self._closed:
            raise RuntimeError("the bus is closed")
        for first in range(0, len(messages), PUBLISH_AT_ONCE):
            try:
                await self._append(messages[first : first + PUBLISH_AT_ONCE])
            except _LOST:
                await self._drop()
                raise

    async def newest(self) -> Event | None:
        """The last message of the stream."""
        session = await self._open()
        try:
            info = await session.js.stream_info(self._stream)
            self._end = info.state.last_seq
            oldest = max(info.state.first_seq, info.state.last_seq - LOOK_BACK + 1)
            for sequence in range(info.state.last_seq, oldest - 1, -1) if info.state.messages else ():
                event = find_event(await session.find(self._stream, sequence))
                if event is not None:
                    return event
        except _LOST:
            await self._drop()
            raise
        return None

    async def _append(self, part: Sequence[Event]) -> None:
        session = await self._open()
        end, self._end = self._end, None  # until it is answered, nobody knows
        if end is None:
            raise BusChanged("where the stream ends is not known yet")
        if self._one_by_one:
            # Duplicates take no sequence, so the chain cannot be told beforehand. One after another is in order too, and the
            # first that is new says that what follows is new as well.
            for event in part:
                (answer,) = await session.publish([message_of(self._name, event, end)])
                check(answer)
                if not answer.get("duplicate"):
                    end, self._one_by_one = end + 1, False
        else:
            answers = await session.publish([message_of(self._name, event, end + n) for n, event in enumerate(part)])
            fresh = [answer for answer in answers if not answer.get("duplicate")]
            self._one_by_one = len(fresh) < len(answers)
            for answer in answers:
                check(answer)
            end += len(fresh)
        self._end = end

    # -- listening ----------------------------------------------------------------------------------------------------

    def subscribe(self, channel: str, handler: Handler, group: Group | None = None) -> Callable[[], None]:
        """Adds a handler and begins to read; returns the function that removes it."""
        unsubscribe = self._subscriptions.add(channel, handler, group)
        self._wake.set()
        if self._tender is None:
            self._tender = asyncio.create_task(self._tend_on(), name="nervio-nats-reader")
        return unsubscribe

    def settled(self, group: str) -> int | None:
        """What this process has settled, while it leads the group."""
        member = self._subscriptions.members.get(group)
        return member.delivery.settled if member is not None and member.consumer is not None else None

    def retire(self, groups: Collection[str]) -> None:
        """Their consumers would stay for ever."""
        self._retired.name(groups)

    def is_heard(self) -> bool:
        """Yes: who listens elsewhere is not known here."""
        return True

    async def close(self) -> None:
        """Ends reading, gives what is under way back, and lets the connection go."""
        self._closed = True
        if self._tender is not None:
            # nats-py does not survive being cancelled while it waits for an answer, so the round ends by itself if it can.
            self._wake.set()
            await asyncio.wait([self._tender], timeout=1.0)
            self._tender.cancel()
            await asyncio.wait([self._tender], timeout=ANSWER_SECONDS)
        await asyncio.gather(*(member.delivery.end() for member in self._subscriptions.members.values()))
        session, self._session = self._session, None
        if session is None:
            return
        with contextlib.suppress(*_LOST):
            async with asyncio.timeout(1.0):
                for name, member in self._subscriptions.members.items():
                    await self._acknowledge(session, member)
                    if member.revision is not None and session.leases is not None:
                        await session.leases.delete(name, last=member.revision)
        await session.close()

    async def _open(self) -> Session:
        async with self._connecting:
            if self._session is not None and self._session.is_alive:
                return self._session
            if self._session is not None:
                await self._session.close()
            self._session, self._end = None, None
            session = await Session.open(self._url)
            try:
                await self._make_stream(session)
            except BaseException:
                await session.close()
                raise
            self._session = session
            for member in self._subscriptions.members.values():
                # What the server still sends goes to the connection that is gone.
                member.consumer, member.revision, member.asked, member.renew_at = None, None, 0, 0.0
            return session

    async def _drop(self) -> None:
        """Begins anew with the next question: connection, stream and leases may all be others by then."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _make_stream(self, session: Session) -> None:
        js = session.js
        try:
            await js.stream_info(self._stream)
        except NotFoundError:
            await js.add_stream(
                StreamConfig(
                    name=self._stream,
                    subjects=[f"{self._name}.events.>"],
                    retention=RetentionPolicy.LIMITS,
                    storage=StorageType.FILE,
                    max_age=self._keep_seconds,
                    duplicate_window=min(DUPLICATE_SECONDS, self._keep_seconds),
                )
            )
        try:
            session.leases = await js.key_value(self._bucket)
        except BucketNotFoundError:
            session.leases = await js.create_key_value(bucket=self._bucket, ttl=LEASE_SECONDS)

    # -- the one reader loop ------------------------------------------------------------------------------------------

    async def _tend_on(self) -> None:
        pause = 0.0
        while not self._closed:
            try:
                session = await self._open()
                await self._tend(session)
                if pause:
                    log.info("bus_is_back", extra={"bus": "nats"})
                pause = 0.0
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(TEND_SECONDS):
                        await self._wake.wait()
                self._wake.clear()
            except Exception as error:  # noqa: BLE001 (a reader that ended would be silence without a cause)
                await self._drop()
                pause = min(max(FIRST_PAUSE_SECONDS, pause * 2), LONGEST_PAUSE_SECONDS)
                wait = pause * random.uniform(0.5, 1.0)  # noqa: S311 (no secret)
                what = type(error).__name__
                log.warning("bus_unreachable", extra={"bus": "nats", "error": what, "again_in_seconds": round(wait, 1)})
                await asyncio.sleep(wait)

    async def _tend(self, session: Session) -> None:
        await self._drop_retired(session)
        if not session.is_listening and self._subscriptions.has_listeners:
            await session.listen(f"{self._name}.events.>", self._tell)
        for name, member in list(self._subscriptions.members.items()):
            await self._acknowledge(session, member)
            if not await self._leads(session, name, member):
                continue
            if not await member.gaps.close(name):
                continue
            now = asyncio.get_running_loop().time()
            if member.asked > 0 and now < member.asked_until:
                continue
            room = min(member.delivery.free, PULL_AT_ONCE)
            if room:
                member.asked, member.asked_until = room, now + PULL_SECONDS + 1.0
                assert member.consumer is not None
                await session.pull(self._stream, member.consumer, room, PULL_SECONDS, self._receiver(name, member))

    async def _drop_retired(self, session: Session) -> None:
        now = asyncio.get_running_loop().time()
        for name in self._retired.to_look_at(now, self._subscriptions.members):
            assert session.leases is not None
            is_read = await is_led(session.leases, name)
            if self._retired.may_go(name, now, is_read=is_read) and await drop_consumers(session, self._stream, name):
                self._retired.gone(name)

    async def _leads(self, session: Session, name: str, member: _Membership) -> bool:
        """Whether this process reads for the group; takes the lease over where it is free."""
        now = asyncio.get_running_loop().time()
        if now < member.renew_at:
            return member.consumer is not None
        member.renew_at = now + RENEW_SECONDS
        assert session.leases is not None
        owner = self._owner.encode()
        try:
            if member.revision is None:
                member.revision = await own_lease(session.leases, name, self._owner)
            if member.revision is None:
                member.revision = await session.leases.create(name, owner)
            else:
                member.revision = await session.leases.update(name, owner, last=member.revision)
        except KeyWrongLastSequenceError:
            if member.consumer is not None:
                log.warning("group_lost", extra={"group": name})
            member.revision, member.consumer, member.asked = None, None, 0
            return False
        if member.consumer is None:
            await member.delivery.take_over()
            consumer, floor = await take_over(session, self._stream, name)
            await member.gaps.look(session, self._stream, name, floor)
            member.consumer = consumer
            member.asked = 0
        return True

    def _receiver(self, name: str, member: _Membership) -> Callable[[Msg], None]:
        asked_of = member.consumer

        def receive(message: Msg) -> None:
            if member.consumer != asked_of:
                return
            if message.headers and "Status" in message.headers:
                # Nothing came in time, or the consumer is gone; either way the next round sees to it.
                member.asked = 0
                if message.headers["Status"] not in {"404", "408"}:
                    log.warning("pull_ended", extra={"group": name, "status": message.headers.get("Description", "")})
                    member.consumer, member.renew_at = None, 0.0
                self._wake.set()
                return
            member.asked -= 1
            self._put(member, message)
            if member.asked <= 0:
                self._wake.set()

        return receive

    def _put(self, member: _Membership, message: Msg) -> None:
        if member.gaps.is_one(message.metadata.sequence.stream):
            member.consumer, member.renew_at = None, 0.0
            self._wake.set()
            return
        event = find_event(message.data)
        if event is None:
            log.error("foreign_entry", extra={"entry": message.metadata.sequence.stream})
            member.acks.append(message.reply)
            self._wake.set()
            return
        place = (message.metadata.sequence.stream, message.metadata.timestamp)
        known = place in member.replies
        member.replies[place] = message.reply
        if known:
            return  # it is being handled; only the address of its acknowledgement changed

        def settled() -> None:
            member.acks.append(member.replies.pop(place))
            self._wake.set()

        member.delivery.put(event, settled)

    async def _acknowledge(self, session: Session, member: _Membership) -> None:
        while member.acks:
            part = member.acks[:PULL_AT_ONCE]
            await session.acknowledge(part)
            del member.acks[: len(part)]

    async def _tell(self, message: Msg) -> None:
        event = find_event(message.data)
        if event is not None:
            await self._subscriptions.tell(event)

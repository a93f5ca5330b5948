"""Workers on other machines: work and presence over MQTT, results over gRPC.

The broker is the wire, never the queue. What a worker holds is agreed on anew whenever it registers, and what did not arrive is
handed back, so that neither a broker that was restarted nor a message that was lost keeps a task waiting for its lease.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from nervio.adapters.workers.grpc import GrpcAddress, ReportServer
from nervio.adapters.workers.mqtt_messages import (
    AttemptKey,
    BadMessage,
    Register,
    Topics,
    choose_master,
    read_register,
    read_status,
    write_cancel,
    write_register_again,
    write_tasks,
)
from nervio.adapters.workers.mqtt_session import Broker, Message, MqttSession
from nervio.kernel.ids import new_id
from nervio.ports.workers import Assignment, Ending, Master, Mishap, Profile, Report, Verdict

log = logging.getLogger(__name__)

SILENT_SECONDS = 2.5
"""After so long without a sign the master may have given a worker up, so the next sign brings its whole profile."""
JOIN_SECONDS = 10.0
"""And so does one now and then: the master may have given it up for a reason of its own."""
ON_ITS_WAY_SECONDS = 0.5
"""What was sent so shortly before a worker registered may have missed the list of what it holds."""
ASK_SECONDS = 0.5
"""How often a worker is asked at most to register again."""
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 5.0


@dataclass(slots=True)
class _Known:
    """A worker as it said it is, and what was sent to it."""

    profile: Profile
    heard_at: float
    joined_at: float
    is_away: bool = False
    """The broker said that nobody took what was sent, or is away itself."""
    is_offered: bool = False
    """Whether the master knows of it."""
    sent: dict[AttemptKey, tuple[Assignment, float]] = field(default_factory=dict)
    """With the time."""
    others: set[AttemptKey] = field(default_factory=set)
    """What it still has of another master, or of this one before it was started anew: it takes so much less of us."""

    def offer(self) -> Profile:
        """The worker with the credit that it has for us."""
        return replace(self.profile, credit=0 if self.is_away else max(self.profile.credit - len(self.others), 0))


class RemoteWorkers:
    """See `WorkerTransport`. Several processes may hand out work under one prefix: each worker gets it from one of them."""

    name = "mqtt"
    is_local = False

    def __init__(self, broker: Broker, prefix: str, address: GrpcAddress) -> None:
        self._topics = Topics(prefix)
        self._server = ReportServer(address, self._settled)
        self._id = new_id()[-12:]
        self._gone = Message(self._topics.master(self._id), b"", is_retained=True)
        self._session = MqttSession(
            broker,
            f"nervio-master-{self._id}",
            self._opened,
            self._received,
            self._broker_lost,
            will=self._gone,
            is_version_5=True,
        )
        self._others: set[str] = set()
        """Other processes that hand out work here."""
        self._known: dict[str, _Known] = {}
        self._asked: dict[str, float] = {}
        self._master: Master | None = None
        self._background: set[asyncio.Task[None]] = set()

    @property
    def grpc_endpoint(self) -> str:
        """Where workers bring results."""
        return self._server.endpoint

    async def start(self, master: Master) -> None:
        """See `WorkerTransport`. Raises OSError where the port for results is taken."""
        self._master = master
        await self._server.start(master)
        self._session.start()
        self._do(self._try_endpoint())

    async def assign(self, worker_id: str, assignments: Sequence[Assignment]) -> None:
        """See `WorkerTransport`. What cannot be sent is handed back."""
        known = self._known.get(worker_id)
        if known is None or known.is_away or not self._session.is_open:
            self._do(self._hand_back(worker_id, assignments))
            return
        for part, payload in write_tasks(self._server.endpoint, assignments):
            now = time.monotonic()
            for one in part:
                known.sent[one.tenant_id, one.task_id, one.token] = one, now

            def acknowledged(arrived: bool, part: Sequence[Assignment] = part) -> None:
                if not arrived:
                    self._nobody_there(worker_id, part)

            try:
                self._session.publish(Message(self._topics.tasks(worker_id), payload), acknowledged)
            except OSError:
                self._nobody_there(worker_id, part)

    async def cancel(self, worker_id: str, assignments: Sequence[Assignment]) -> None:
        """See `WorkerTransport`."""
        for one in assignments:
            self._settled(worker_id, (one.tenant_id, one.task_id, one.token))
        self._tell(worker_id, write_cancel(assignments))

    def _tell(self, worker_id: str, what: bytes) -> None:
        if self._session.is_open:
            self._session.publish(Message(self._topics.control(worker_id), what))

    async def close(self) -> None:
        """See `WorkerTransport`."""
        with contextlib.suppress(OSError):  # the broker is away, and tells the others by itself when it is back
            await self._session.publish_and_wait(self._gone)
        await self._session.close()
        for task in list(self._background):
            task.cancel()
        if self._background:
            await asyncio.wait(self._background)
        await self._server.close()

    # -- what the broker brings ------------------------------------------------------------------------------------------

    async def _opened(self) -> None:
        # First who else hands out work, so that no worker is taken that is somebody else's.
        await self._session.subscribe(self._topics.of_masters)
        self._session.publish(Message(self._gone.topic, self._server.endpoint.encode(), is_retained=True))
        await self._session.subscribe(*self._topics.of_all)

    def _broker_lost(self) -> None:
        """Nothing can be sent; what workers have they go on with, and bring over gRPC."""
        self._others.clear()
        for known in self._known.values():
            known.is_away = True
            self._offer(known)

    def _received(self, message: Message) -> None:
        master_id = self._topics.read_master(message.topic)
        if master_id is not None:
            self._heard_master(master_id, is_there=bool(message.payload))
            return
        try:
            worker_id, about = self._topics.read(message.topic)
            if about == "status":
                self._beat(worker_id, read_status(message.payload).boot)
            elif message.payload:
                self._registered(worker_id, read_register(worker_id, message.payload), message.is_retained)
        except BadMessage as problem:
            log.warning("worker_misunderstood", extra={"topic": message.topic, "error": str(problem)})

    def _registered(self, worker_id: str, register: Register, is_retained: bool) -> None:
        assert self._master is not None
        known = self._known.get(worker_id)
        if register.gone:
            if known is not None and known.profile.boot == register.boot:
                del self._known[worker_id]
                self._master.left(worker_id, register.boot, register.reason or Mishap.LEFT)
            if known is None or known.profile.boot == register.boot:
                # Nobody needs to remember it. Should its next start have been faster than this, its next beat tells us.
                self._session.publish(Message(self._topics.register(worker_id), b"", is_retained=True))
            return
        if is_retained:
            # It was there once. Whether it still is, and what it has, it says itself.
            self._ask(worker_id)
            return
        now, profile = time.monotonic(), register.profile()
        if known is None or known.profile.boot != profile.boot:
            if known is not None and known.is_offered and not self._is_ours(worker_id):
                self._master.left(worker_id, known.profile.boot, Mishap.RESTARTED)
            self._known[worker_id] = _Known(profile, now, now, others={one.key for one in register.holding})
            self._offer(self._known[worker_id])
            return
        known.profile, known.heard_at, known.joined_at, known.is_away = profile, now, now, False
        holding = {attempt.key for attempt in register.holding}
        missing = [(one, at) for key, (one, at) in known.sent.items() if key not in holding]
        lost = [one for one, at in missing if now - at > ON_ITS_WAY_SECONDS]
        known.others = holding - known.sent.keys()
        self._offer(known)
        if lost:
            log.info("assignments_not_arrived", extra={"worker": worker_id, "tasks": len(lost)})
            self._do(self._hand_back(worker_id, lost))
        if len(lost) < len(missing):
            self._do(self._ask_later(worker_id))

    def _beat(self, worker_id: str, boot: str) -> None:
        assert self._master is not None
        known, now = self._known.get(worker_id), time.monotonic()
        if known is None or known.profile.boot != boot or known.is_away:
            self._ask(worker_id)
        elif now - known.heard_at > SILENT_SECONDS or now - known.joined_at > JOIN_SECONDS:
            known.joined_at = now
            self._offer(known)
            if known.others:
                self._ask(worker_id)  # some of it may have been cancelled, of which nobody tells us
        if known is not None and known.profile.boot == boot:
            known.heard_at = now
            self._master.seen(worker_id)

    def _ask(self, worker_id: str) -> None:
        """Asks a worker to register again, which it does at once if it is there."""
        now = time.monotonic()
        if now - self._asked.get(worker_id, -ASK_SECONDS) >= ASK_SECONDS and self._session.is_open:
            self._asked[worker_id] = now
            endpoint = self._server.endpoint if self._is_ours(worker_id) else ""
            self._session.publish(Message(self._topics.control(worker_id), write_register_again(endpoint)))

    async def _ask_later(self, worker_id: str) -> None:
        """What was on its way to a worker when it registered has arrived by then, or is lost."""
        await asyncio.sleep(2 * ON_ITS_WAY_SECONDS)
        self._ask(worker_id)

    # -- which of the masters gives work to whom -------------------------------------------------------------------------

    def _heard_master(self, master_id: str, *, is_there: bool) -> None:
        if master_id == self._id or is_there == (master_id in self._others):
            return
        before = {worker_id for worker_id in self._known if self._is_ours(worker_id)}
        if is_there:
            self._others.add(master_id)
        else:
            self._others.discard(master_id)
        for worker_id, known in list(self._known.items()):
            if self._is_ours(worker_id) != (worker_id in before):
                self._offer(known)
                # What it has of another's work it brings here from now on: the store knows its token as well.
                self._asked.pop(worker_id, None)
                self._ask(worker_id)

    def _is_ours(self, worker_id: str) -> bool:
        return choose_master((self._id, *self._others), worker_id) == self._id

    def _offer(self, known: _Known) -> None:
        """Tells the master of a worker: with its credit where it is ours and can be reached, with none where it cannot or has
        something left of us, and that it is gone to us where it has nothing of us any more."""
        assert self._master is not None
        worker_id = known.profile.id
        if self._is_ours(worker_id):
            known.is_offered = True
            self._master.joined(self, known.offer())
        elif known.is_offered and known.sent:
            self._master.joined(self, replace(known.profile, credit=0))
        elif known.is_offered:
            known.is_offered = False
            self._master.left(worker_id, known.profile.boot, Mishap.ELSEWHERE)

    # -- what did not arrive ---------------------------------------------------------------------------------------------

    def _nobody_there(self, worker_id: str, assignments: Sequence[Assignment]) -> None:
        known = self._known.get(worker_id)
        if known is not None:
            self._take_no_more(known)
        self._do(self._hand_back(worker_id, assignments))

    def _take_no_more(self, known: _Known) -> None:
        """Gives a worker no more work until it registers again; it keeps what it has."""
        if not known.is_away:
            known.is_away = True
            self._offer(known)

    async def _hand_back(self, worker_id: str, assignments: Sequence[Assignment]) -> None:
        assert self._master is not None
        # Should it have arrived after all, it is not worked on: whoever has it next would wait for the room that it takes.
        self._tell(worker_id, write_cancel(assignments))
        left = [Report(one.tenant_id, one.task_id, one.token, Ending.HANDED_BACK) for one in assignments]
        pause = FIRST_PAUSE_SECONDS
        while left:
            verdicts = await self._master.report(worker_id, left)
            for report, verdict in zip(left, verdicts, strict=True):
                if verdict is not Verdict.RETRY:
                    self._settled(worker_id, (report.tenant_id, report.task_id, report.token))
            left = [report for report, verdict in zip(left, verdicts, strict=True) if verdict is Verdict.RETRY]
            if left:
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _settled(self, worker_id: str, key: AttemptKey, ending: Ending | None = None) -> None:
        known = self._known.get(worker_id)
        if known is None:
            return
        was_sent, was_of_others = known.sent.pop(key, None) is not None, key in known.others
        known.others.discard(key)
        if was_of_others or (was_sent and not self._is_ours(worker_id)):
            self._offer(known)
        if ending is Ending.HANDED_BACK:
            # It has less room than we believe: no more before it has said what it has.
            self._take_no_more(known)
            self._ask(worker_id)

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="nervio-remote-workers")
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _try_endpoint(self) -> None:
        """Says so where the address that workers are told leads nowhere from here."""
        host, _, port = self._server.endpoint.rpartition(":")
        try:
            async with asyncio.timeout(5.0):
                _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
            writer.close()
        except OSError as error:
            log.warning(
                "grpc_endpoint_not_reached: workers are told to bring results there; check NERVIO_WORKERS__GRPC_ENDPOINT",
                extra={"endpoint": self._server.endpoint, "error": str(error) or type(error).__name__},
            )

"""The way back to the master: one gRPC stream for parts of answers and reports.

A report is kept until its verdict, and sent again on every new stream. Parts of answers are shown and never kept: what cannot
be sent while there is no stream is dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc

from nervio_worker.jobs import AttemptKey, Job, Room
from nervio_worker.messages import METHOD, FromWorker, ToWorker

log = logging.getLogger(__name__)

LARGEST_MESSAGE_BYTES = 64 * 1024 * 1024
MARGIN_BYTES = 64 * 1024
"""What a message has besides its results, at most."""
AT_ONCE = 64
AT_ONCE_BYTES = 4 * 1024 * 1024
MOST_CHUNKS = 256
"""Parts that wait to be sent; whoever makes more waits as well."""
KEEP_ALIVE_SECONDS = 30
IDLE_SECONDS = 60.0
BEAT_SECONDS = 2.0
ANSWER_SECONDS = 10.0
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0

OUTCOME_RETRY = 4

OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.keepalive_time_ms", KEEP_ALIVE_SECONDS * 1000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.client_idle_timeout_ms", int(IDLE_SECONDS * 1000)),
    ("grpc.max_reconnect_backoff_ms", int(LONGEST_PAUSE_SECONDS * 1000)),
    # Loopback and private addresses have no business with a proxy of the environment.
    ("grpc.enable_http_proxy", 0),
)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who speaks, and how the master is to believe it."""

    worker_id: str
    boot: str
    token: str | None = None
    credentials: grpc.ChannelCredentials | None = None


class Results:
    """`start` it, give it an endpoint, and reports as they come. `settled` hears of each that got its verdict."""

    def __init__(self, identity: Identity, settled: Callable[[AttemptKey], None]) -> None:
        self._identity, self._settled = identity, settled
        self._endpoint = ""
        self._channel: tuple[str, Any] | None = None
        self._reports: dict[AttemptKey, Any] = {}
        self._unsent: deque[AttemptKey] = deque()
        self._chunks: deque[tuple[AttemptKey, int, str]] = deque()
        self._room = asyncio.Event()
        self._something = asyncio.Event()
        self._moved = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._may_show = True
        self._pause = FIRST_PAUSE_SECONDS
        self._largest = LARGEST_MESSAGE_BYTES
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._room.set()

    def start(self) -> None:
        """Begins; nothing is connected before there is something to say."""
        self._running = asyncio.create_task(self._run(), name="nervio-results")

    async def close(self) -> None:
        """Lets go."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])
        await self._drop_channel()

    def __len__(self) -> int:
        return len(self._reports)

    def __contains__(self, key: AttemptKey) -> bool:
        return key in self._reports

    def lead_to(self, endpoint: str) -> None:
        """Where results go from now on."""
        if endpoint and endpoint != self._endpoint:
            self._endpoint = endpoint
            self._moved.set()
            self._something.set()

    def report(self, report: Any) -> None:
        """Keeps a report (a message of the contract) until its verdict."""
        key = report.tenant_id, report.task_id, report.token
        self._reports[key] = report
        self._unsent.append(key)
        self._something.set()

    def forget(self, key: AttemptKey) -> None:
        """Nobody wants that report any more."""
        self._reports.pop(key, None)

    def show(self, job: Job, n: int, text: str) -> Room:
        """A part of an answer. From another thread than the loop's it waits until there is room."""
        if threading.get_ident() == self._thread:
            self._put(job.key, n, text)
            return Room(self._room.wait)
        asyncio.run_coroutine_threadsafe(self._put_and_wait(job.key, n, text), self._loop).result()
        return Room(None)

    async def _put_and_wait(self, key: AttemptKey, n: int, text: str) -> None:
        self._put(key, n, text)
        await self._room.wait()

    def _put(self, key: AttemptKey, n: int, text: str) -> None:
        if not self._may_show:
            return
        self._chunks.append((key, n, text))
        if len(self._chunks) >= MOST_CHUNKS:
            self._room.clear()
        self._something.set()

    # -- one stream after the other --------------------------------------------------------------------------------------

    async def _run(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            await self._something.wait()
            if not self._endpoint or not (self._unsent or self._chunks or self._reports):
                self._something.clear()
                continue
            self._moved.clear()
            try:
                await self._stream()
                pause = FIRST_PAUSE_SECONDS
                continue
            except grpc.aio.AioRpcError as error:
                why = f"{error.code().name}: {error.details()}"
            except (OSError, grpc.aio.BaseError, asyncio.InvalidStateError) as error:
                why = f"{type(error).__name__}: {error}"
            log.warning("results_not_taken at %s: %s; trying again", self._endpoint, why)
            self._show_nothing()
            self._something.set()
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 (so that workers do not all come at once)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _show_nothing(self) -> None:
        self._may_show = False
        self._chunks.clear()
        self._room.set()

    async def _stream(self) -> None:
        """From hello until there is nothing more to say, or another place to say it. Raises where the stream broke."""
        call = self._open()
        try:
            hello = FromWorker()
            hello.hello.worker_id, hello.hello.boot = self._identity.worker_id, self._identity.boot
            async with asyncio.timeout(ANSWER_SECONDS):
                await call.write(hello)
                welcome = await call.read()
            if welcome is grpc.aio.EOF:
                raise ConnectionError(
                    f"the master ended the stream: {(await call.code()).name}: {await call.details()}"
                )
            self._largest = min(welcome.welcome.largest_message_bytes or LARGEST_MESSAGE_BYTES, LARGEST_MESSAGE_BYTES)
            self._may_show = True
            self._unsent = deque(self._reports)
            reading = asyncio.create_task(self._read(call))
            try:
                await self._write(call, reading)
            finally:
                reading.cancel()
                await asyncio.wait([reading])
        finally:
            call.cancel()

    def _open(self) -> Any:
        if self._channel is None or self._channel[0] != self._endpoint:
            credentials = self._identity.credentials
            channel = (
                grpc.aio.insecure_channel(self._endpoint, OPTIONS)
                if credentials is None
                else grpc.aio.secure_channel(self._endpoint, credentials, OPTIONS)
            )
            old, self._channel = self._channel, (self._endpoint, channel)
            if old is not None:
                self._closing = asyncio.create_task(old[1].close())
        method = self._channel[1].stream_stream(METHOD, FromWorker.SerializeToString, ToWorker.FromString)
        token = self._identity.token
        return method(metadata=(("authorization", f"Bearer {token}"),) if token else ())

    async def _drop_channel(self) -> None:
        if self._channel is not None:
            await self._channel[1].close()
            self._channel = None

    async def _write(self, call: Any, reading: asyncio.Task[None]) -> None:
        quiet_since = self._loop.time()
        while not self._moved.is_set():
            if reading.done():
                reading.result()
                raise ConnectionError(f"the master ended the stream: {(await call.code()).name}")
            self._something.clear()
            # The parts that are there now go before the reports that are there now: a report never overtakes its own parts, and
            # whoever emits without end holds up no report of another.
            parts, message = len(self._chunks), self._take_reports()
            while parts > 0 and self._chunks:
                shown = self._take_chunks()
                parts -= len(shown.chunks.chunks)
                await call.write(shown)
            if message is not None:
                await call.write(message)
            if message is not None or self._chunks:
                quiet_since = self._loop.time()
                continue
            if not self._reports and self._loop.time() - quiet_since > IDLE_SECONDS:
                await call.done_writing()
                return
            waiting = asyncio.create_task(self._something.wait())
            try:
                done, _ = await asyncio.wait(
                    {waiting, reading}, timeout=BEAT_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
            finally:
                waiting.cancel()
            if not done:
                beat = FromWorker()
                beat.heartbeat.SetInParent()
                await call.write(beat)

    def _take_chunks(self) -> Any:
        message, size = FromWorker(), 0
        while self._chunks and len(message.chunks.chunks) < AT_ONCE and size < AT_ONCE_BYTES:
            (tenant_id, task_id, token), n, text = self._chunks.popleft()
            size += len(text)
            message.chunks.chunks.add(tenant_id=tenant_id, task_id=task_id, token=token, n=n, text=text)
        if len(self._chunks) < MOST_CHUNKS // 2:
            self._room.set()
        return message

    def _take_reports(self) -> Any | None:
        message, size = FromWorker(), 0
        while self._unsent and len(message.reports.reports) < AT_ONCE:
            report = self._reports.get(self._unsent[0])
            if report is None:
                self._unsent.popleft()
                continue
            large = report.ByteSize()
            if large > self._largest - MARGIN_BYTES:
                _refuse(report, large, self._largest)
                large = report.ByteSize()
            if size and size + large > AT_ONCE_BYTES:
                break
            message.reports.reports.append(report)
            size += large
            self._unsent.popleft()
        return message if message.reports.reports else None

    async def _read(self, call: Any) -> None:
        while (answer := await call.read()) is not grpc.aio.EOF:
            again: list[AttemptKey] = []
            for verdict in answer.verdicts.verdicts:
                key = verdict.tenant_id, verdict.task_id, verdict.token
                if verdict.outcome == OUTCOME_RETRY:
                    again.append(key)
                elif self._reports.pop(key, None) is not None:
                    self._settled(key)
            if again:
                self._loop.call_later(self._pause, self._send_again, again)
                self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)
            else:
                self._pause = FIRST_PAUSE_SECONDS
        status = await call.code()
        if status is not grpc.StatusCode.OK:
            raise ConnectionError(f"{status.name}: {await call.details()}")

    def _send_again(self, keys: list[AttemptKey]) -> None:
        with contextlib.suppress(RuntimeError):
            self._unsent.extend(key for key in keys if key in self._reports and key not in self._unsent)
            self._something.set()


def _refuse(report: Any, size: int, largest: int) -> None:
    """Turns a report that no message can carry into one that says so."""
    report.ending = 2
    report.result, report.usage, report.hopeless = "", "", True
    report.error = (
        f"The result has {size} bytes; a message carries {largest} at most. Store it as a file and give its name."
    )

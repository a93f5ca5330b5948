"""The gRPC server to which workers bring results and parts of answers: one stream a worker, see `proto/worker.proto`."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import msgspec

from nervio.adapters.workers.grpc_messages import METHOD_NAME, SERVICE, FromWorker, ToWorker
from nervio.adapters.workers.mqtt_messages import WORKER_ID, AttemptKey
from nervio.ports.workers import Chunk, Ending, Master, Report, Verdict

log = logging.getLogger(__name__)

LARGEST_MESSAGE_BYTES = 64 * 1024 * 1024
KEEP_ALIVE_SECONDS = 30
IDLE_SECONDS = 60
AT_ONCE = 16
"""Messages with reports of one worker that are taken at the same time. While so many wait for the store, nothing more is
read from that worker, and it feels so: gRPC's window fills."""
LONGEST_ERROR = 4000
GRACE_SECONDS = 1.0

OPTIONS = (
    ("grpc.max_receive_message_length", LARGEST_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", KEEP_ALIVE_SECONDS * 1000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.max_connection_idle_ms", IDLE_SECONDS * 1000),
    # A second server on the same port would take half of the workers; it must fail instead.
    ("grpc.so_reuseport", 0),
)

_ENDINGS = {1: Ending.DONE, 2: Ending.FAILED, 3: Ending.HANDED_BACK}
_OUTCOMES = {Verdict.ACCEPTED: 1, Verdict.LATE: 2, Verdict.REFUSED: 3, Verdict.RETRY: 4}
_json = msgspec.json.Decoder(msgspec.Raw)
_json_object = msgspec.json.Decoder(dict[str, msgspec.Raw])

Settled = Callable[[str, AttemptKey, Ending | None], None]
"""(worker, attempt, how it ended, if the report made sense)"""


@dataclass(frozen=True, slots=True)
class GrpcAddress:
    """Where results are taken, and from whom. Certificates and keys are PEM."""

    listen: str
    """host:port; port 0 takes a free one."""
    endpoint: str
    """host:port as workers reach it; port 0: the one that is listened on."""
    token: str | None = None
    certificate: bytes | None = None
    key: bytes | None = None
    client_ca: bytes | None = None
    """Workers must show a certificate that this one has signed."""


class ReportServer:
    """`start` it. `settled` hears of every attempt that its worker may forget now, and how it ended."""

    def __init__(self, address: GrpcAddress, settled: Settled) -> None:
        self._address, self._settled = address, settled
        self._master: Master | None = None
        self._server: grpc.aio.Server | None = None
        self.endpoint = address.endpoint

    async def start(self, master: Master) -> None:
        """Listens. Raises OSError where the port is taken."""
        self._master = master
        server = grpc.aio.server(options=OPTIONS)
        handler = grpc.stream_stream_rpc_method_handler(self._work, FromWorker.FromString, ToWorker.SerializeToString)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {METHOD_NAME: handler}),))
        address = self._address
        try:
            if address.certificate is not None and address.key is not None:
                credentials = grpc.ssl_server_credentials(
                    [(address.key, address.certificate)], address.client_ca, address.client_ca is not None
                )
                port = server.add_secure_port(address.listen, credentials)
            else:
                port = server.add_insecure_port(address.listen)
        except RuntimeError as error:
            raise OSError(f"cannot listen on {address.listen} for workers: {error}") from None
        if not port:
            raise OSError(f"cannot listen on {address.listen} for workers: the address is taken or not of this machine")
        host, _, wanted = address.endpoint.rpartition(":")
        self.endpoint = f"{host}:{port if wanted == '0' else wanted}"
        await server.start()
        self._server = server

    async def close(self) -> None:
        """Ends the streams; what is being written down is finished by the master."""
        if self._server is not None:
            await self._server.stop(GRACE_SECONDS)

    async def _work(self, _requests: Any, context: Any) -> None:
        await self._admit(context)
        hello = await context.read()
        if (
            hello is grpc.aio.EOF
            or hello.WhichOneof("message") != "hello"
            or not WORKER_ID.fullmatch(hello.hello.worker_id)
        ):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "The first message must be hello, with a worker_id.")
        stream = _Stream(self._of(hello.hello.worker_id), context)
        await stream.serve()

    def _of(self, worker_id: str) -> _Worker:
        assert self._master is not None
        return _Worker(worker_id, self._master, self._settled)

    async def _admit(self, context: Any) -> None:
        wanted = self._address.token
        if wanted is None:
            return
        metadata = dict(context.invocation_metadata() or ())
        given = str(metadata.get("authorization", "")).removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), wanted.encode()):
            log.warning("worker_refused: wrong worker token", extra={"peer": context.peer()})
            await context.abort(
                grpc.StatusCode.UNAUTHENTICATED, "The worker token is missing or wrong (authorization: Bearer ...)."
            )


@dataclass(frozen=True, slots=True)
class _Worker:
    """Who speaks, and to whom."""

    id: str
    master: Master
    settled: Settled

    def show(self, chunks: Any) -> None:
        for chunk in chunks:
            self.master.chunk(self.id, Chunk(chunk.tenant_id, chunk.task_id, chunk.token, chunk.n, chunk.text))

    async def take(self, messages: Sequence[Any]) -> Any:
        """Reports, and the verdicts on them as the message that answers."""
        read = [_read_report(message) for message in messages]
        good = [report for report in read if report is not None]
        try:
            found = iter(await self.master.report(self.id, good) if good else ())
        except Exception:
            log.exception("reports_not_taken", extra={"worker": self.id})
            found = iter([Verdict.RETRY] * len(good))
        answer = ToWorker()
        for message, report in zip(messages, read, strict=True):
            verdict = Verdict.REFUSED if report is None else next(found)
            answer.verdicts.verdicts.add(
                tenant_id=message.tenant_id, task_id=message.task_id, token=message.token, outcome=_OUTCOMES[verdict]
            )
            if verdict is not Verdict.RETRY:
                ending = None if report is None else report.ending
                self.settled(self.id, (message.tenant_id, message.task_id, message.token), ending)
        return answer


class _Stream:
    """One stream, from its hello to its end."""

    def __init__(self, worker: _Worker, context: Any) -> None:
        self._worker, self._context = worker, context
        self._writing = asyncio.Lock()
        self._permits = asyncio.Semaphore(AT_ONCE)
        self._taking: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        welcome = ToWorker()
        welcome.welcome.largest_message_bytes = LARGEST_MESSAGE_BYTES
        await self._write(welcome)
        try:
            while (message := await self._context.read()) is not grpc.aio.EOF:
                kind = message.WhichOneof("message")
                if kind == "chunks":
                    self._worker.show(message.chunks.chunks)
                elif kind == "reports":
                    await self._permits.acquire()
                    taking = asyncio.create_task(self._take(message.reports.reports), name="nervio-worker-reports")
                    self._taking.add(taking)
                    taking.add_done_callback(self._taking.discard)
                else:
                    self._worker.master.seen(self._worker.id)
        finally:
            if self._taking:
                await asyncio.wait(self._taking)

    async def _take(self, reports: Sequence[Any]) -> None:
        try:
            answer = await self._worker.take(reports)
            await self._write(answer)
        except (grpc.RpcError, grpc.aio.BaseError, asyncio.InvalidStateError):
            # The stream has ended meanwhile: the worker reports again on its next one.
            log.debug("verdicts_not_sent", extra={"worker": self._worker.id})
        finally:
            self._permits.release()

    async def _write(self, message: Any) -> None:
        async with self._writing:
            await self._context.write(message)


def _read_report(message: Any) -> Report | None:
    """What a worker says of an attempt; None where it names none. What keeps no contract is a failed attempt that says why."""
    if "\0" in message.tenant_id + message.task_id or not message.task_id:
        return None
    ending = _ENDINGS.get(message.ending)
    result, usage = message.result or "null", message.usage or None
    error, hopeless = message.error[:LONGEST_ERROR].replace("\0", "\ufffd"), message.hopeless
    try:
        if ending is None:
            raise ValueError("the report has no ending")
        if ending is Ending.DONE:
            _json.decode(result)
            if usage is not None:
                _json_object.decode(usage)
    except (ValueError, RecursionError) as problem:
        # What it says it used stays as it is: it may have been paid for, and whoever counts it takes what makes sense.
        ending, result, hopeless = Ending.FAILED, "null", True
        error = f"The worker's report does not keep the contract: {problem}"
    seconds, after = message.seconds, message.retry_after_seconds
    return Report(
        message.tenant_id,
        message.task_id,
        message.token,
        ending,
        result,
        usage,
        error,
        may_help=not hopeless,
        retry_after_seconds=after if 0 < after < LONGEST_WAIT_SECONDS else None,
        seconds=seconds if 0 <= seconds < LONGEST_WAIT_SECONDS else 0.0,
    )


LONGEST_WAIT_SECONDS = 366 * 86_400.0
"""What is longer, or no number, is not believed."""

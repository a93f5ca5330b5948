"""The stream of results, one side at a time: a master that is slow or wrong, a worker that keeps no contract."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc
import pytest
from nervio_worker.jobs import LONGEST_PART, Job
from nervio_worker.messages import message_class
from nervio_worker.results import MOST_CHUNKS, Identity, Results

from nervio.adapters.workers.grpc import AT_ONCE, GrpcAddress, ReportServer
from nervio.adapters.workers.grpc_messages import METHOD, FromWorker, ToWorker
from nervio.ports.workers import Chunk, Ending, Master, Profile, Report, Verdict, WorkerTransport
from tests.conformance.fleets import until

HERE = GrpcAddress("127.0.0.1:0", "127.0.0.1:0")
WorkerReport = message_class("Report")
CHUNK_TEXT = "x" * 16_384


class SlowMaster(Master):
    """Takes reports when it is let to; keeps everything that it was told."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.verdicts: list[Verdict] = []
        self.chunks: list[Chunk] = []
        self.reports: list[Report] = []
        self.waiting = 0

    def joined(self, transport: WorkerTransport, profile: Profile) -> None:
        raise NotImplementedError

    def left(self, worker_id: str, boot: str, reason: str) -> None:
        raise NotImplementedError

    def seen(self, worker_id: str) -> None:
        """Nothing hangs on it here."""

    def chunk(self, worker_id: str, chunk: Chunk) -> None:
        self.chunks.append(chunk)

    async def report(self, worker_id: str, reports: Sequence[Report]) -> list[Verdict]:
        self.waiting += 1
        await self.open.wait()
        self.waiting -= 1
        self.reports += reports
        return [self.verdicts.pop(0) if self.verdicts else Verdict.ACCEPTED for _ in reports]


@asynccontextmanager
async def a_line(master: Master) -> AsyncIterator[tuple[Results, list[Any]]]:
    """A server for results and a worker's end of the stream, with what the worker was told to forget."""
    server = ReportServer(HERE, lambda _worker, _key, _ending: None)
    await server.start(master)
    settled: list[Any] = []
    results = Results(Identity("w", "1"), settled.append)
    results.lead_to(server.endpoint)
    results.start()
    try:
        yield results, settled
    finally:
        await results.close()
        await server.close()


@asynccontextmanager
async def a_raw_stream(master: Master) -> AsyncIterator[Any]:
    """A worker's stream spoken by hand, after its hello."""
    server = ReportServer(HERE, lambda _worker, _key, _ending: None)
    await server.start(master)
    try:
        async with grpc.aio.insecure_channel(
            server.endpoint, options=(("grpc.max_send_message_length", -1),)
        ) as channel:
            call = channel.stream_stream(METHOD, FromWorker.SerializeToString, ToWorker.FromString)()
            hello = FromWorker()
            hello.hello.worker_id = "raw"
            await call.write(hello)
            assert (await call.read()).WhichOneof("message") == "welcome"
            yield call
    finally:
        await server.close()


def a_report(n: int, **given: Any) -> Any:
    """A report on task `n` that is done."""
    return WorkerReport(**{"tenant_id": "t", "task_id": str(n), "token": 1, "ending": 1, "result": "1", **given})


def a_job(results: Results) -> Job:
    """A job that can emit."""
    return Job("t", "1", 1, "chat", "", {}, 1, 1, None, results.show)


async def test_who_makes_parts_faster_than_they_are_read_waits() -> None:
    master = SlowMaster()
    async with a_line(master) as (results, _):
        master.open.clear()
        for n in range(AT_ONCE + 1):
            results.report(a_report(n))
            wanted = min(n + 1, AT_ONCE)
            await until(lambda wanted=wanted: master.waiting == wanted)  # type: ignore[misc]
        await asyncio.sleep(0.2)  # the last of them is read, and from then on nothing more
        job, made = a_job(results), 0

        async def emit() -> None:
            nonlocal made
            while made < 20_000:
                await job.emit(CHUNK_TEXT)
                made += 1

        emitting = asyncio.create_task(emit())
        await asyncio.sleep(1.0)
        stuck_at = made
        await asyncio.sleep(0.5)

        assert made == stuck_at < MOST_CHUNKS + 2_000, "memory would grow without end"
        assert master.chunks == []
        master.open.set()
        await until(lambda: made > stuck_at + 1_000)
        emitting.cancel()
        await asyncio.wait([emitting])

    assert [chunk.n for chunk in master.chunks] == list(range(len(master.chunks)))


async def test_parts_without_end_hold_up_no_report() -> None:
    master = SlowMaster()
    async with a_line(master) as (results, settled):
        job = a_job(results)

        async def emit() -> None:
            while True:
                await job.emit(CHUNK_TEXT)

        emitting = asyncio.create_task(emit())
        await until(lambda: len(master.chunks) > 1_000)
        results.report(a_report(2))
        await until(lambda: bool(settled), 5)
        emitting.cancel()
        await asyncio.wait([emitting])


async def test_a_part_that_is_very_long_is_shown_as_several_before_its_report() -> None:
    master = SlowMaster()
    text = "ñ" * (20 * LONGEST_PART + 5)
    async with a_line(master) as (results, settled):
        await a_job(results).emit(text)
        results.report(a_report(1))
        await until(lambda: bool(settled))

    assert "".join(chunk.text for chunk in master.chunks) == text
    assert [chunk.n for chunk in master.chunks] == list(range(21))


async def test_a_plain_function_in_a_thread_waits_as_well() -> None:
    master = SlowMaster()
    async with a_line(master) as (results, _):
        job = a_job(results)

        def emit_many() -> None:
            for _ in range(1_000):
                job.emit("part")

        await asyncio.to_thread(emit_many)
        await until(lambda: len(master.chunks) == 1_000)

    assert [chunk.n for chunk in master.chunks] == list(range(1_000))


async def test_a_report_is_repeated_until_a_verdict_that_is_for_good() -> None:
    master = SlowMaster()
    master.verdicts = [Verdict.RETRY, Verdict.RETRY, Verdict.LATE]
    async with a_line(master) as (results, settled):
        results.report(a_report(1))
        await until(lambda: bool(settled))

        assert settled == [("t", "1", 1)]
        assert len(results) == 0
    assert [report.task_id for report in master.reports] == ["1", "1", "1"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"result": "no json"}, "contract"),
        ({"result": '{"a":'}, "contract"),
        ({"result": "[" * 100_000}, "contract"),
        ({"usage": "[1]"}, "contract"),
        ({"ending": 0}, "no ending"),
        ({"ending": 9}, "no ending"),
    ],
)
async def test_a_report_that_keeps_no_contract_is_a_failed_attempt_that_says_why(given: Any, words: str) -> None:
    master = SlowMaster()
    async with a_line(master) as (results, settled):
        results.report(a_report(1, **given))
        await until(lambda: bool(settled))

    (report,) = master.reports
    assert (report.ending, report.may_help, report.result) == (Ending.FAILED, False, "null")
    assert words in report.error


async def test_a_report_that_names_no_task_is_refused() -> None:
    async with a_raw_stream(SlowMaster()) as call:
        message = FromWorker()
        message.reports.reports.add(tenant_id="t", task_id="a\0b", token=1, ending=1)
        message.reports.reports.add(tenant_id="t", task_id="", token=1, ending=1)
        await call.write(message)
        answer = await call.read()

    assert [verdict.outcome for verdict in answer.verdicts.verdicts] == [3, 3]


async def test_a_message_above_the_limit_ends_its_own_stream_with_the_reason_and_no_other() -> None:
    master = SlowMaster()
    async with a_raw_stream(master) as call, a_line(master) as (results, settled):
        message = FromWorker()
        message.reports.reports.add(
            tenant_id="t", task_id="1", token=1, ending=1, result='"' + "x" * (65 * 1024 * 1024) + '"'
        )
        with suppress(
            grpc.aio.AioRpcError, grpc.aio.BaseError, asyncio.InvalidStateError
        ):  # it may end while it is still being written
            await call.write(message)
        code = await call.code()
        results.report(a_report(2))
        await until(lambda: bool(settled))

    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert [report.task_id for report in master.reports] == ["2"]


async def test_a_stream_that_begins_without_hello_is_told_so() -> None:
    server = ReportServer(HERE, lambda _worker, _key, _ending: None)
    await server.start(SlowMaster())
    try:
        async with grpc.aio.insecure_channel(server.endpoint) as channel:
            call = channel.stream_stream(METHOD, FromWorker.SerializeToString, ToWorker.FromString)()
            beat = FromWorker()
            beat.heartbeat.SetInParent()
            await call.write(beat)
            assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
    finally:
        await server.close()


async def test_a_port_that_is_taken_is_said_by_its_address() -> None:
    first = ReportServer(HERE, lambda _worker, _key, _ending: None)
    await first.start(SlowMaster())
    try:
        second = ReportServer(GrpcAddress(first.endpoint, first.endpoint), lambda _worker, _key, _ending: None)
        with pytest.raises(OSError, match=first.endpoint):
            await second.start(SlowMaster())
    finally:
        await first.close()

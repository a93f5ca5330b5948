"""The workers in Go and Java under a real dispatcher: kills, lost brokers and masters, and leaving in order."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from nervio.adapters.workers.grpc import GrpcAddress
from nervio.modules.fleet import api
from tests.builders import Store
from tests.conformance.certificates import Authority
from tests.conformance.fleets import a_living_store, a_master, a_worker, held, remote, until, url
from tests.mosquitto import OwnMosquitto, a_mosquitto
from tests.other_workers import built

pytestmark = [pytest.mark.services("mqtt"), pytest.mark.slow]

PREFIX = "upb"
WILL_SECONDS = 0.05


@pytest.fixture(
    params=[pytest.param(name, marks=pytest.mark.services(name)) for name in ("go", "java")],
)
def command(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """What starts a worker."""
    return (built(request.param),)


@pytest.fixture
def broker(tmp_path: Path, free_port: int) -> Iterator[OwnMosquitto]:
    """A broker of the test's own."""
    with a_mosquitto(tmp_path, free_port) as made:
        yield made


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A store whose clock goes."""
    async with a_living_store(tmp_path) as made:
        yield made


async def test_killed_it_is_gone_at_once_and_its_task_runs_elsewhere(
    command: tuple[str, ...], tmp_path: Path, store: Store, broker: OwnMosquitto
) -> None:
    async with (
        a_master(store, remote(broker.port, PREFIX)) as fleet,
        a_worker(tmp_path, url(broker), PREFIX, worker_id="first", command=command) as first,
        a_worker(tmp_path, url(broker), PREFIX, "--slots", "2", worker_id="second", command=command),
    ):
        await fleet.joined("first")
        await fleet.joined("second")
        ids = await fleet.submit_many([{"echo": n, "sleep_seconds": 1} for n in range(4)])
        await until(lambda: held(fleet, "first") > 0)
        await asyncio.sleep(0.1)
        first.kill()
        await first.process.wait()
        seconds = await until(lambda: not fleet.is_there("first"))
        ended = [await fleet.ended(task_id) for task_id in ids]

    assert seconds <= WILL_SECONDS, f"{seconds * 1000:.0f} ms"
    assert [task.result for task, _ in ended] == list(range(4))
    assert {task.worker for task, _ in ended} == {"second"}
    assert ("first", "lost") in {(attempt.worker, attempt.ending) for _, attempts in ended for attempt in attempts}


async def test_a_restarted_broker_loses_no_task_and_costs_no_attempt(
    command: tuple[str, ...], tmp_path: Path, store: Store, broker: OwnMosquitto
) -> None:
    async with (
        a_master(store, remote(broker.port, PREFIX)) as fleet,
        a_worker(tmp_path, url(broker), PREFIX, "--slots", "2", worker_id="w", command=command) as worker,
    ):
        await fleet.joined("w")
        before = await fleet.submit_many([{"echo": n, "sleep_seconds": 0.5} for n in range(6)])
        await until(lambda: held(fleet, "w") == 4)
        await asyncio.sleep(0.2)  # the worker has them
        broker.kill()
        await until(lambda: not fleet.is_ready("w"))
        await asyncio.sleep(0.5)
        broker.start()
        ended = [await fleet.ended(task_id) for task_id in before]
        # What is lost on its way is given out again.
        await fleet.joined("w")
        worker.send(signal.SIGSTOP)
        lost = await fleet.submit_many([{"echo": n} for n in range(6, 10)])
        # By now it is known how long they take: no more than it can begin.
        await until(lambda: held(fleet, "w") == 2)
        broker.kill()
        worker.send(signal.SIGCONT)
        broker.start()
        ended += [await fleet.ended(task_id) for task_id in lost]

    assert [task.result for task, _ in ended] == list(range(10))
    assert [task.attempts for task, _ in ended] == [1] * 10


async def test_results_wait_for_a_master_that_is_away(
    command: tuple[str, ...], tmp_path: Path, store: Store, broker: OwnMosquitto
) -> None:
    transport = remote(broker.port, PREFIX)
    async with a_worker(tmp_path, url(broker), PREFIX, worker_id="w", command=command):
        async with a_master(store, transport) as fleet:
            await fleet.joined("w")
            task_id = await fleet.submit({"echo": "kept", "sleep_seconds": 0.5, "chunks": 1000})
            await until(lambda: held(fleet, "w") == 1)
            endpoint = transport.grpc_endpoint
        await asyncio.sleep(1.0)
        async with a_master(store, remote(broker.port, PREFIX, GrpcAddress(endpoint, endpoint))) as fleet:
            task, attempts = await fleet.ended(task_id)
            again = await fleet.result({"echo": "again", "chunks": 3})

    assert (task.result, len(attempts), again) == ("kept", 1, "again")


async def test_told_to_leave_it_finishes_what_it_does_and_hands_back_the_rest(
    command: tuple[str, ...], tmp_path: Path, store: Store, broker: OwnMosquitto
) -> None:
    options = ("--slots", "1", "--credit", "3")
    async with (
        a_master(store, remote(broker.port, PREFIX)) as fleet,
        a_worker(tmp_path, url(broker), PREFIX, *options, worker_id="leaving", command=command) as leaving,
    ):
        await fleet.joined("leaving")
        await fleet.ended(await fleet.submit({"echo": "so that they are taken for short ones"}))
        ids = await fleet.submit_many([{"echo": n, "sleep_seconds": 0.5} for n in range(3)])
        await until(lambda: held(fleet, "leaving") == 3)
        await asyncio.sleep(0.1)
        leaving.send(signal.SIGTERM)
        await asyncio.wait_for(leaving.process.wait(), 10)
        await until(lambda: not fleet.is_there("leaving"))
        async with a_worker(tmp_path, url(broker), PREFIX, worker_id="next", command=command):
            ended = [await fleet.ended(task_id) for task_id in ids]

    endings = sorted(tuple(attempt.ending for attempt in attempts) for _, attempts in ended)
    assert endings == [("done",), ("handed_back", "done"), ("handed_back", "done")]
    assert leaving.process.returncode == 0


async def test_what_may_not_finish_in_time_is_handed_back(
    command: tuple[str, ...], tmp_path: Path, store: Store, broker: OwnMosquitto
) -> None:
    async with (
        a_master(store, remote(broker.port, PREFIX)) as fleet,
        a_worker(tmp_path, url(broker), PREFIX, "--drain-seconds", "0.2", worker_id="slow", command=command) as slow,
    ):
        await fleet.joined("slow")
        task_id = await fleet.submit({"sleep_seconds": 60})
        await until(lambda: held(fleet, "slow") == 1)
        await asyncio.sleep(0.2)
        slow.send(signal.SIGTERM)
        await asyncio.wait_for(slow.process.wait(), 10)
        _, attempts = await api.get_task(fleet.store.ctx, task_id)

    assert [attempt.ending for attempt in attempts] == ["handed_back"]
    assert slow.process.returncode == 0


@pytest.mark.parametrize(("host", "authority"), [("127.0.0.2", "test authority"), ("127.0.0.1", "somebody else")])
async def test_no_result_is_brought_to_another_host_or_to_whom_another_authority_vouches_for(
    command: tuple[str, ...], tmp_path: Path, store: Store, broker: OwnMosquitto, host: str, authority: str
) -> None:
    known = Authority(tmp_path)
    pair = (known if authority == "test authority" else Authority(tmp_path, authority)).issue("master")
    address = GrpcAddress(f"{host}:0", f"{host}:0", None, pair.certificate.read_bytes(), pair.key.read_bytes())
    async with (
        a_master(store, remote(broker.port, PREFIX, address)) as fleet,
        a_worker(tmp_path, url(broker), PREFIX, "--ca", str(known.ca), worker_id="w", command=command) as worker,
    ):
        await fleet.joined("w")
        await fleet.submit({"echo": "not for everybody"})
        await until(lambda: "results_not_taken" in worker.said())
        await asyncio.sleep(0.5)

        assert held(fleet, "w") == 1
        assert any(word in worker.said() for word in ("certif", "subject alternative names"))

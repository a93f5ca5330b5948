"""Workers over MQTT and gRPC when things go wrong: kills, lost brokers, messages that come twice, readers that are slow."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from nervio.adapters.workers.grpc import GrpcAddress
from nervio.adapters.workers.mqtt import RemoteWorkers
from nervio.modules.fleet import api
from tests.builders import Store
from tests.conformance.fleets import (
    a_living_store,
    a_master,
    a_worker,
    held,
    remote,
    until,
    url,
)
from tests.mosquitto import OwnMosquitto, a_mosquitto

pytestmark = pytest.mark.services("mqtt")

PREFIX = "upb"
WILL_SECONDS = 0.05


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


async def test_a_worker_that_is_there_first_is_noticed_and_so_is_one_that_comes_later(
    tmp_path: Path, store: Store, broker: OwnMosquitto
) -> None:
    async with a_worker(tmp_path, url(broker), PREFIX, worker_id="early") as early:
        await until(lambda: "early" in early.said() and _has_registered(broker, "early"))
        async with a_master(store, remote(broker.port, PREFIX)) as fleet:
            await fleet.joined("early")
            async with a_worker(tmp_path, url(broker), PREFIX, worker_id="later"):
                await fleet.joined("later")


async def test_a_killed_worker_is_gone_at_once_and_its_task_runs_elsewhere(
    tmp_path: Path, store: Store, broker: OwnMosquitto
) -> None:
    async with (
        a_master(store, remote(broker.port, PREFIX)) as fleet,
        a_worker(tmp_path, url(broker), PREFIX, worker_id="first") as first,
    ):
        await fleet.joined("first")
        task_id = await fleet.submit({"echo": "done elsewhere", "sleep_seconds": 1})
        await until(lambda: held(fleet, "first") == 1)
        async with a_worker(tmp_path, url(broker), PREFIX, worker_id="second"):
            await fleet.joined("second")
            first.kill()
            await first.process.wait()
            seconds = await until(lambda: not fleet.is_there("first"))
            task, attempts = await fleet.ended(task_id)

    assert seconds <= WILL_SECONDS, f"{seconds * 1000:.0f} ms"
    assert (task.result, task.worker) == ("done elsewhere", "second")
    assert [(attempt.worker, attempt.ending) for attempt in attempts] == [("first", "lost"), ("second", "done")]


async def test_a_restarted_broker_loses_no_task_and_costs_no_attempt(
    tmp_path: Path, store: Store, broker: OwnMosquitto
) -> None:
    async with (
        a_master(store, remote(broker.port, PREFIX)) as fleet,
        a_worker(tmp_path, url(broker), PREFIX, "--slots", "2", worker_id="w"),
    ):
        await fleet.joined("w")
        before = await fleet.submit_many([{"echo": n, "sleep_seconds": 0.5} for n in range(6)])
        await until(lambda: held(fleet, "w") == 4)
        await asyncio.sleep(0.2)  # the worker has them
        broker.kill()
        await until(lambda: not fleet.is_ready("w"))
        meanwhile = await fleet.submit_many([{"echo": n} for n in range(6, 9)])
        await asyncio.sleep(0.7)
        broker.start()
        ended = [await fleet.ended(task_id) for task_id in (*before, *meanwhile)]

    assert [task.result for task, _ in ended] == list(range(9))
    assert [len(attempts) for _, attempts in ended] == [1] * 9


async def test_what_a_broker_lost_on_its_way_is_given_out_again_and_costs_no_attempt(
    tmp_path: Path, store: Store, broker: OwnMosquitto
) -> None:
    async with (
        a_master(store, remote(broker.port, PREFIX)) as fleet,
        a_worker(tmp_path, url(broker), PREFIX, "--slots", "2", worker_id="w") as worker,
    ):
        await fleet.joined("w")
        worker.send(signal.SIGSTOP)
        ids = await fleet.submit_many([{"echo": n} for n in range(4)])
        await until(lambda: held(fleet, "w") == 4)
        broker.kill()
        worker.send(signal.SIGCONT)
        broker.start()
        ended = [await fleet.ended(task_id) for task_id in ids]

    assert [task.result for task, _ in ended] == list(range(4))
    assert [task.attempts for task, _ in ended] == [1] * 4


async def test_a_master_starts_without_a_broker_and_finds_it_when_it_comes(
    tmp_path: Path, store: Store, broker: OwnMosquitto
) -> None:
    broker.kill()
    async with a_master(store, remote(broker.port, PREFIX)) as fleet, a_worker(tmp_path, url(broker), PREFIX) as worker:
        task_id = await fleet.submit({"echo": 1})
        await asyncio.sleep(0.5)
        broker.start()
        await fleet.joined(worker.id)
        task, _ = await fleet.ended(task_id)

    assert task.result == 1


async def test_what_nobody_took_is_handed_back_at_once_and_counts_no_attempt(
    tmp_path: Path, store: Store, broker: OwnMosquitto
) -> None:
    async with a_master(store, remote(broker.port, PREFIX)) as fleet:
        # Registered, and not subscribed: the broker says of what is sent that nobody was there.
        while not fleet.is_ready("ghost"):
            _publish(broker, "ghost", {"id": "ghost", "boot": "1", "kinds": ["check"], "credit": 5})
            await asyncio.sleep(0.02)
        task_id = await fleet.submit({"echo": "kept"})
        await until(lambda: not fleet.is_ready("ghost"))
        async with a_worker(tmp_path, url(broker), PREFIX, worker_id="real"):
            task, attempts = await fleet.ended(task_id)

    assert task.result == "kept"
    *before, last = [(attempt.worker, attempt.ending) for attempt in attempts]
    assert set(before) == {("ghost", "handed_back")}
    assert last == ("real", "done")
    assert task.attempts == 1


async def test_an_assignment_that_comes_twice_is_done_once(tmp_path: Path, store: Store, broker: OwnMosquitto) -> None:
    async with (
        a_master(store, remote(broker.port, PREFIX)) as fleet,
        a_worker(tmp_path, url(broker), PREFIX, worker_id="w"),
    ):
        await fleet.joined("w")
        heard: list[bytes] = []
        spy = _spy(broker, f"{PREFIX}/workers/w/tasks", heard)
        try:
            task_id = await fleet.submit({"echo": 1, "chunks": 3, "sleep_seconds": 0.3})
            await until(lambda: bool(heard))
            spy.publish(f"{PREFIX}/workers/w/tasks", heard[0], qos=1)
            await fleet.ended(task_id)
            spy.publish(f"{PREFIX}/workers/w/tasks", heard[0], qos=1)
            await fleet.result({"echo": "after it"})
        finally:
            spy.disconnect()
            spy.loop_stop()

    assert [chunk.n for chunk in fleet.chunks] == [0, 1, 2]


async def test_a_worker_that_is_told_to_leave_finishes_what_it_does_and_hands_back_the_rest(
    tmp_path: Path, store: Store, broker: OwnMosquitto
) -> None:
    async with (
        a_master(store, remote(broker.port, PREFIX)) as fleet,
        a_worker(tmp_path, url(broker), PREFIX, "--slots", "1", "--credit", "3", worker_id="leaving") as leaving,
    ):
        await fleet.joined("leaving")
        await fleet.ended(await fleet.submit({"echo": "so that they are taken for short ones"}))
        ids = await fleet.submit_many([{"echo": n, "sleep_seconds": 0.5} for n in range(3)])
        await until(lambda: held(fleet, "leaving") == 3)
        await asyncio.sleep(0.1)
        leaving.send(signal.SIGTERM)
        await asyncio.wait_for(leaving.process.wait(), 10)
        await until(lambda: not fleet.is_there("leaving"))
        async with a_worker(tmp_path, url(broker), PREFIX, worker_id="next"):
            ended = [await fleet.ended(task_id) for task_id in ids]

    endings = sorted(tuple(attempt.ending for attempt in attempts) for _, attempts in ended)
    assert endings == [("done",), ("handed_back", "done"), ("handed_back", "done")]
    assert leaving.process.returncode == 0


async def test_a_worker_that_may_not_finish_in_time_hands_back_what_it_does(
    tmp_path: Path, store: Store, broker: OwnMosquitto
) -> None:
    async with (
        a_master(store, remote(broker.port, PREFIX)) as fleet,
        a_worker(tmp_path, url(broker), PREFIX, "--drain-seconds", "0.2", worker_id="slow") as slow,
    ):
        await fleet.joined("slow")
        task_id = await fleet.submit({"sleep_seconds": 60})
        await until(lambda: held(fleet, "slow") == 1)
        await asyncio.sleep(0.2)
        slow.send(signal.SIGTERM)
        await asyncio.wait_for(slow.process.wait(), 10)
        _, attempts = await api.get_task(fleet.store.ctx, task_id)

    assert [attempt.ending for attempt in attempts] == ["handed_back"]


async def test_a_result_of_a_frozen_worker_is_late_and_counts_once(
    tmp_path: Path, store: Store, broker: OwnMosquitto
) -> None:
    async with (
        a_master(store, remote(broker.port, PREFIX), lease_seconds=1.5) as fleet,
        a_worker(tmp_path, url(broker), PREFIX, worker_id="frozen") as frozen,
    ):
        await fleet.joined("frozen")
        task_id = await fleet.submit({"echo": "once", "sleep_seconds": 0.3})
        await until(lambda: held(fleet, "frozen") == 1)
        frozen.send(signal.SIGSTOP)
        await until(lambda: not fleet.is_there("frozen"))
        async with a_worker(tmp_path, url(broker), PREFIX, worker_id="awake"):
            task, _ = await fleet.ended(task_id)
            frozen.send(signal.SIGCONT)
            await fleet.joined("frozen")
            await asyncio.sleep(0.5)
            again, attempts = await fleet.ended(task_id)

    assert (task.worker, again.worker) == ("awake", "awake")
    assert [(attempt.worker, attempt.ending) for attempt in attempts] == [("frozen", "lost"), ("awake", "done")]


async def test_a_result_of_65_mebibytes_is_refused_in_words_and_the_worker_goes_on(
    tmp_path: Path, store: Store, broker: OwnMosquitto
) -> None:
    async with (
        a_master(store, remote(broker.port, PREFIX)) as fleet,
        a_worker(tmp_path, url(broker), PREFIX, worker_id="w"),
    ):
        await fleet.joined("w")
        task, attempts = await fleet.ended(await fleet.submit({"repeat": 65 * 1024 * 1024}))

        assert (task.state, len(attempts)) == ("failed", 1)
        assert "Store it as a file" in (task.error or "")
        assert await fleet.result({"echo": "goes on"}) == "goes on"


async def test_results_wait_for_a_master_that_is_away(tmp_path: Path, store: Store, broker: OwnMosquitto) -> None:
    transport = remote(broker.port, PREFIX)
    async with a_worker(tmp_path, url(broker), PREFIX, worker_id="w"):
        async with a_master(store, transport) as fleet:
            await fleet.joined("w")
            task_id = await fleet.submit({"echo": "kept", "sleep_seconds": 0.5})
            await until(lambda: held(fleet, "w") == 1)
            port = transport.grpc_endpoint
        await asyncio.sleep(1.0)
        async with a_master(store, _on(broker.port, port)) as fleet:
            task, attempts = await fleet.ended(task_id)

    assert (task.result, len(attempts)) == ("kept", 1)


def _on(broker_port: int, address: str) -> RemoteWorkers:
    return remote(broker_port, PREFIX, GrpcAddress(address, address))


def _publish(broker: OwnMosquitto, worker_id: str, register: object) -> None:
    client = _spy(broker, "nothing", [])
    client.publish(f"{PREFIX}/workers/{worker_id}/register", json.dumps(register), qos=1).wait_for_publish(5)
    client.disconnect()
    client.loop_stop()


def _has_registered(broker: OwnMosquitto, worker_id: str) -> bool:
    heard: list[bytes] = []
    client = _spy(broker, f"{PREFIX}/workers/{worker_id}/register", heard)
    time.sleep(0.05)
    client.disconnect()
    client.loop_stop()
    return bool(heard)


def _spy(broker: OwnMosquitto, topic: str, heard: list[bytes]) -> paho.Client:
    """Somebody else on the broker, who hears what is said on a topic."""
    client = paho.Client(CallbackAPIVersion.VERSION2)
    ready: list[bool] = []
    client.on_message = lambda _client, _data, message: heard.append(bytes(message.payload))
    client.on_subscribe = lambda *_: ready.append(True)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    client.subscribe(topic, 1)
    while not ready:
        time.sleep(0.005)
    return client

"""Nobody is anonymous: TLS, passwords, certificates and the worker token, on a real broker and a real gRPC server."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import pytest

from nervio.adapters.workers.grpc import GrpcAddress
from nervio.adapters.workers.grpc_messages import METHOD, FromWorker, ToWorker
from nervio.adapters.workers.mqtt_session import Broker, Message, MqttSession
from tests import services
from tests.builders import Store
from tests.conformance.certificates import Authority, Pair
from tests.conformance.fleets import Fleet, a_living_store, a_master, a_prefix, a_worker, remote, until
from tests.mosquitto import a_mosquitto, a_password_file

pytestmark = pytest.mark.services("mqtt")

EXAMPLE = Path(__file__).parents[2] / "deploy" / "mosquitto"
TOKEN = "a token of twenty-four characters"
HERE = "127.0.0.1:0"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A store whose clock goes."""
    async with a_living_store(tmp_path) as made:
        yield made


def a_guarded_broker(folder: Path, port: int, authority: Authority) -> str:
    """Settings of a broker with TLS, passwords and the rule that a worker hears its own tasks only."""
    pair = authority.issue("broker")
    passwords = a_password_file(folder, {"master": "m-secret", "worker": "w-secret"})
    rules = folder / "acl"
    shutil.copy(EXAMPLE / "nervio.acl", rules)
    rules.chmod(0o600)
    return (
        f"listener {port} 127.0.0.1\ncafile {authority.ca}\ncertfile {pair.certificate}\nkeyfile {pair.key}\n"
        f"allow_anonymous false\npassword_file {passwords}\nacl_file {rules}\npersistence false\nuser root\n"
    )


def a_guarded_address(authority: Authority, pair: Pair, *, mutual: bool, token: str | None = TOKEN) -> GrpcAddress:
    """A server for results with TLS."""
    client_ca = authority.ca.read_bytes() if mutual else None
    return GrpcAddress(HERE, HERE, token, pair.certificate.read_bytes(), pair.key.read_bytes(), client_ca)


async def test_work_goes_over_tls_with_passwords_certificates_of_both_sides_and_a_token(
    tmp_path: Path, store: Store, free_port: int
) -> None:
    authority = Authority(tmp_path)
    mine = authority.issue("worker")
    address = a_guarded_address(authority, authority.issue("master"), mutual=True)
    tls = ssl.create_default_context(cafile=str(authority.ca))
    with a_mosquitto(tmp_path, free_port, a_guarded_broker(tmp_path, free_port, authority)):
        transport = remote(free_port, "upb", address, user="master", password="m-secret", tls=tls)
        options = ("--ca", str(authority.ca), "--certificate", str(mine.certificate), "--key", str(mine.key))
        url = f"mqtts://worker:w-secret@127.0.0.1:{free_port}"
        async with (
            a_master(store, transport) as fleet,
            a_worker(tmp_path, url, "upb", *options, NERVIO_WORKER_TOKEN=TOKEN) as worker,
        ):
            await fleet.joined(worker.id)
            assert await fleet.result({"echo": "sealed", "chunks": 5}) == "sealed"


async def test_a_worker_hears_nothing_of_the_work_of_another(tmp_path: Path, free_port: int) -> None:
    authority = Authority(tmp_path)
    tls = ssl.create_default_context(cafile=str(authority.ca))
    heard: list[Message] = []

    async def listen() -> None:
        await curious.subscribe("upb/workers/+/tasks", "upb/workers/+/register", "upb/workers/curious/tasks")

    async def wait() -> None:
        """Nothing to subscribe to."""

    curious = MqttSession(Broker("127.0.0.1", free_port, "worker", "w-secret", tls), "curious", listen, heard.append)
    master = MqttSession(Broker("127.0.0.1", free_port, "master", "m-secret", tls), "someone", wait, heard.append)
    with a_mosquitto(tmp_path, free_port, a_guarded_broker(tmp_path, free_port, authority)):
        curious.start()
        master.start()
        await until(lambda: master.is_open and curious.is_open)
        while not heard:  # until its subscription stands
            for topic in ("other/tasks", "other/register", "curious/tasks"):
                await master.publish_and_wait(Message(f"upb/workers/{topic}", topic.encode()))
            await asyncio.sleep(0.05)
        await curious.close()
        await master.close()

    assert {message.payload for message in heard} == {b"curious/tasks"}


async def test_a_broker_lets_nobody_in_who_has_a_wrong_password(tmp_path: Path, store: Store, free_port: int) -> None:
    authority = Authority(tmp_path)
    with a_mosquitto(tmp_path, free_port, a_guarded_broker(tmp_path, free_port, authority)):
        url = f"mqtts://worker:guess@127.0.0.1:{free_port}"
        async with a_worker(tmp_path, url, "upb", "--ca", str(authority.ca)) as worker:
            await until(lambda: "check user, password and client id" in worker.said())


@pytest.mark.parametrize("token", ["", "a guess of twenty-four characters"])
async def test_results_with_a_wrong_token_are_refused_and_the_worker_says_so(
    tmp_path: Path, store: Store, token: str
) -> None:
    async with _an_open_fleet(tmp_path, store, GrpcAddress(HERE, HERE, TOKEN)) as (fleet, port, prefix):
        async with a_worker(tmp_path, f"mqtt://127.0.0.1:{port}", prefix, NERVIO_WORKER_TOKEN=token) as worker:
            await fleet.joined(worker.id)
            task_id = await fleet.submit({"echo": "not like this"})
            await until(lambda: "The worker token is missing or wrong" in worker.said())
        async with a_worker(tmp_path, f"mqtt://127.0.0.1:{port}", prefix, NERVIO_WORKER_TOKEN=TOKEN):
            task, attempts = await fleet.ended(task_id)

    assert (task.state, [attempt.ending for attempt in attempts]) == ("done", ["lost", "done"])


async def test_a_worker_without_a_certificate_does_not_get_in_where_they_are_wanted(
    tmp_path: Path, store: Store
) -> None:
    authority, stranger = Authority(tmp_path), Authority(tmp_path, "stranger")
    address = a_guarded_address(authority, authority.issue("master"), mutual=True, token=None)
    root = authority.ca.read_bytes()
    transport = remote(1, a_prefix(), address)
    async with a_master(store, transport):
        await until(lambda: not transport.grpc_endpoint.endswith(":0"))
        for pair in (None, stranger.issue("worker")):
            with pytest.raises(grpc.aio.AioRpcError) as refusal:
                await _say_hello(
                    transport.grpc_endpoint,
                    grpc.ssl_channel_credentials(
                        root, pair and pair.key.read_bytes(), pair and pair.certificate.read_bytes()
                    ),
                )
            assert refusal.value.code() is grpc.StatusCode.UNAVAILABLE
            assert "refused" not in str(refusal.value.details())
        mine = authority.issue("worker")
        welcome = await _say_hello(
            transport.grpc_endpoint,
            grpc.ssl_channel_credentials(root, mine.key.read_bytes(), mine.certificate.read_bytes()),
        )

    assert welcome.welcome.largest_message_bytes == 64 * 1024 * 1024


async def _say_hello(endpoint: str, credentials: grpc.ChannelCredentials) -> Any:
    async with grpc.aio.secure_channel(endpoint, credentials) as channel:
        call = channel.stream_stream(METHOD, FromWorker.SerializeToString, ToWorker.FromString)()
        hello = FromWorker()
        hello.hello.worker_id = "w"
        async with asyncio.timeout(10):
            # A refused handshake ends the call before it has begun; which of the two says so is a matter of luck.
            with suppress(asyncio.InvalidStateError, grpc.aio.BaseError):
                await call.write(hello)
            answer = await call.read()
        if answer is grpc.aio.EOF:
            raise grpc.aio.AioRpcError(await call.code(), None, None, await call.details())
        return answer


@asynccontextmanager
async def _an_open_fleet(folder: Path, store: Store, address: GrpcAddress) -> AsyncIterator[tuple[Fleet, int, str]]:
    port, prefix = urlsplit(services.url("mqtt")).port or 1883, a_prefix()
    async with a_master(store, remote(port, prefix, address)) as fleet:
        yield fleet, port, prefix

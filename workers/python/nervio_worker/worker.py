"""A worker: registers over MQTT, takes tasks, brings results over gRPC, and leaves in order when it is told to."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import grpc

from nervio_worker.desk import Desk, Kind
from nervio_worker.mqtt_session import Broker, Message, MqttSession
from nervio_worker.results import Identity, Results

log = logging.getLogger(__name__)

VERSION = "0.1.0"
DEFAULT_PREFIX = "upb"
HELD_A_SLOT = 8
ON_ITS_WAY_SECONDS = 0.3
LAST_VERDICTS_SECONDS = 5.0
"""How long a worker that leaves waits for verdicts on what it brought last."""

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Options:
    """How a worker reaches its master. See `nervio-worker --help`."""

    broker: str
    """mqtt://user:password@host:1883, or mqtts:// for TLS."""
    id: str = ""
    """Stays over restarts; by default the name of the machine."""
    prefix: str = DEFAULT_PREFIX
    token: str | None = None
    """The master's worker token."""
    ca: Path | None = None
    """Who signed the certificates of broker and master. With it gRPC goes over TLS."""
    certificate: Path | None = None
    key: Path | None = None
    slots: int = 1
    """How many tasks are worked on at once."""
    credit: int | None = None
    """How many it holds at most, by default eight a slot. Long tasks are not given before they can begin; of short ones so many may
    wait here that it need not wait for the next."""
    models: Sequence[str] = ()
    version: str = VERSION
    drain_seconds: float = 30.0
    """How long what is being worked on may take once it is told to leave; what is left is handed back."""
    beat_seconds: float = 1.0


class Worker:
    """Give it kinds, then `run` it."""

    def __init__(self, options: Options) -> None:
        if options.slots < 1 or (options.credit is not None and options.credit < 1):
            raise ValueError("slots and credit must be at least 1")
        self.options = replace(options, id=options.id or socket.gethostname())
        self._broker = read_broker(options)
        self._kinds: dict[str, Kind] = {}

    def kind(self, name: str, *, batch: int = 1) -> Callable[[F], F]:
        """The function does tasks of that kind: plain (in a thread) or async, of one `Job`, or of a list where `batch` > 1."""

        def add(do: F) -> F:
            self.add(Kind(name, do, batch))
            return do

        return add

    def add(self, kind: Kind) -> None:
        """The same without a decorator. Raises ValueError where the kind is there already."""
        if kind.name in self._kinds or not kind.name or kind.batch < 1:
            raise ValueError(f"kind {kind.name!r}: it is named twice, or has no name, or its batch is less than 1")
        self._kinds[kind.name] = kind

    def run(self) -> None:
        """Works until SIGTERM or SIGINT, then leaves in order. A second signal ends it at once."""
        # The loop of Windows that is the default cannot watch sockets of others.
        factory = asyncio.SelectorEventLoop if sys.platform == "win32" else None
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(self._run_until_told())

    async def _run_until_told(self) -> None:
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()

        def stop(number: int) -> None:
            loop.remove_signal_handler(number)
            stopping.set()

        if sys.platform != "win32":
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, stop, number)
        await self.serve(stopping)

    async def serve(self, stopping: asyncio.Event) -> None:
        """Works until `stopping` is set, then leaves in order."""
        if not self._kinds:
            raise ValueError("this worker does nothing yet: give it a kind with @worker.kind(...)")
        await _Presence(self.options, self._broker, self._kinds).serve(stopping)


class _Presence:
    """One boot of a worker."""

    def __init__(self, options: Options, broker: Broker, kinds: dict[str, Kind]) -> None:
        self._options, self._kinds = options, kinds
        self._boot = secrets.token_hex(8)
        self._credit = options.credit or HELD_A_SLOT * options.slots * max(kind.batch for kind in kinds.values())
        identity = Identity(options.id, self._boot, options.token, _grpc_credentials(options))
        # The desk reports to the results and hears from them; one of the two has to be made first.
        self._results = Results(identity, lambda key: self._desk.settle(key))  # noqa: PLW0108
        self._desk = Desk(kinds, options.slots, self._credit, self._results, self._changed)
        self._top = f"{options.prefix}/workers/{options.id}"
        self._state = "idle"
        self._is_gone = False
        self._empty = asyncio.Event()
        self._session = MqttSession(
            broker, options.id, self._opened, self._received, will=self._gone("The worker's line broke.")
        )

    async def serve(self, stopping: asyncio.Event) -> None:
        log.info("worker %s does %s", self._options.id, ", ".join(self._kinds))
        self._results.start()
        self._session.start()
        beating = asyncio.create_task(self._beat(), name="nervio-beat")
        try:
            await stopping.wait()
            await self._drain()
        finally:
            beating.cancel()
            await asyncio.wait([beating])
            await self._desk.close()
            await self._results.close()
            await self._session.close()

    async def _drain(self) -> None:
        log.info("leaving: %d tasks are being worked on", self._desk.unfinished)
        self._desk.is_draining = True
        self._state = "draining"
        register = Message(f"{self._top}/register", json.dumps(self._profile()).encode(), is_retained=True)
        try:
            await self._session.publish_and_wait(register)
        except OSError as error:
            log.warning("the master was not told that this worker leaves: %s", error)
        self._desk.hand_back_waiting()
        # What was on its way when the master heard of it arrives, and is handed back.
        await asyncio.sleep(ON_ITS_WAY_SECONDS)
        if not await self._emptied(self._options.drain_seconds):
            self._desk.hand_back_rest()
            await self._emptied(LAST_VERDICTS_SECONDS)
        self._is_gone = True
        try:
            await self._session.publish_and_wait(self._gone("The worker was told to leave."))
        except OSError as error:
            log.warning("left without a word: %s", error)

    async def _emptied(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                while len(self._desk):
                    self._empty.clear()
                    await self._empty.wait()
        except TimeoutError:
            return False
        return True

    # -- presence --------------------------------------------------------------------------------------------------------

    async def _opened(self) -> None:
        await self._session.subscribe(f"{self._top}/tasks", f"{self._top}/control")
        self._publish("register", self._profile(), retained=True)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._options.beat_seconds)
            self._say_status()

    def _changed(self) -> None:
        if not len(self._desk):
            self._empty.set()
        state = "draining" if self._desk.is_draining else "busy" if self._desk.unfinished else "idle"
        if state != self._state:
            self._state = state
            # At the end of this round: a task that is done before anybody looks was never busy to anyone.
            asyncio.get_running_loop().call_later(0.05, self._say_status)

    def _say_status(self) -> None:
        status = {"boot": self._boot, "state": self._state, "in_flight": len(self._desk)}
        if self._session.is_open:
            self._publish("status", status, qos=0)

    def _profile(self) -> dict[str, Any]:
        options = self._options
        return {
            "id": options.id,
            "boot": self._boot,
            "kinds": sorted(self._kinds),
            "models": list(options.models),
            "slots": options.slots,
            "credit": 0 if self._desk.is_draining else self._credit,
            "batch": max(kind.batch for kind in self._kinds.values()),
            "version": options.version,
            "language": "python",
            "holding": [{"tenant_id": key[0], "task_id": key[1], "token": key[2]} for key in self._desk.holding],
        }

    def _gone(self, reason: str) -> Message:
        payload = json.dumps({"boot": self._boot, "gone": True, "reason": reason}).encode()
        return Message(f"{self._top}/register", payload, is_retained=True)

    def _publish(self, about: str, what: dict[str, Any], *, qos: int = 1, retained: bool = False) -> None:
        if self._is_gone:
            return  # a registration after it would be that of a ghost
        try:
            self._session.publish(Message(f"{self._top}/{about}", json.dumps(what).encode(), qos, retained))
        except OSError:
            log.debug("%s was not said: the broker is away", about)  # said anew on the next connection

    # -- what the master says --------------------------------------------------------------------------------------------

    def _received(self, message: Message) -> None:
        try:
            body = json.loads(message.payload)
            if message.topic.endswith("/control"):
                self._obey(body)
                return
            self._results.lead_to(str(body["grpc_endpoint"]))
            tasks = list(body["tasks"])
        except (KeyError, TypeError, ValueError) as error:
            log.error("a message on %s keeps no contract: %r", message.topic, error)  # noqa: TRY400 (one line is enough)
            return
        for task in tasks:
            try:
                self._desk.take(task)
            except (KeyError, TypeError, ValueError) as error:
                log.error("a task keeps no contract: %r", error)  # noqa: TRY400 (one line is enough)

    def _obey(self, body: dict[str, Any]) -> None:
        self._results.lead_to(str(body.get("grpc_endpoint") or ""))
        if body["do"] == "register":
            self._publish("register", self._profile(), retained=True)
        elif body["do"] == "cancel":
            for one in body.get("attempts", []):
                self._desk.cancel((one["tenant_id"], one["task_id"], one["token"]))


def read_broker(options: Options) -> Broker:
    """The broker of an address. Raises ValueError that says what is wrong with it."""
    parts = urlsplit(options.broker)
    if parts.scheme not in {"mqtt", "mqtts"} or not parts.hostname:
        raise ValueError("broker must be mqtt://user:password@host:1883, or mqtts:// for TLS")
    tls = None
    if parts.scheme == "mqtts":
        tls = ssl.create_default_context(cafile=None if options.ca is None else str(options.ca))
        if options.certificate is not None:
            tls.load_cert_chain(options.certificate, options.key)
    user, password = parts.username, parts.password
    return Broker(
        parts.hostname,
        parts.port or (8883 if tls else 1883),
        None if user is None else unquote(user),
        None if password is None else unquote(password),
        tls,
    )


def _grpc_credentials(options: Options) -> grpc.ChannelCredentials | None:
    if options.ca is None:
        return None
    return grpc.ssl_channel_credentials(
        options.ca.read_bytes(),
        None if options.key is None else options.key.read_bytes(),
        None if options.certificate is None else options.certificate.read_bytes(),
    )

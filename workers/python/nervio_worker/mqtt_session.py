"""A line to an MQTT broker that comes back by itself, on the event loop, without a thread.

Every connection is a new session: nothing that was not acknowledged is sent again, since both sides agree anew on what a worker
has when it registers. The same text serves the master and the Python worker, which share no package; a test holds them equal.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

log = logging.getLogger(__name__)

KEEP_ALIVE_SECONDS = 10
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 10.0
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
SAY_AGAIN_SECONDS = 60.0
"""How often it is said again that the broker is still away for the same reason."""


@dataclass(frozen=True, slots=True)
class Broker:
    """Where the broker is, and who asks."""

    host: str
    port: int
    user: str | None = None
    password: str | None = None
    tls: ssl.SSLContext | None = None

    def __str__(self) -> str:
        """Its address, without the password."""
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Message:
    """What is published, or was received. `is_retained` of a received one: it was there before the subscription."""

    topic: str
    payload: bytes
    qos: int = 1
    is_retained: bool = False


class BrokerRefused(Exception):
    """The broker answered, and said no."""


class MqttSession:
    """`start` it; `opened` is awaited on every new connection, `received` called for every message, `lost` when the line broke.

    A broker that is away is waited for, with a pause that grows. A will is published by the broker when the line breaks.
    """

    def __init__(
        self,
        broker: Broker,
        client_id: str,
        opened: Callable[[], Awaitable[None]],
        received: Callable[[Message], None],
        lost: Callable[[], None] = lambda: None,
        *,
        will: Message | None = None,
        is_version_5: bool = False,
    ) -> None:
        self._broker, self._client_id, self._will = broker, client_id, will
        self._opened, self._received, self._lost = opened, received, lost
        self._version = paho.MQTTv5 if is_version_5 else paho.MQTTv311
        self._client: paho.Client | None = None
        self._broken = asyncio.Event()
        self._why_broken = ""
        self._answers: dict[int, asyncio.Future[Sequence[Any]]] = {}
        self._waiting: dict[int, Callable[[bool], None]] = {}
        self._connected: asyncio.Future[None] | None = None
        self._running: asyncio.Task[None] | None = None
        self._said: tuple[str, float] = "", 0.0
        self.is_open = False

    def start(self) -> None:
        """Begins to connect, in the background."""
        self._running = asyncio.create_task(self._run(), name="nervio-mqtt")

    async def close(self) -> None:
        """Says good-bye to the broker, which then publishes no will."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])
        self._let_go()

    async def subscribe(self, *topics: str) -> None:
        """Subscribes with QoS 1 and waits until the broker has agreed. Raises `BrokerRefused`, or OSError where it is away."""
        client = self._require()
        _, mid = client.subscribe([(topic, 1) for topic in topics])
        answer: asyncio.Future[Sequence[Any]] = asyncio.get_running_loop().create_future()
        self._answers[mid or 0] = answer
        self._flush()
        async with asyncio.timeout(ANSWER_SECONDS):
            codes = await answer
        refused = [topic for topic, code in zip(topics, codes, strict=False) if code.is_failure]
        if refused:
            raise BrokerRefused(f"it allows no subscription to {', '.join(refused)}")

    def publish(self, message: Message, acknowledged: Callable[[bool], None] | None = None) -> None:
        """Publishes. `acknowledged` hears once whether somebody was there to take it, unless the line breaks before.

        Raises OSError where the broker is away. (Only MQTT 5 brokers say that nobody was there.)
        """
        client = self._require()
        info = client.publish(message.topic, message.payload, message.qos, message.is_retained)
        if acknowledged is not None:
            self._waiting[info.mid] = acknowledged
        self._flush()

    async def publish_and_wait(self, message: Message) -> None:
        """Publishes, and waits until the broker has it. Raises OSError where it is away."""
        taken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.publish(message, lambda _: None if taken.done() else taken.set_result(None))
        broken = asyncio.ensure_future(self._broken.wait())
        waiting: list[asyncio.Future[Any]] = [taken, broken]
        try:
            await asyncio.wait(waiting, timeout=ANSWER_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            broken.cancel()
        if not taken.done():
            raise ConnectionError("the broker did not acknowledge")

    def _require(self) -> paho.Client:
        if self._client is None or not self.is_open:
            raise ConnectionError(f"the broker {self._broker} is away")
        return self._client

    # -- one connection after the other ----------------------------------------------------------------------------------

    async def _run(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            began = time.monotonic()
            try:
                await self._connect()
                log.info("broker_connected: %s", self._broker)
                self._said = "", 0.0
                await self._opened()
                await self._keep()
                why = self._why_broken or "the line broke"
            except (OSError, ValueError, BrokerRefused) as error:
                why = f"{type(error).__name__}: {error}"
            self._let_go()
            if time.monotonic() - began > LONGEST_PAUSE_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            self._say(why)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 (so that workers do not all come at once)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _say(self, why: str) -> None:
        now = time.monotonic()
        if why != self._said[0] or now - self._said[1] > SAY_AGAIN_SECONDS:
            log.warning("broker_away: %s, waiting for it: %s", self._broker, why)
            self._said = why, now

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        client = self._make_client()
        self._client, self._broken, self._why_broken = client, asyncio.Event(), ""
        self._connected = loop.create_future()
        # Names are looked up and TLS is agreed on in a thread: paho blocks there.
        connecting = loop.run_in_executor(
            None, lambda: client.connect(self._broker.host, self._broker.port, KEEP_ALIVE_SECONDS)
        )
        try:
            await asyncio.shield(connecting)
        except asyncio.CancelledError:
            connecting.add_done_callback(lambda done: None if done.exception() else client.disconnect())
            raise
        line: Any = client.socket()
        if line is None:
            raise ConnectionError("the broker hung up")
        # Without it the small messages of both sides wait for each other: 44 ms in place of 0.4.
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        loop.add_reader(line, self._read)
        self._flush()
        async with asyncio.timeout(ANSWER_SECONDS):
            await self._connected
        self.is_open = True

    def _make_client(self) -> paho.Client:
        client = paho.Client(CallbackAPIVersion.VERSION2, self._client_id, protocol=self._version)
        client.connect_timeout = CONNECT_SECONDS
        client.max_queued_messages_set(0)
        if self._broker.user is not None:
            client.username_pw_set(self._broker.user, self._broker.password)
        if self._broker.tls is not None:
            client.tls_set_context(self._broker.tls)
        if self._will is not None:
            client.will_set(self._will.topic, self._will.payload, self._will.qos, self._will.is_retained)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_socket_close = self._on_socket_close
        return client

    async def _keep(self) -> None:
        """Until the line breaks. paho wants to be asked now and then whether it is time to say that we live."""
        while not self._broken.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._broken.wait()
            if self._client is not None:
                self._client.loop_misc()
                self._flush()

    def _let_go(self) -> None:
        was_open, client = self.is_open, self._client
        self.is_open, self._client = False, None
        if client is not None:
            client.on_disconnect = None
            line = client.socket()
            client.disconnect()
            client.loop_write()
            if line is not None:
                self._on_socket_close(client, None, line)
                line.close()
        answers: list[asyncio.Future[Any]] = [*self._answers.values()]
        if self._connected is not None:
            answers.append(self._connected)
        for answer in answers:
            if not answer.done():
                answer.set_exception(ConnectionError("the broker hung up"))
            if not answer.cancelled():
                answer.exception()  # seen, where nobody waits any more
        self._answers.clear()
        self._waiting.clear()
        self._broken.set()
        if was_open:
            self._lost()

    # -- paho's side -----------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        client = self._client
        if client is None:
            return
        client.loop_read()
        line = client.socket()
        # TLS reads more from the wire than it is asked for; what it keeps rings no bell.
        while isinstance(line, ssl.SSLSocket) and line.pending():
            client.loop_read()
            line = client.socket()
        self._flush()

    def _flush(self) -> None:
        client = self._client
        if client is None:
            return
        if client.want_write():
            client.loop_write()
        line = client.socket()
        if line is None:
            self._break("the line broke")
            return
        loop = asyncio.get_running_loop()
        if client.want_write():
            loop.add_writer(line, self._flush)
        else:
            loop.remove_writer(line)

    def _break(self, why: str) -> None:
        self._why_broken = self._why_broken or why
        self._broken.set()
        if self._connected is not None and not self._connected.done():
            self._connected.set_exception(ConnectionError(self._why_broken))

    def _on_connect(self, _client: Any, _data: Any, _flags: Any, code: Any, _properties: Any) -> None:
        if self._connected is None or self._connected.done():
            return
        if code.is_failure:
            self._connected.set_exception(BrokerRefused(f"{code}; check user, password and client id"))
        else:
            self._connected.set_result(None)

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, code: Any, _properties: Any) -> None:
        self._break(f"the broker ended the connection: {code}")

    def _on_message(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        try:
            self._received(Message(message.topic, bytes(message.payload), message.qos, message.retain))
        except Exception:
            log.exception("message_not_handled: %s", message.topic)

    def _on_publish(self, _client: Any, _data: Any, mid: int, code: Any, _properties: Any) -> None:
        acknowledged = self._waiting.pop(mid, None)
        if acknowledged is not None:
            # 16: no matching subscribers. Everything from 128 on is a refusal.
            acknowledged(code.value == 0)

    def _on_subscribe(self, _client: Any, _data: Any, mid: int, codes: Sequence[Any], _properties: Any) -> None:
        answer = self._answers.pop(mid, None)
        if answer is not None and not answer.done():
            answer.set_result(codes)

    @staticmethod
    def _on_socket_close(_client: Any, _data: Any, line: Any) -> None:
        with contextlib.suppress(ValueError, RuntimeError):  # closed already, or before there was a loop to listen with
            loop = asyncio.get_running_loop()
            loop.remove_reader(line)
            loop.remove_writer(line)

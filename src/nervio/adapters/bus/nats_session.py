"""One connection to NATS, from its making to its loss. It never reconnects by itself: what was under way on a broken
connection is unknown, and a client that sent its buffer again would publish later events before earlier ones."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError
from nats.js.kv import KeyValue

ANSWER_SECONDS = 5.0
CONNECT_SECONDS = 2
PENDING_MESSAGES = 512 * 1024


class Session:
    """An open connection. Anything may raise once it is lost."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.js: JetStreamContext = client.jetstream(timeout=ANSWER_SECONDS)
        self.leases: KeyValue | None = None
        self.is_listening = False
        self._inbox = client.new_inbox()
        self._answers: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._receivers: dict[str, Callable[[Msg], None]] = {}
        self._asked = 0

    @classmethod
    async def open(cls, url: str) -> Session:
        """Connects. Raises where nobody answers."""
        client = Client()
        await client.connect(
            url,
            allow_reconnect=False,
            connect_timeout=CONNECT_SECONDS,
            max_reconnect_attempts=1,
            ping_interval=10,
            max_outstanding_pings=2,
            error_cb=_quiet,
        )
        session = cls(client)
        try:
            await client.subscribe(f"{session._inbox}.a.*", cb=session._answered)
            await client.subscribe(
                f"{session._inbox}.p.*", cb=session._pulled, pending_msgs_limit=PENDING_MESSAGES, pending_bytes_limit=-1
            )
        except BaseException:
            await session.close()
            raise
        return session

    @property
    def is_alive(self) -> bool:
        """Whether the connection stands, as far as is known."""
        return bool(self._client.is_connected)

    async def publish(self, messages: Sequence[tuple[str, bytes, dict[str, str]]]) -> list[dict[str, Any]]:
        """Publishes (subject, body, headers) in order; the stream's answer to each."""
        loop = asyncio.get_running_loop()
        waiting: dict[str, asyncio.Future[dict[str, Any]]] = {}
        try:
            for subject, body, headers in messages:
                self._asked += 1
                reply = f"{self._inbox}.a.{self._asked}"
                waiting[reply] = self._answers[reply] = loop.create_future()
                await self._client.publish(subject, body, reply=reply, headers=headers)
            async with asyncio.timeout(ANSWER_SECONDS):
                return list(await asyncio.gather(*waiting.values()))
        finally:
            for reply, answer in waiting.items():
                self._answers.pop(reply, None)
                if not answer.cancel() and not answer.cancelled():
                    answer.exception()  # seen, even where the publishing itself ended first

    async def find(self, stream: str, sequence: int) -> bytes | None:
        """The body of a message of the stream; None where it was removed."""
        try:
            return (await self.js.get_msg(stream, seq=sequence)).data
        except NotFoundError:
            return None

    async def pull(self, stream: str, consumer: str, most: int, seconds: float, receive: Callable[[Msg], None]) -> None:
        """Asks for messages; each, and what ends the request, is given to `receive`."""
        self._receivers[consumer] = receive
        body = json.dumps({"batch": most, "expires": int(seconds * 1e9)}).encode()
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        await self._client.publish(subject, body, reply=f"{self._inbox}.p.{consumer}")

    async def acknowledge(self, replies: Sequence[str]) -> None:
        """Acknowledges deliveries; one that does not arrive brings the event again, and its effect is there already."""
        for reply in replies:
            await self._client.publish(reply, b"+ACK")

    async def listen(self, subject: str, hear: Callable[[Msg], Awaitable[None]]) -> None:
        """Hears what is published from now on."""
        await self._client.subscribe(subject, cb=hear)
        self.is_listening = True

    async def close(self) -> None:
        """Lets the connection go."""
        with contextlib.suppress(Exception):  # it may be lost, which is one way of being closed
            async with asyncio.timeout(1.0):
                await self._client.close()
        for answer in self._answers.values():
            # Not cancelled: to whoever waits that would be the end of its own task, and no `except Exception` sees it.
            if not answer.done():
                answer.set_exception(ConnectionError("the connection to NATS is lost"))

    async def _answered(self, message: Msg) -> None:
        answer = self._answers.get(message.subject)
        if answer is None or answer.done():
            return
        if message.headers and message.headers.get("Status") == "503":
            answer.set_exception(ConnectionError("JetStream does not answer"))
        else:
            answer.set_result(json.loads(message.data))

    async def _pulled(self, message: Msg) -> None:
        # Deliveries carry their consumer in the address of their acknowledgement, statuses come to the request's own.
        consumer = message.reply.split(".")[3] if message.reply else message.subject.rpartition(".")[2]
        receive = self._receivers.get(consumer)
        if receive is not None:
            receive(message)


async def ping(url: str) -> None:
    """Raises where the server does not answer."""
    client = Client()
    await client.connect(url, allow_reconnect=False, connect_timeout=CONNECT_SECONDS, error_cb=_quiet)
    try:
        await client.flush(timeout=CONNECT_SECONDS)
    finally:
        await client.close()


async def _quiet(_error: Exception) -> None:
    """What is wrong is raised where it matters; nats-py would print it as well."""

"""Live lines over the Socket.IO protocol (version 4 of Engine.IO, 5 of Socket.IO), for clients that speak it already.

client: `ai-query` {prompt | kind and payload, model, priority, key, id}   → acknowledged with {task_id, state}
        `ai-follow` {task_id, token, characters} · `ai-unfollow` {task_id} · `ai-cancel` {task_id, key}
server: `ai-response-chunk` {task_id, token, start, text} · `ai-response-end` {task_id, is_cut, task}
        `ai-response-error` {id, task_id, problem}, also where an event was refused whose acknowledgement nobody asked for
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import parse_qs

import msgspec
import socketio
from socketio.exceptions import ConnectionRefusedError as Refused
from socketio.packet import BINARY_ACK, BINARY_EVENT, Packet

from nervio.kernel.errors import NervioError
from nervio.ports.lines import Line, LineCut, Message, OpenLine

log = logging.getLogger(__name__)

PING_SECONDS, TIME_OUT_SECONDS = 25, 60
MOST_SOCKETS = 10_000
"""Connections of a process, with those that have not yet said who they are."""

_HEARD = {"ai-query": "submit", "ai-follow": "follow", "ai-unfollow": "unfollow", "ai-cancel": "cancel"}
_SAID = {"part": "ai-response-chunk", "ended": "ai-response-end", "problem": "ai-response-error"}
_OF_A_TASK = ("kind", "payload", "model", "priority", "deadline_at", "retries", "size")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class _Json:
    """JSON as the rest of the house reads it: no NaN, no half of a character."""

    @staticmethod
    def loads(text: str) -> Any:
        """The value. Raises ValueError."""
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError as error:
            raise ValueError(str(error)) from None

    @staticmethod
    def dumps(value: Any, **_: object) -> str:
        """The text, without spaces."""
        return msgspec.json.encode(value).decode()


class _TextPacket(Packet):  # type: ignore[misc]
    """Packets without attachments: those would be gathered without end before anybody is asked about them."""

    json = _Json

    def decode(self, encoded_packet: str) -> int:
        """The packet. Raises ValueError where it is none, or announces attachments."""
        if encoded_packet[:1] in {str(BINARY_EVENT), str(BINARY_ACK)}:
            raise ValueError("messages are JSON in text")
        count: int = super().decode(encoded_packet)
        return count


class _SocketIoWire:
    """The way to a client of Socket.IO. The library queues without end, so room is waited for here."""

    def __init__(self, server: socketio.AsyncServer, sid: str) -> None:
        self._server, self._sid = server, sid
        self._connection: str = server.manager.eio_sid_from_sid(sid, "/")

    async def send(self, message: Message) -> None:
        """Returns once there is room for another: what was said before has been taken over by the connection."""
        await self.make_room()
        await self._server.emit(_SAID[message["type"]], _body(message), to=self._sid)

    async def make_room(self) -> None:
        """Waits until nothing waits for the connection. Raises `LineCut`."""
        if not self.is_there():
            raise LineCut
        await self._server.eio.sockets[self._connection].queue.join()

    def is_there(self) -> bool:
        """Whether the client is still connected."""
        eio = self._server.eio.sockets.get(self._connection)
        return eio is not None and not eio.closed

    def wake(self) -> None:
        """Lets go of whatever waits to be given more to send, a poll or a WebSocket: nothing comes any more."""
        eio = self._server.eio.sockets.get(self._connection)
        if eio is not None:
            eio.queue.put_nowait(None)

    async def close(self, code: int, reason: str) -> None:
        """Says why, and ends the connection."""
        problem = {"kind": "unavailable", "code": "line_closed", "detail": reason, "close_code": code}
        await self._server.emit(_SAID["problem"], {"problem": problem}, to=self._sid)
        await self._server.disconnect(self._sid)
        with contextlib.suppress(KeyError, TimeoutError):
            async with asyncio.timeout(1):
                await self._server.eio.disconnect(self._connection)


class SocketIoLines:
    """An ASGI application that serves live lines over Socket.IO."""

    def __init__(self, open_line: OpenLine, *, most_bytes: int, stalled_seconds: float) -> None:
        self._open_line, self._stalled_seconds = open_line, stalled_seconds
        self._lines: dict[str, tuple[Line, _SocketIoWire]] = {}
        # What goes wrong is told to the client or logged here; the library would log what clients send.
        quiet = logging.getLogger(f"{__name__}.library")
        quiet.setLevel(logging.CRITICAL + 1)
        self._server = socketio.AsyncServer(
            async_mode="asgi",
            # One event after the other: whoever asks faster than is answered waits.
            async_handlers=False,
            serializer=_TextPacket,
            ping_interval=PING_SECONDS,
            ping_timeout=TIME_OUT_SECONDS,
            max_http_buffer_size=most_bytes,
            # Who may connect from where is judged before this application is reached.
            cors_allowed_origins=[],
            http_compression=False,
            logger=quiet,
            engineio_logger=quiet,
        )
        self._server.on("connect", self._connect)
        self._server.on("disconnect", self._disconnect)
        for event in _HEARD:
            self._server.on(event, self._hearing(event))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request of polling, or a WebSocket to its end."""
        asked = parse_qs(scope.get("query_string", b""))
        if b"j" in asked:
            # An answer as a script (JSONP) could be read by any page.
            await _refuse(scope, send, 400)
            return
        if b"sid" not in asked and len(self._server.eio.sockets) >= MOST_SOCKETS:
            await _refuse(scope, send, 503)
            return
        if scope["type"] == "http":
            await self._server.handle_request(scope, receive, send)
            return

        async def send_or_give_up(message: MutableMapping[str, Any]) -> None:
            # Whoever takes nothing for so long is given up; the library closes the connection then.
            async with asyncio.timeout(self._stalled_seconds):
                await send(message)

        try:
            await self._server.handle_request(scope, receive, send_or_give_up)
        except (ValueError, RecursionError, OSError) as error:
            log.info("socketio_line_broken", extra={"error": type(error).__name__})

    async def close(self) -> None:
        """Ends every line, and the library's own tasks."""
        for sid in list(self._lines):
            with contextlib.suppress(LineCut):
                await self._server.disconnect(sid)
        for eio in list(self._server.eio.sockets.values()):
            await eio.close(wait=False, abort=True)
            await eio.queue.put(None)
        with contextlib.suppress(RuntimeError):
            await self._server.shutdown()

    async def _connect(self, sid: str, environ: Mapping[str, Any], auth: object = None) -> None:
        wire = _SocketIoWire(self._server, sid)
        credentials = auth if isinstance(auth, Mapping) and auth else None
        try:
            line = await self._open_line(environ["asgi.scope"], credentials, wire)
        except NervioError as refusal:
            # After the answer, which is queued as soon as this is raised.
            asyncio.get_running_loop().call_soon(wire.wake)
            raise Refused(refusal.message, _told(refusal)) from None
        except Exception:
            log.exception("socketio_connect_failed")
            raise Refused("Something broke on our side.", {"kind": "unexpected", "code": "unexpected"}) from None
        if not wire.is_there():
            # The client left while it was asked who it is; nobody would end its line.
            await line.end()
            raise Refused("The connection has ended.")
        self._lines[sid] = line, wire

    async def _disconnect(self, sid: str, _reason: object = None) -> None:
        found = self._lines.pop(sid, None)
        if found is not None:
            found[1].wake()
            await found[0].end()

    def _hearing(self, event: str) -> Callable[..., Awaitable[Message]]:
        async def hear(sid: str, *given: Any) -> Message:
            if sid not in self._lines:
                return {}  # it was ended while this event was on its way
            line, wire = self._lines[sid]
            try:
                async with asyncio.timeout(self._stalled_seconds):
                    await wire.make_room()
                reply = await line.hear(_message(event, given[0] if given else None))
                if reply["type"] == "problem":
                    await self._server.emit(_SAID["problem"], _body(reply), to=sid)
            except (LineCut, TimeoutError):
                await self._server.disconnect(sid)
                return {}
            except Exception:
                log.exception("socketio_event_failed", extra={"event_name": event})
                await wire.close(1011, "Something broke on our side; come again and go on where you were.")
                return {}
            return _body(reply)

        return hear


def _body(message: Message) -> dict[str, Any]:
    """A message without its type, which is the event's name."""
    return {name: value for name, value in message.items() if name != "type"}


def _message(event: str, given: Any) -> Any:
    """The message that an event stands for. A question may be one text, as old clients send it."""
    if event == "ai-query" and isinstance(given, str):
        given = {"prompt": given}
    if not isinstance(given, dict):
        return {"type": _HEARD[event]} if given is None else given
    if event != "ai-query":
        return {**given, "type": _HEARD[event]}
    rest = {name: value for name, value in given.items() if name not in {*_OF_A_TASK, "prompt"}}
    task = {name: given[name] for name in _OF_A_TASK if name in given}
    if "prompt" in given:
        task = {"kind": "chat", **task, "payload": {"messages": [{"role": "user", "content": given["prompt"]}]}}
    return {**rest, "type": "submit", "task": task}


def _told(refusal: NervioError) -> dict[str, Any]:
    return {**refusal.data, "kind": refusal.kind.value, "code": refusal.code, "detail": refusal.message}


async def _refuse(scope: Scope, send: Send, status: int) -> None:
    kind = "websocket.http.response" if scope["type"] == "websocket" else "http.response"
    await send({"type": f"{kind}.start", "status": status, "headers": [(b"content-length", b"0")]})
    await send({"type": f"{kind}.body", "body": b""})

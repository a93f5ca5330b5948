"""Live lines over WebSocket; the runtime serves the same ones over Socket.IO."""

from __future__ import annotations

import contextlib

import msgspec
from fastapi import APIRouter, WebSocket
from starlette.responses import JSONResponse
from starlette.websockets import WebSocketDisconnect

from nervio.kernel.errors import NervioError
from nervio.modules.fleet.routes.line import open_line
from nervio.ports.lines import LineCut, Message
from nervio.web.problems import MEDIA_TYPE, STATUS, problem_of

router = APIRouter(prefix="/api")

UNSUPPORTED = 1003


class WebSocketWire:
    """The way to a client over WebSocket. The server waits by itself while the client's side is full."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket

    async def send(self, message: Message) -> None:
        """Returns once there is room for another."""
        try:
            await self._socket.send_text(msgspec.json.encode(message).decode())
        except (WebSocketDisconnect, RuntimeError) as gone:
            raise LineCut from gone

    async def close(self, code: int, reason: str) -> None:
        """Sends the code; whoever is gone already does not get it."""
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            await self._socket.close(code, reason)


@router.websocket("/tasks/live")
async def live(socket: WebSocket) -> None:
    """Tasks submitted, followed and cancelled over one line (proto/live.asyncapi.yaml)."""
    wire = WebSocketWire(socket)
    try:
        line = await open_line(socket.scope, None, wire)
    except NervioError as refusal:
        answer = JSONResponse(problem_of(refusal), STATUS[refusal.kind], media_type=MEDIA_TYPE)
        await answer(socket.scope, socket.receive, socket.send)
        return
    try:
        await socket.accept()
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if message.get("text") is None:
                await wire.close(UNSUPPORTED, "Messages are JSON in text.")
                return
            await line.say(await line.hear_text(message["text"]))
    except LineCut:
        pass
    finally:
        await line.end()

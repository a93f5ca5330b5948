"""Live lines in the server: Socket.IO where a served module answers it, and connections that nobody reads."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from uvicorn.protocols.websockets.wsproto_impl import WSProtocol

from nervio.adapters.live.socketio import PING_SECONDS, TIME_OUT_SECONDS, SocketIoLines
from nervio.runtime.settings import Settings
from nervio.web.manifest import Manifest

LINGER_SECONDS = 5.0
"""How long a connection that was closed may take to take in what it was still sent."""


def socket_io_of(manifests: Sequence[Manifest], settings: Settings) -> SocketIoLines | None:
    """The application under `/socket.io/`; None where no module answers it."""
    for manifest in manifests:
        if manifest.open_line is not None:
            return SocketIoLines(
                manifest.open_line,
                most_bytes=settings.fleet.live_message_bytes,
                stalled_seconds=settings.fleet.live_stalled_seconds,
            )
    return None


class LineProtocol(WSProtocol):
    """Uvicorn's WebSocket for peers that stop reading: a close does not wait for them, and none keeps its connection and what
    is buffered for it."""

    async def send(self, message: Any) -> None:
        """Sends, when there is room; a close at once."""
        if message["type"] == "websocket.close":
            self.writable.set()
        await super().send(message)

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """The application is done with the connection."""
        super().on_task_complete(task)
        self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    def keepalive_timeout(self) -> None:
        """Nothing came back to a ping: there is nobody to wait for."""
        super().keepalive_timeout()
        self.transport.abort()


__all__ = ["PING_SECONDS", "TIME_OUT_SECONDS", "LineProtocol", "socket_io_of"]

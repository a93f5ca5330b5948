"""Live lines: messages both ways between a client that stays connected and the module that serves it.

Two wires carry them, WebSocket and Socket.IO; what a message means is the same on both.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Protocol

Message = Mapping[str, Any]
"""What travels: JSON, an object whose `type` says what it is."""


class LineCut(Exception):
    """The other end is gone, or was given up."""


class Wire(Protocol):
    """The way to one client."""

    async def send(self, message: Message) -> None:
        """Returns once there is room for another message, so that whoever reads slowly is waited for and nothing piles up. Raises
        `LineCut`."""

    async def close(self, code: int, reason: str) -> None:
        """Ends the line for a reason that is told, also where nobody reads. A second call does nothing."""


class Line(Protocol):
    """What answers one client."""

    async def hear(self, message: Any) -> Message:
        """The reply to a message, which may be anything. What the line says by itself comes after the reply."""

    async def end(self) -> None:
        """Lets go of everything; the client is gone."""


OpenLine = Callable[[MutableMapping[str, Any], Mapping[str, Any] | None, Wire], Awaitable[Line]]
"""Opens a line for whoever made a request: its ASGI scope, and credentials that came in a message of their own where the wire has
such. Raises NervioError to refuse it."""

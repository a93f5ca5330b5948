"""Server-sent events as models send them: the data of each event as soon as it is whole."""

from __future__ import annotations

DONE = b"[DONE]"


class EventLines:
    """Takes bytes in pieces of any size and gives the data of events. An event of a model is one line."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> list[bytes]:
        """The data that became whole with this piece; comments and other fields are dropped."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        return [data for line in lines if (data := _data_of(line))]

    def rest(self) -> list[bytes]:
        """What stands in a last line without an end."""
        data = _data_of(self._rest)
        self._rest = b""
        return [data] if data else []


def _data_of(line: bytes) -> bytes:
    return line[5:].strip() if line.startswith(b"data:") else b""

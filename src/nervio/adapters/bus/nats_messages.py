"""Events as JetStream carries them, and what it answers to each."""

from __future__ import annotations

import json
import logging
from typing import Any

import msgspec

from nervio.ports.bus import BusChanged, Event

log = logging.getLogger(__name__)

_WRONG_LAST_SEQUENCE = frozenset({10071, 10164})
"""How JetStream says that a stream does not end where the publisher thought: with the sequence, and (newer ones) without."""


class PublishRefused(Exception):
    """The stream takes nothing for now: it is full, say. The connection stands."""


def message_of(name: str, event: Event, behind: int) -> tuple[str, bytes, dict[str, str]]:
    """Subject, body and headers of an event that shall follow the sequence `behind`."""
    headers = {"Nats-Msg-Id": event.id, "Nats-Expected-Last-Sequence": str(behind)}
    return f"{name}.events.{event.type}", msgspec.json.encode(event), headers


def find_event(body: bytes | None) -> Event | None:
    """The event of a message; None for what somebody else put there."""
    try:
        return msgspec.json.decode(body or b"", type=Event)
    except (ValueError, msgspec.MsgspecError):
        return None


def check(answer: dict[str, Any]) -> None:
    """Raises BusChanged where the stream does not end as expected, PublishRefused for any other refusal."""
    if answer.get("duplicate"):
        log.info("bus_had_the_event", extra={"sequence": answer.get("seq")})
    if "error" not in answer:
        return
    detail = json.dumps(answer["error"])
    if answer["error"].get("err_code") in _WRONG_LAST_SEQUENCE:
        raise BusChanged(detail)
    raise PublishRefused(detail)

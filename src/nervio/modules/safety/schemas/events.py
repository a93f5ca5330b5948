"""Response models of dead letters."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from nervio.kernel.time import to_iso
from nervio.modules.safety.contracts.events import Letter


class LetterReply(BaseModel):
    """An event that a handler gave up."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "0198f2a0-0000-7000-8000-000000000001",
                    "handler": "safety.look_sooner",
                    "event_id": "0198f2a0-0000-7000-8000-000000000002",
                    "type": "sale_recorded.v1",
                    "key": "0198f2a0-0000-7000-8000-000000000003",
                    "position": 1041,
                    "recorded_at": "2026-03-01T13:00:00.000000Z",
                    "payload": {"ticket_id": "0198f2a0-0000-7000-8000-000000000003", "total_minor": 125000},
                    "reason": "ValueError: no such product",
                    "attempts": 5,
                    "first_at": "2026-03-01T13:00:00.100000Z",
                    "last_at": "2026-03-01T13:00:16.900000Z",
                    "asked_by": None,
                }
            ]
        }
    )

    id: str
    handler: str = Field(description="Who could not digest it.")
    event_id: str
    type: str
    key: str = Field(description="Later events of the same key went on; this one comes after them.")
    position: int = Field(description="Place of the event in the order of facts.")
    recorded_at: str
    payload: dict[str, Any]
    reason: str = Field(description="Why the last attempt failed.")
    attempts: int
    first_at: str
    last_at: str
    asked_by: str | None = Field(description="Who wants it tried again; null once that has happened.")

    @classmethod
    def of(cls, letter: Letter) -> LetterReply:
        return cls(
            id=letter.id,
            handler=letter.handler,
            event_id=letter.event_id,
            type=letter.type,
            key=letter.key,
            position=letter.position,
            recorded_at=to_iso(letter.recorded_at),
            payload=letter.payload,
            reason=letter.reason,
            attempts=letter.attempts,
            first_at=to_iso(letter.first_at),
            last_at=to_iso(letter.last_at),
            asked_by=letter.asked_by,
        )


class ReplayReply(BaseModel):
    """What was asked for."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"letters": 1}]})

    letters: int = Field(description="How many letters will be tried again, within seconds where a handler runs.")

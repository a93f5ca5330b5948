"""Settings of the fleet."""

from __future__ import annotations

from pydantic import BaseModel, Field


class FleetSettings(BaseModel):
    """How AI work is handed out."""

    local_slots: int = Field(
        2,
        ge=0,
        le=256,
        description="Tasks that this process works on itself at once; 0 leaves all work to other workers.",
    )
    lease_seconds: float = Field(
        10.0,
        ge=0.5,
        le=600,
        description="A worker that has not been heard of for so long is gone, and its tasks run elsewhere.",
    )
    owner_lease_seconds: float = Field(
        10.0,
        ge=1,
        le=600,
        description="The same for a process that hands out work: another one takes over what it had given out.",
    )
    largest_result_bytes: int = Field(16_777_216, ge=1024, description="Largest result of a task that is kept.")
    requests_per_window: int = Field(
        100,
        ge=0,
        le=1_000_000,
        description="Requests that queue tasks, of one person or key, that a process takes within a window; 0 for any number.",
    )
    request_window_seconds: float = Field(900.0, ge=1, le=86_400, description="Length of that window, in seconds.")
    bill_markup_basis_points: int = Field(
        0,
        ge=0,
        le=100_000,
        description="What the bill adds to the cost of AI work, in hundredths of a per cent; 2000 adds a fifth.",
    )
    cache_seconds: float = Field(
        86_400.0,
        ge=0,
        le=31_536_000,
        description="How long the answer to a task is given to equal ones of the tenant; 0: only to those that wait for it.",
    )
    live_lines_per_person: int = Field(
        20, ge=1, le=10_000, description="Live lines (WebSocket, Socket.IO) that one person or key may have open here."
    )
    live_follows_per_line: int = Field(
        50, ge=1, le=10_000, description="Answers that one live line may follow at once."
    )
    live_message_bytes: int = Field(
        1_048_576,
        ge=4096,
        le=16_777_216,
        description="Largest message of a live line. A larger result is named in it and fetched by GET /api/tasks/{id}.",
    )
    live_stalled_seconds: float = Field(
        30.0,
        ge=1,
        le=600,
        description="A live line whose reader takes nothing for so long is closed; it may come again.",
    )

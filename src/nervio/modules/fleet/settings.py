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

"""Settings of background jobs."""

from __future__ import annotations

from pydantic import BaseModel, Field


class JobsSettings(BaseModel):
    """How background jobs are worked off by a process with the role `jobs`."""

    most_at_once: int = Field(8, ge=1, le=256, description="Jobs that one process works on at once.")
    owner_lease_seconds: float = Field(
        2.0,
        ge=1,
        le=60,
        description="A process that has not been heard of for so long is gone, and another takes over its jobs.",
    )

"""The groups of settings that say what is kept, where and for how long."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field


class LedgerSettings(BaseModel):
    """The journal's seal."""

    seal_seconds: float = Field(5.0, gt=0, description="How often what was written since is sealed.")
    export_directory: Path | None = Field(
        None, description="Where sealed blocks are written outside the database. Empty: `seals` in the data directory."
    )


class BackupSettings(BaseModel):
    """Backups."""

    directory: Path = Field(Path("backups"), description="Where backups are written.")
    daily: bool = Field(True, description="Whether a backup is made every day by the server itself.")
    daily_at: str = Field(
        "02:00", pattern=r"^([01]\d|2[0-3]):[0-5]\d$", description="When, as HH:MM on this machine's clock."
    )
    keep_days: int = Field(14, ge=1, description="Days whose last backup is kept when the daily one is made.")


class RetentionSettings(BaseModel):
    """How long what has done its work is kept. The journal, tickets and stock are kept for ever."""

    answers_days: int = Field(
        90, ge=1, le=36_500, description="Days for which an Idempotency-Key is sure to get its first answer again."
    )
    events_days: int = Field(
        30, ge=1, le=36_500, description="Days for which events stay readable after every reader has had them."
    )
    jobs_days: int = Field(
        30, ge=1, le=36_500, description="Days for which background jobs stay in the list after they ended."
    )
    tasks_days: int = Field(
        365, ge=1, le=36_500, description="Days for which AI tasks stay, with their results, after they ended."
    )
    trips_days: int = Field(
        365, ge=30, le=36_500, description="Days for which trips of rules stay in the history after they were cleared."
    )
    alerts_days: int = Field(
        365,
        ge=1,
        le=36_500,
        description="Days for which alerts stay after they were raised last, once somebody saw them.",
    )

"""Settings of the stock module."""

from __future__ import annotations

from pydantic import BaseModel, Field


class StockSettings(BaseModel):
    """How stock is kept."""

    hold_ttl_seconds: int = Field(900, ge=1, description="How long a hold lasts when the request names no time.")
    hold_sweep_seconds: float = Field(1.0, gt=0, description="How often expired holds are given back.")

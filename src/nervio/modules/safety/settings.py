"""Settings of the safety module."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field, ValidationInfo, field_validator

Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


class SafetySettings(BaseModel):
    """The stop and its drills."""

    drills: bool = Field(True, description="Whether the stop of every scope is tried once a week by the server itself.")
    drill_weekday: Weekday = Field("sunday", description="On which day.")
    drill_at: str = Field(
        "04:00", pattern=r"^([01]\d|2[0-3]):[0-5]\d$", description="When, as HH:MM on this machine's clock."
    )
    drill_red_after_days: int = Field(
        8, ge=1, description="Days after which a scope whose stop was not tried again is shown in red."
    )
    mirror_key: str = Field(
        "nervio:emergency",
        min_length=1,
        description="Redis key under which old clients find whether the installation is stopped. Nervio never reads it.",
    )


class ActionSettings(BaseModel):
    """Orders to advertising campaigns, and alerts: where they may go."""

    allow_private_addresses: bool = Field(
        False,
        description="Whether webhooks and mail servers may lie in private networks, and on this machine without TLS.",
    )
    answer_seconds: float = Field(10.0, gt=0, le=15, description="How long a platform may take to answer.")
    escalate_seconds: int = Field(
        60,
        ge=5,
        le=3_600,
        description="Seconds after which an order that is not confirmed is escalated: people are told, trying goes on.",
    )
    give_up_seconds: int = Field(
        24 * 3_600,
        ge=60,
        le=7 * 86_400,
        description="Seconds after which an order is given up, unconfirmed. More than escalate_seconds.",
    )
    parallel: int = Field(8, ge=1, le=64, description="Requests to platforms that may be under way at once.")
    google_ads_url: str = Field("https://googleads.googleapis.com", description="Address of the Google Ads API.")
    google_ads_version: str = Field("v26", pattern=r"^v\d+$", description="Version of the Google Ads API.")
    google_token_url: str = Field(
        "https://oauth2.googleapis.com/token", description="Where access tokens of Google are fetched."
    )
    meta_ads_url: str = Field("https://graph.facebook.com", description="Address of Meta's Graph API.")
    meta_ads_version: str = Field("v25.0", pattern=r"^v\d+\.\d+$", description="Version of Meta's Graph API.")

    @field_validator("give_up_seconds")
    @classmethod
    def _gives_up_after_it_has_escalated(cls, value: int, info: ValidationInfo) -> int:
        if value <= info.data.get("escalate_seconds", 0):
            raise ValueError("must be more than escalate_seconds")
        return value

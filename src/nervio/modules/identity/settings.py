"""Settings of the identity module. The key that signs tokens is a secret and travels apart from them."""

from __future__ import annotations

from pydantic import BaseModel, Field


class IdentitySettings(BaseModel):
    """How long a login lasts and how often it may be tried."""

    token_lifetime_seconds: int = Field(
        8 * 3600, ge=60, description="How long a token or a session lasts after login or refresh."
    )
    session_longest_seconds: int = Field(
        30 * 86_400, ge=60, description="How long refreshing can keep a session alive before a password is asked again."
    )
    login_window_seconds: int = Field(300, ge=1, description="The moving window in which login attempts are counted.")
    login_attempts_per_email: int = Field(
        10,
        ge=1,
        le=1000,
        description="Failed logins of one email in the window: from each address where it got in before, and from all "
        "others together.",
    )
    login_attempts_per_address: int = Field(
        100,
        ge=1,
        le=1000,
        description="Logins from one client address in the window; a whole shop may share an address.",
    )

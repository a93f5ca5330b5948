"""The group of settings that says which models may be asked, where, for how much, and how one is chosen."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator
from pydantic_settings import NoDecode

Preset = Literal["openai", "gemini", "deepseek", "ollama", "other"]
PolicyName = Literal["order", "cheapest", "fastest"]

Names = Annotated[tuple[str, ...], NoDecode]
"""Names separated by commas."""

_NAME = re.compile(r"[a-z0-9_]{1,40}")


def _split(value: Any) -> Any:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


class ProviderSettings(BaseModel):
    """One provider. With a name that is a preset's, a key is all that it needs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    preset: Preset | None = Field(
        None, description="Whose address, models and manners it has where nothing else is given. Empty: by its name."
    )
    base_url: str = Field("", description="Where chat/completions lies: https://models.example/v1.")
    api_key: SecretStr | None = Field(None, description="Its key.")
    chat_models: Names = Field((), description="Models for chat, the preferred one first.")
    vision_models: Names = Field((), description="Models that look at pictures.")
    embed_models: Names = Field((), description="Models that turn text into vectors.")
    allow_private_addresses: bool | None = Field(
        None, description="Whether it may lie in a private network, without TLS. Empty: for Ollama only."
    )

    @field_validator("chat_models", "vision_models", "embed_models", mode="before")
    @classmethod
    def _are_names(cls, value: Any) -> Any:
        return _split(value)

    @field_validator("base_url")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        if not value:
            return value
        parts = urlsplit(value)
        if (
            parts.scheme not in ("http", "https")
            or not parts.hostname
            or parts.query
            or parts.username is not None
            or not value.isascii()
        ):
            raise ValueError("write an address such as https://models.example/v1; the key stands in api_key")
        return value.rstrip("/")


class PriceSettings(BaseModel):
    """What a million tokens of a model cost, in millionths of the currency's unit: 0.15 dollars are 150000."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: int = Field(ge=0, description="A million tokens of what is asked.")
    output: int = Field(0, ge=0, description="A million tokens of the answer.")
    cached_input: int | None = Field(None, ge=0, description="The same of what the provider had read before.")
    currency: str = Field("USD", pattern=r"^[A-Z]{3}$", description="ISO 4217.")


class TenantModelSettings(BaseModel):
    """What holds for one shop instead."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    providers: Names | None = Field(None, description="Providers that it may use; empty: all.")
    policy: PolicyName | None = Field(None, description="How it chooses.")

    @field_validator("providers", mode="before")
    @classmethod
    def _are_names(cls, value: Any) -> Any:
        return _split(value.lower() if isinstance(value, str) else value)


class ModelSettings(BaseModel):
    """Language models, pictures and embeddings. Without a provider a small offline model stands in, and says so."""

    providers: dict[str, ProviderSettings] = Field(
        default_factory=dict,
        description="Providers by name: NERVIO_MODELS__PROVIDERS__<NAME>__API_KEY, …__BASE_URL, …__CHAT_MODELS, "
        "…__VISION_MODELS, …__EMBED_MODELS (separated by commas), …__PRESET (openai, gemini, deepseek, ollama or other), "
        "…__ALLOW_PRIVATE_ADDRESSES. One that is named like a preset needs its key only.",
    )
    order: Names = Field(
        (), description="Providers in order of preference, separated by commas; those not named follow by name."
    )
    policy: PolicyName = Field(
        "order", description="Which model answers: the first in `order`, the `cheapest` or the `fastest` that can."
    )
    currency: str = Field(
        "USD", pattern=r"^[A-Z]{3}$", description="Prices in this currency are compared; models with others come last."
    )
    prices: dict[str, PriceSettings | None] = Field(
        default_factory=dict,
        description='Prices, before our own table, as JSON: {"my-model": {"input": 150000, "output": 600000}} for 0.15 and '
        '0.60 USD a million tokens; "provider/model" and "provider/*" too; null for a price that is not known.',
    )
    tenants: dict[str, TenantModelSettings] = Field(
        default_factory=dict,
        description='What some shops may use, as JSON: {"<shop id>": {"providers": "ollama", "policy": "cheapest"}}.',
    )
    connect_seconds: float = Field(5.0, gt=0, le=60, description="How long a connection may take to come about.")
    first_part_seconds: float = Field(
        60.0, gt=0, le=3_600, description="How long the first part of a streamed answer may take."
    )
    next_part_seconds: float = Field(30.0, gt=0, le=3_600, description="How long each next part may take.")
    whole_seconds: float = Field(
        300.0,
        gt=0,
        le=7_200,
        description="How long an answer may take in all, every attempt at the same provider included.",
    )
    attempts: int = Field(3, ge=1, le=10, description="How often one provider is asked before it is another's turn.")
    longest_pause_seconds: float = Field(
        20.0, ge=0, le=600, description="A provider that asks to wait longer than this is not waited for."
    )
    largest_answer_bytes: int = Field(33_554_432, ge=1_024, description="Largest answer that is taken.")

    @field_validator("order", mode="before")
    @classmethod
    def _are_names(cls, value: Any) -> Any:
        return _split(value.lower() if isinstance(value, str) else value)

    @field_validator("providers")
    @classmethod
    def _have_names(cls, value: dict[str, ProviderSettings]) -> dict[str, ProviderSettings]:
        named = {name.lower(): provider for name, provider in value.items()}
        for name in named:
            if not _NAME.fullmatch(name) or name == "offline":
                raise ValueError(f"{name!r} is no name of a provider; letters, digits and _ only, and not offline")
        return named

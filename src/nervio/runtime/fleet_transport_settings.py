"""The group of settings that says how workers on other machines are reached."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, SecretStr, field_validator

SHORTEST_TOKEN = 16


class FleetTransportSettings(BaseModel):
    """Workers on other machines: work goes out over MQTT, results come back over gRPC. Nothing of it runs without a broker_url."""

    broker_url: SecretStr | None = Field(
        None,
        description="mqtt://user:password@host:1883, or mqtts:// for TLS: the broker over which workers get their work. Empty: "
        "only workers of this process.",
    )
    topic_prefix: str = Field(
        "upb",
        pattern=r"^[A-Za-z0-9_.-]{1,40}(/[A-Za-z0-9_.-]{1,40}){0,3}$",
        description="What the topics of this installation begin with; two on one broker need two.",
    )
    broker_ca_file: Path | None = Field(
        None, description="PEM file: who signed the broker's certificate, where the system does not know it."
    )
    broker_certificate_file: Path | None = Field(
        None, description="PEM file: the certificate that is shown to the broker, where it wants one."
    )
    broker_key_file: Path | None = Field(None, description="PEM file: its key.")
    grpc_listen: str = Field(
        "127.0.0.1:50051",
        description="host:port where results are taken; 0.0.0.0:50051 for every network of the machine.",
    )
    grpc_endpoint: str = Field(
        "",
        description="host:port that workers are told to bring results to, as they reach it. Empty: the same as grpc_listen.",
    )
    grpc_certificate_file: Path | None = Field(
        None,
        description="PEM file: the certificate of the server for results, with those that signed it. Turns TLS on.",
    )
    grpc_key_file: Path | None = Field(None, description="PEM file: its key.")
    grpc_client_ca_file: Path | None = Field(
        None, description="PEM file: workers must show a certificate that this one has signed (mutual TLS)."
    )
    token: SecretStr | None = Field(
        None, description="What workers show when they bring results, at least 16 characters; the same for all of them."
    )

    @field_validator("broker_url")
    @classmethod
    def _is_a_broker(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parts = urlsplit(value.get_secret_value())
            if parts.scheme not in {"mqtt", "mqtts"} or not parts.hostname:
                raise ValueError("must be mqtt://user:password@host:1883, or mqtts:// for TLS")
        return value

    @field_validator("grpc_listen", "grpc_endpoint")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        if value and (not host or not port.isdecimal() or int(port) > 65535):
            raise ValueError("must be host:port, such as fleet.example:50051")
        return value

    @field_validator("token")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < SHORTEST_TOKEN:
            raise ValueError(
                f"must have at least {SHORTEST_TOKEN} characters; "
                'make one with: python3 -c "import secrets; print(secrets.token_urlsafe(32))"'
            )
        return value

"""The way to workers on other machines, from its settings. What is missing or unsafe is refused here, by the name of its
setting, before anything listens."""

from __future__ import annotations

import ipaddress
import ssl
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from nervio.ports.workers import WorkerTransport
from nervio.runtime.fleet_transport_settings import FleetTransportSettings
from nervio.runtime.settings import SettingsError, variable_of

if TYPE_CHECKING:
    from nervio.adapters.workers.mqtt_session import Broker

GROUP = "workers"
"""Where the group stands in the tree: NERVIO_WORKERS__…"""


def make_remote_workers(settings: FleetTransportSettings, environment: str) -> WorkerTransport | None:
    """The transport, not started; None where no broker is named. Raises `SettingsError`.

    Outside `development` nobody is anonymous: the broker wants a user and a password (or a certificate), and workers show a
    token or a certificate. In `production` the address that workers are told must be one that they can reach.
    """
    if settings.broker_url is None:
        return None
    # Late: a shop on one machine starts without them.
    from nervio.adapters.workers.grpc import GrpcAddress
    from nervio.adapters.workers.mqtt import RemoteWorkers

    _check_files(settings)
    if environment != "development":
        _refuse_strangers(settings, environment)
    endpoint = settings.grpc_endpoint or settings.grpc_listen
    if environment == "production":
        _refuse_unreachable(endpoint)
    return RemoteWorkers(
        read_broker(settings),
        settings.topic_prefix,
        GrpcAddress(
            settings.grpc_listen,
            endpoint,
            None if settings.token is None else settings.token.get_secret_value(),
            _read(settings, "grpc_certificate_file"),
            _read(settings, "grpc_key_file"),
            _read(settings, "grpc_client_ca_file"),
        ),
    )


def read_broker(settings: FleetTransportSettings) -> Broker:
    """The broker that is named. Raises `SettingsError`."""
    from nervio.adapters.workers.mqtt_session import Broker

    assert settings.broker_url is not None
    parts = urlsplit(settings.broker_url.get_secret_value())
    is_secure = parts.scheme == "mqtts"
    return Broker(
        parts.hostname or "",
        parts.port or (8883 if is_secure else 1883),
        None if parts.username is None else unquote(parts.username),
        None if parts.password is None else unquote(parts.password),
        _broker_tls(settings) if is_secure else None,
    )


def _name(field: str) -> str:
    return variable_of((GROUP, field))


def _refuse_strangers(settings: FleetTransportSettings, environment: str) -> None:
    assert settings.broker_url is not None
    parts = urlsplit(settings.broker_url.get_secret_value())
    if not (parts.username and parts.password) and settings.broker_certificate_file is None:
        raise SettingsError(
            f"{_name('broker_url')}: names no user and password, which is for NERVIO_ENVIRONMENT=development only (this is "
            f"{environment}). Write mqtts://user:password@host:8883."
        )
    if settings.token is None and settings.grpc_client_ca_file is None:
        raise SettingsError(
            f"{_name('token')}: is empty, so that anybody could bring results, which is for NERVIO_ENVIRONMENT=development only "
            f"(this is {environment}). Set it, or {_name('grpc_client_ca_file')} for certificates."
        )


def _refuse_unreachable(endpoint: str) -> None:
    host = endpoint.rpartition(":")[0].strip("[]")
    try:
        address = ipaddress.ip_address(host)
        is_nowhere = address.is_loopback or address.is_unspecified
    except ValueError:
        is_nowhere = host == "localhost" or host.endswith(".localhost")
    if is_nowhere:
        raise SettingsError(
            f"{_name('grpc_endpoint')}: workers on other machines are told to bring results to {endpoint}, which leads each of "
            "them to itself. Write the host and port at which they reach this process, such as fleet.example:50051."
        )


def _check_files(settings: FleetTransportSettings) -> None:
    for certificate, key in (
        ("grpc_certificate_file", "grpc_key_file"),
        ("broker_certificate_file", "broker_key_file"),
    ):
        if (getattr(settings, certificate) is None) != (getattr(settings, key) is None):
            raise SettingsError(f"{_name(certificate)} and {_name(key)} go together; one of them is empty.")
    if settings.grpc_client_ca_file is not None and settings.grpc_certificate_file is None:
        raise SettingsError(
            f"{_name('grpc_client_ca_file')}: certificates of workers need TLS; set {_name('grpc_certificate_file')} as well."
        )


def _read(settings: FleetTransportSettings, field: str) -> bytes | None:
    path: Path | None = getattr(settings, field)
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{_name(field)}: {path} cannot be read: {error.strerror}") from None


def _broker_tls(settings: FleetTransportSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(
            cafile=None if settings.broker_ca_file is None else str(settings.broker_ca_file)
        )
    except OSError as error:
        raise SettingsError(f"{_name('broker_ca_file')}: {settings.broker_ca_file} is no use: {error}") from None
    if settings.broker_certificate_file is not None:
        try:
            context.load_cert_chain(settings.broker_certificate_file, settings.broker_key_file)
        except OSError as error:
            raise SettingsError(
                f"{_name('broker_certificate_file')}: {settings.broker_certificate_file} is no use with its key: {error}"
            ) from None
    return context

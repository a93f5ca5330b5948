"""The way to workers on other machines: what is made of its settings, and what is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from nervio.adapters.workers.mqtt import RemoteWorkers
from nervio.runtime.fleet_transport_settings import FleetTransportSettings
from nervio.runtime.settings import SettingsError, known_variables, load_settings
from nervio.runtime.worker_transports import make_remote_workers
from tests.conformance.certificates import Authority

BROKER = "mqtts://master:secret@broker.example:8883"
TOKEN = "0123456789abcdef0123456789abcdef"


def settings(**given: object) -> FleetTransportSettings:
    """Settings that are good for production, but for what is given."""
    good = {"broker_url": BROKER, "token": TOKEN, "grpc_endpoint": "fleet.example:50051"}
    return FleetTransportSettings.model_validate({**good, **given})


def test_without_a_broker_there_are_no_workers_elsewhere() -> None:
    assert make_remote_workers(FleetTransportSettings.model_validate({}), "production") is None


async def test_good_settings_make_a_transport_that_tells_workers_where_results_go() -> None:
    made = make_remote_workers(settings(), "production")

    assert isinstance(made, RemoteWorkers)
    assert made.grpc_endpoint == "fleet.example:50051"
    assert not made.is_local


async def test_development_needs_neither_password_nor_token_nor_a_public_address() -> None:
    made = make_remote_workers(settings(broker_url="mqtt://127.0.0.1", token=None, grpc_endpoint=""), "development")

    assert isinstance(made, RemoteWorkers)
    assert made.grpc_endpoint == "127.0.0.1:50051"


@pytest.mark.parametrize("environment", ["test", "production"])
@pytest.mark.parametrize(
    ("given", "variable"),
    [
        ({"broker_url": "mqtt://broker.example"}, "NERVIO_WORKERS__BROKER_URL"),
        ({"broker_url": "mqtt://master@broker.example"}, "NERVIO_WORKERS__BROKER_URL"),
        ({"token": None}, "NERVIO_WORKERS__TOKEN"),
    ],
)
def test_outside_development_nobody_is_anonymous(given: dict[str, object], variable: str, environment: str) -> None:
    with pytest.raises(SettingsError, match=variable):
        make_remote_workers(settings(**given), environment)


@pytest.mark.parametrize(
    "endpoint", ["", "0.0.0.0:50051", "localhost:50051", "127.0.0.1:50051", "[::1]:50051", "[::]:1"]
)
def test_production_refuses_an_address_that_leads_each_worker_to_itself(endpoint: str) -> None:
    with pytest.raises(SettingsError, match="NERVIO_WORKERS__GRPC_ENDPOINT"):
        make_remote_workers(settings(grpc_endpoint=endpoint), "production")


async def test_certificates_take_the_place_of_the_token(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("master")
    files = {"grpc_certificate_file": pair.certificate, "grpc_key_file": pair.key, "grpc_client_ca_file": authority.ca}

    assert make_remote_workers(settings(token=None, **files), "production") is not None


@pytest.mark.parametrize(
    ("given", "variable"),
    [
        ({"grpc_certificate_file": "/nowhere/a.pem", "grpc_key_file": "/nowhere/a.key"}, "GRPC_CERTIFICATE_FILE"),
        ({"grpc_certificate_file": "/nowhere/a.pem"}, "GRPC_KEY_FILE"),
        ({"grpc_client_ca_file": "/nowhere/ca.pem"}, "GRPC_CERTIFICATE_FILE"),
        ({"broker_ca_file": "/nowhere/ca.pem"}, "BROKER_CA_FILE"),
        ({"broker_key_file": "/nowhere/ca.key"}, "BROKER_CERTIFICATE_FILE"),
    ],
)
def test_files_that_are_missing_or_alone_are_named(given: dict[str, object], variable: str) -> None:
    with pytest.raises(SettingsError, match=variable):
        make_remote_workers(settings(**given), "production")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("broker_url", "tcp://broker:1883"),
        ("broker_url", "mqtt://"),
        ("topic_prefix", "a+b"),
        ("topic_prefix", "a/#"),
        ("grpc_listen", "50051"),
        ("grpc_endpoint", "host:port"),
        ("token", "short"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_its_field(field: str, value: str) -> None:
    with pytest.raises(ValidationError, match=field):
        settings(**{field: value})


def test_passwords_and_tokens_never_show() -> None:
    assert "secret" not in repr(settings())
    assert TOKEN not in repr(settings())


def test_the_variables_of_a_worker_on_the_same_machine_are_no_misspelt_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NERVIO_WORKER_TOKEN", TOKEN)
    monkeypatch.setenv("NERVIO_WORKER_BROKER", BROKER)
    assert load_settings().workers.token is None
    monkeypatch.setenv("NERVIO_WORKERS_TOKEN", TOKEN)
    with pytest.raises(SettingsError, match="Did you mean NERVIO_WORKERS__TOKEN"):
        load_settings()


def test_the_group_stands_in_the_tree() -> None:
    assert "NERVIO_WORKERS__BROKER_URL" in known_variables()

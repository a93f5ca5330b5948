"""Runs the checks one after the other."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nervio.adapters.workers.mqtt import RemoteWorkers
from nervio.adapters.workers.mqtt_messages import Topics
from nervio.adapters.workers.mqtt_session import BrokerRefused, Message, MqttSession
from nervio.runtime.fleet_transport_settings import FleetTransportSettings
from nervio.runtime.settings import SettingsError, variable_of
from nervio.runtime.worker_check.bench import Bench, Failed, Process
from nervio.runtime.worker_check.checks import CHECKS
from nervio.runtime.worker_transports import GROUP, make_remote_workers, read_broker

CONNECT_SECONDS = 5.0
OPTIONS = {
    "broker_url": "--broker",
    "grpc_listen": "--grpc-listen",
    "grpc_endpoint": "--grpc-endpoint",
    "broker_ca_file": "--ca",
    "broker_certificate_file": "--certificate",
    "broker_key_file": "--key",
    "grpc_certificate_file": "--grpc-certificate",
    "grpc_key_file": "--grpc-key",
    "grpc_client_ca_file": "--grpc-client-ca",
}
"""What the settings of a master are called here."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one check. `passed` None: it was not run, since the worker was not there."""

    check: str
    passed: bool | None
    detail: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """What came of all."""

    findings: Sequence[Finding]

    @property
    def conforms(self) -> bool:
        """Whether the worker keeps the contract."""
        return all(finding.passed for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return {"conforms": self.conforms, "checks": [asdict(finding) for finding in self.findings]}


@dataclass(frozen=True, slots=True)
class Files:
    """PEM files of a broker and of results with TLS. Broker and results trust the same authority as the worker does."""

    ca: Path | None = None
    """Who signed the broker's certificate and that of results; for us and for the worker."""
    certificate: Path | None = None
    """What the worker shows to both, and we to the broker."""
    key: Path | None = None
    grpc_certificate: Path | None = None
    grpc_key: Path | None = None
    grpc_client_ca: Path | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What the worker is told of them."""
        told = {"CA": self.ca, "CERTIFICATE": self.certificate, "KEY": self.key}
        return {f"NERVIO_WORKER_{name}": str(file.absolute()) for name, file in told.items() if file is not None}


@dataclass(frozen=True, slots=True)
class Plan:
    """Where the worker is met. Without a command, whoever reads what `ask` says starts and ends it."""

    broker_url: str
    command: Sequence[str] = ()
    worker_id: str = ""
    """Empty: one that nobody else has. It is the worker's client id as well, of which a broker knows only one at a time."""
    grpc_listen: str = "127.0.0.1:0"
    grpc_endpoint: str = ""
    only: Sequence[str] = ()
    """Words of which the name of a check must have one; none: all of them. The worker must register in any case."""
    files: Files = Files()


def read_settings(plan: Plan, prefix: str, token: str) -> FleetTransportSettings:
    """The settings of the master that we play. Raises SettingsError naming the option."""
    files = plan.files
    if files.ca is not None and files.grpc_certificate is None:
        raise SettingsError(
            "--ca: a worker that is told of an authority brings results over TLS; give --grpc-certificate and --grpc-key as well."
        )
    try:
        return FleetTransportSettings.model_validate(
            {
                "broker_url": plan.broker_url,
                "topic_prefix": prefix,
                "broker_ca_file": files.ca,
                "broker_certificate_file": files.certificate,
                "broker_key_file": files.key,
                "grpc_listen": plan.grpc_listen,
                "grpc_endpoint": plan.grpc_endpoint,
                "grpc_certificate_file": files.grpc_certificate,
                "grpc_key_file": files.grpc_key,
                "grpc_client_ca_file": files.grpc_client_ca,
                "token": token,
            }
        )
    except ValidationError as error:
        problem = error.errors()[0]
        option = OPTIONS[str(problem["loc"][0])]
        raise SettingsError(f"{option}: {str(problem['msg']).removeprefix('Value error, ')}") from None


def _make_transport(settings: FleetTransportSettings) -> RemoteWorkers:
    try:
        transport = make_remote_workers(settings, "development")
    except SettingsError as error:
        text = str(error)
        for field, option in OPTIONS.items():
            text = text.replace(variable_of((GROUP, field)), option)
        raise SettingsError(text) from None
    assert isinstance(transport, RemoteWorkers)
    return transport


async def check_worker(plan: Plan, ask: Callable[[str], None], note: Callable[[str], None]) -> Judgement:
    """Runs every check. Raises SettingsError, or OSError where the broker or the port is not there."""
    prefix, token = f"check-{secrets.token_hex(4)}", secrets.token_urlsafe(24)
    worker_id = plan.worker_id or f"check-{secrets.token_hex(4)}"
    settings = read_settings(plan, prefix, token)
    transport = _make_transport(settings)
    process = Process(
        plan.command,
        {
            "NERVIO_WORKER_BROKER": plan.broker_url,
            "NERVIO_WORKER_PREFIX": prefix,
            "NERVIO_WORKER_ID": worker_id,
            "NERVIO_WORKER_TOKEN": token,
            **plan.files.environment,
        },
        ask,
    )
    topics = Topics(prefix)

    async def opened() -> None:
        await session.subscribe(*topics.of_all)

    def received(message: Message) -> None:
        bench.hear(message)

    session = MqttSession(read_broker(settings), f"nervio-check-{secrets.token_hex(6)}", opened, received)
    bench = Bench(transport, session, topics, worker_id, process)
    session.start()
    try:
        if not await bench.master.until(lambda: session.is_open, CONNECT_SECONDS):
            raise ConnectionError(f"the broker {read_broker(settings)} does not answer, or refuses us")
        await transport.start(bench.master)
        return Judgement(await _run(bench, plan.only, note))
    finally:
        if process.running is not None and process.running.returncode is None:
            process.running.kill()
            await process.running.wait()
        await transport.close()
        await session.close()


async def _run(bench: Bench, only: Sequence[str], note: Callable[[str], None]) -> list[Finding]:
    findings: list[Finding] = []
    first, *others = CHECKS
    chosen = [(name, check) for name, check in others if not only or any(word in name for word in only)]
    for name, check in (first, *chosen):
        if findings and (not findings[0].passed or bench.master.profile is None):
            findings.append(Finding(name, None, "not run: the worker is not there"))
            continue
        note(name)
        try:
            findings.append(Finding(name, True, await check(bench)))
        except (Failed, BrokerRefused) as failure:
            findings.append(Finding(name, False, str(failure)))
    return findings

"""Runs the checks one after the other."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import ValidationError

from nervio.adapters.workers.mqtt import RemoteWorkers
from nervio.adapters.workers.mqtt_messages import Topics
from nervio.adapters.workers.mqtt_session import BrokerRefused, Message, MqttSession
from nervio.runtime.fleet_transport_settings import FleetTransportSettings
from nervio.runtime.settings import SettingsError
from nervio.runtime.worker_check.bench import Bench, Failed, Process
from nervio.runtime.worker_check.checks import CHECKS
from nervio.runtime.worker_transports import make_remote_workers, read_broker

CONNECT_SECONDS = 5.0


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
class Plan:
    """Where the worker is met. Without a command, whoever reads what `ask` says starts and ends it."""

    broker_url: str
    command: Sequence[str] = ()
    worker_id: str = "check-worker"
    grpc_listen: str = "127.0.0.1:0"
    grpc_endpoint: str = ""
    only: Sequence[str] = ()
    """Words of which the name of a check must have one; none: all of them. The worker must register in any case."""


def read_settings(plan: Plan, prefix: str, token: str) -> FleetTransportSettings:
    """The settings of the master that we play. Raises SettingsError naming the option."""
    try:
        return FleetTransportSettings.model_validate(
            {
                "broker_url": plan.broker_url,
                "topic_prefix": prefix,
                "grpc_listen": plan.grpc_listen,
                "grpc_endpoint": plan.grpc_endpoint,
                "token": token,
            }
        )
    except ValidationError as error:
        problem = error.errors()[0]
        option = str(problem["loc"][0]).removesuffix("_url").replace("_", "-")
        raise SettingsError(f"--{option}: {str(problem['msg']).removeprefix('Value error, ')}") from None


async def check_worker(plan: Plan, ask: Callable[[str], None], note: Callable[[str], None]) -> Judgement:
    """Runs every check. Raises SettingsError, or OSError where the broker or the port is not there."""
    prefix, token = f"check-{secrets.token_hex(4)}", secrets.token_urlsafe(24)
    settings = read_settings(plan, prefix, token)
    transport = make_remote_workers(settings, "development")
    assert isinstance(transport, RemoteWorkers)
    process = Process(
        plan.command,
        {
            "NERVIO_WORKER_BROKER": plan.broker_url,
            "NERVIO_WORKER_PREFIX": prefix,
            "NERVIO_WORKER_ID": plan.worker_id,
            "NERVIO_WORKER_TOKEN": token,
        },
        ask,
    )
    topics = Topics(prefix)

    async def opened() -> None:
        await session.subscribe(*topics.of_all)

    def received(message: Message) -> None:
        bench.hear(message)

    session = MqttSession(read_broker(settings), f"nervio-check-{secrets.token_hex(6)}", opened, received)
    bench = Bench(transport, session, topics, plan.worker_id, process)
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

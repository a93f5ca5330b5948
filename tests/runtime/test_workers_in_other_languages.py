"""The workers in Go and Java: built from Debian's packages, they keep the contract, also over TLS, and say what is wrong."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.conformance.certificates import Authority
from tests.conformance.fleets import a_prefix, a_worker, until
from tests.mosquitto import a_mosquitto, a_password_file
from tests.other_workers import built
from tests.runtime.worker_checks import a_sealed_broker, checked, failed, sealed

pytestmark = [pytest.mark.services("mqtt"), pytest.mark.slow]


@pytest.fixture(
    params=[pytest.param(name, marks=pytest.mark.services(name)) for name in ("go", "java")],
)
def program(request: pytest.FixtureRequest) -> str:
    """The path of a worker."""
    return built(request.param)


async def test_it_keeps_the_contract(program: str) -> None:
    code, answer, said = await checked(program, "--check", "--slots", "2")

    assert (code, failed(answer)) == (0, []), said
    assert len(answer["checks"]) == 13
    assert answer["conforms"] is True


async def test_it_shows_its_certificate_to_broker_and_master(program: str, tmp_path: Path, free_port: int) -> None:
    authority = Authority(tmp_path)
    with a_mosquitto(tmp_path, free_port, a_sealed_broker(free_port, authority)):
        code, answer, said = await checked(
            *(program, "--check"),
            broker=f"mqtts://localhost:{free_port}",
            only="does a task",
            options=sealed(authority),
        )

    assert (code, failed(answer)) == (0, []), said


async def test_it_trusts_no_certificate_of_another_host_or_authority(
    program: str, tmp_path: Path, free_port: int
) -> None:
    authority, other = Authority(tmp_path), Authority(tmp_path, "somebody else")
    pair = authority.issue("worker")
    mine = ("--certificate", str(pair.certificate), "--key", str(pair.key))
    with a_mosquitto(tmp_path, free_port, a_sealed_broker(free_port, authority, "127.0.0.2")):
        for address, ca in (("127.0.0.2", authority.ca), ("127.0.0.1", other.ca)):
            url = f"mqtts://{address}:{free_port}"
            async with a_worker(tmp_path, url, a_prefix(), "--ca", str(ca), *mine, command=(program,)) as worker:
                await until(lambda worker=worker: "broker_away" in worker.said())  # type: ignore[misc]
                assert "certificate" in worker.said()
                assert "broker_connected" not in worker.said()


async def test_a_wrong_password_is_said(program: str, tmp_path: Path, free_port: int) -> None:
    passwords = a_password_file(tmp_path, {"worker": "p%ss w/rd"})
    lines = f"listener {free_port} 127.0.0.1\nallow_anonymous false\npassword_file {passwords}\nuser root\n"
    with a_mosquitto(tmp_path, free_port, lines):
        place = f"127.0.0.1:{free_port}"
        async with a_worker(tmp_path, f"mqtt://worker:guess@{place}", a_prefix(), command=(program,)) as worker:
            await until(lambda: "check user, password and client id" in worker.said())
            assert "guess" not in worker.said()
        async with a_worker(
            tmp_path, f"mqtt://worker:p%25ss%20w%2Frd@{place}", a_prefix(), command=(program,)
        ) as right:
            await until(lambda: "broker_connected" in right.said())


@pytest.mark.parametrize(
    ("words", "environment", "named"),
    [
        (("--check", "--slots", "0"), {}, "slots"),
        (("--check", "--slots", "many"), {}, "slots"),
        (("--check", "--slots", "4", "--credit", "3"), {}, "credit"),
        (("--check", "--drain-seconds", "NaN"), {}, "drain-seconds"),
        (("--check", "--id", "a b"), {}, "id"),
        (("--check", "--id", "x" * 65), {}, "id"),
        (("--check", "--colour", "red"), {}, "colour"),
        (("--check", "red"), {}, "red"),
        (("--check",), {"NERVIO_WORKER_BROKER": "http://user:hidden@broker"}, "broker must be mqtt://"),
        (("--check",), {"NERVIO_WORKER_BROKER": "mqtt://user:hidden@bro ker"}, "broker must be mqtt://"),
        (("--check",), {"NERVIO_WORKER_CA": "/nowhere/ca.pem"}, "ca: "),
        (("--check",), {"NERVIO_WORKER_CA": __file__}, "ca: "),
        (("--check",), {"NERVIO_WORKER_CERTIFICATE": __file__}, "certificate and key go together"),
        ((), {}, "no kinds"),
    ],
)
def test_what_cannot_be_is_named(program: str, words: tuple[str, ...], environment: dict[str, str], named: str) -> None:
    ran = subprocess.run(
        [program, *words],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )

    assert ran.returncode in {1, 2}
    assert ran.stderr.startswith("nervio-worker: ")
    assert named in ran.stderr
    assert "hidden" not in ran.stderr


def test_help_names_every_variable_and_no_value(program: str) -> None:
    ran = subprocess.run(
        [program, "--help"],
        env={"PATH": os.environ["PATH"], "NERVIO_WORKER_TOKEN": "a secret token"},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )

    names = ("BROKER", "ID", "PREFIX", "TOKEN", "CA", "CERTIFICATE", "KEY")
    assert ran.returncode == 0
    assert [name for name in names if f"NERVIO_WORKER_{name}" not in ran.stdout] == []
    assert "a secret" not in ran.stdout + ran.stderr

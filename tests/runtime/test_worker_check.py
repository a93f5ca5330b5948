"""`nervio worker-check`: passes the Python worker, and finds what is wrong with others."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.conformance.certificates import Authority
from tests.mosquitto import a_mosquitto
from tests.runtime.worker_checks import a_sealed_broker, checked, failed, sealed

pytestmark = pytest.mark.services("mqtt")


@pytest.mark.slow
async def test_the_python_worker_keeps_the_contract() -> None:
    code, answer, said = await checked(sys.executable, "-m", "nervio_worker", "--check", "--slots", "2")

    assert (code, failed(answer)) == (0, []), said
    assert len(answer["checks"]) == 13
    assert answer["conforms"] is True


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        ("wrong", "does a task"),
        ("gappy", "shows parts in order"),
        ("content", "fails on a bad payload and goes on"),
        ("abrupt", "leaves in order"),
        ("elsewhere", "registers"),
    ],
)
async def test_a_fault_is_found_by_its_check(fault: str, found: str) -> None:
    code, answer, _ = await checked(sys.executable, "-m", "tests.conformance.broken_worker", fault, only=found)

    assert code == 4
    assert found in failed(answer)
    assert answer["conforms"] is False


async def test_a_command_that_does_not_run_is_said_at_once() -> None:
    code, answer, _ = await checked(sys.executable, "-c", "raise SystemExit(3)")

    assert (code, failed(answer)) == (4, ["registers"])
    assert "has ended" in answer["checks"][0]["detail"]
    assert {one["passed"] for one in answer["checks"][1:]} == {None}


async def test_a_command_that_is_none_is_named() -> None:
    code, answer, _ = await checked("/nowhere/nervio-worker")

    assert (code, failed(answer)) == (4, ["registers"])
    assert "/nowhere/nervio-worker cannot be started" in answer["checks"][0]["detail"]


async def test_certificates_of_an_authority_of_ones_own_are_known_to_both_sides(tmp_path: Path, free_port: int) -> None:
    authority = Authority(tmp_path)
    with a_mosquitto(tmp_path, free_port, a_sealed_broker(free_port, authority)):
        code, answer, said = await checked(
            *(sys.executable, "-m", "nervio_worker", "--check"),
            broker=f"mqtts://localhost:{free_port}",
            only="does a task",
            options=sealed(authority),
        )

    assert (code, failed(answer)) == (0, []), said


async def test_files_that_are_missing_or_alone_are_named_by_their_options(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("check")
    for options, words in (
        (("--ca", str(authority.ca)), ("--ca", "--grpc-certificate and --grpc-key")),
        (("--certificate", str(pair.certificate)), ("--certificate and --key go together",)),
        (("--grpc-client-ca", str(authority.ca)), ("--grpc-client-ca", "set --grpc-certificate")),
        (
            ("--grpc-certificate", "/nowhere", "--grpc-key", "/nowhere"),
            ("--grpc-certificate: /nowhere cannot be read",),
        ),
    ):
        code, _, said = await checked("true", options=options)

        assert code == 2
        assert [word for word in words if word not in said] == [], said


async def test_a_broker_that_is_not_there_is_an_error_of_its_own(free_port: int) -> None:
    code, answer, said = await checked("true", broker=f"mqtt://127.0.0.1:{free_port}")

    assert (code, answer) == (5, {})
    assert "does not answer" in said


async def test_an_address_that_is_none_is_refused_by_its_option() -> None:
    code, _, said = await checked("true", broker="tcp://somewhere")

    assert code == 2
    assert "--broker" in said

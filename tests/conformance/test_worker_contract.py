"""The published contract and the code say the same: `proto/worker.proto`, the tables of messages, the topics."""

from __future__ import annotations

import importlib.resources
from pathlib import Path

import nervio_worker
import pytest
import yaml
from google.protobuf import descriptor_pb2
from grpc_tools import protoc

from nervio.adapters.workers import grpc_messages, mqtt_session
from nervio.adapters.workers.mqtt_messages import (
    BadMessage,
    Topics,
    read_register,
    read_status,
    write_cancel,
    write_tasks,
)
from nervio.ports.workers import Assignment

ROOT = Path(__file__).parents[2]
SDK = ROOT / "workers" / "python" / "nervio_worker"


def compiled(folder: Path) -> descriptor_pb2.FileDescriptorProto:
    """The contract as protoc reads it."""
    out = folder / "worker.desc"
    well_known = importlib.resources.files("grpc_tools") / "_proto"
    words = ["protoc", f"-I{ROOT / 'proto'}", f"-I{well_known}", f"--descriptor_set_out={out}", "worker.proto"]
    assert protoc.main(words) == 0
    (file,) = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file
    for message in file.message_type:
        for field in message.field:
            field.ClearField("json_name")
    file.name = grpc_messages.FILE
    return file


def by_name(file: descriptor_pb2.FileDescriptorProto) -> dict[str, str]:
    """What a file describes, each thing under its name: the order in it says nothing."""
    return {thing.name: str(thing) for things in (file.message_type, file.enum_type, file.service) for thing in things}


def test_the_table_of_messages_is_the_contract(tmp_path: Path) -> None:
    published = compiled(tmp_path)

    assert by_name(grpc_messages.describe()) == by_name(published)
    assert grpc_messages.describe().package == published.package
    assert (
        f"/{published.package}.{published.service[0].name}/{published.service[0].method[0].name}"
        == grpc_messages.METHOD
    )


def test_master_and_python_worker_speak_from_one_text() -> None:
    assert (SDK / "mqtt_session.py").read_text() == Path(mqtt_session.__file__).read_text()
    master = Path(grpc_messages.__file__).read_text().partition('"""\n')[2]
    assert (SDK / "messages.py").read_text().partition('"""\n')[2] == master


def test_the_python_worker_needs_nothing_of_the_server() -> None:
    imported = [line for file in SDK.glob("*.py") for line in file.read_text().splitlines() if "import" in line]

    assert [line for line in imported if line.strip().startswith(("import nervio.", "from nervio."))] == []
    assert nervio_worker.__version__


def test_what_the_master_sends_keeps_the_published_schemas() -> None:
    contract = yaml.safe_load((ROOT / "proto" / "asyncapi.yaml").read_text(encoding="utf-8"))
    schemas, messages = contract["components"]["schemas"], contract["components"]["messages"]
    assignment = Assignment("t", "1", 7, "chat", "", '{"a":1}', 1, 3, 1_772_366_400_000_000)
    ((_, body),) = write_tasks("host:50051", [assignment])
    sent = yaml.safe_load(body)

    assert set(sent) == set(messages["Tasks"]["payload"]["properties"])
    assert set(sent["tasks"][0]) == set(schemas["Assignment"]["properties"])
    assert sent["tasks"][0]["payload"] == {"a": 1}
    assert set(yaml.safe_load(write_cancel([assignment]))["attempts"][0]) == set(schemas["Attempt"]["properties"])
    for name, channel in contract["channels"].items():
        assert channel["address"] == "{prefix}/workers/{id}/" + name


def test_large_payloads_are_spread_over_messages_and_none_is_lost() -> None:
    many = [Assignment("t", str(n), 1, "chat", "", f'"{"x" * 1_500_000}"', 1, 3) for n in range(7)]
    parts = list(write_tasks("host:50051", many))

    assert [one.task_id for part, _ in parts for one in part] == [str(n) for n in range(7)]
    assert len(parts) == 4


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        (b"", "truncated"),
        (b"{}", "boot"),
        (b'{"boot":"1","id":"other","kinds":["chat"]}', "id"),
        (b'{"boot":"1","id":"w","kinds":[]}', "kinds"),
        (b'{"boot":"1","id":"w","kinds":["chat"],"slots":0}', "slots"),
        (b'{"boot":"1","id":"w","kinds":["chat"],"credit":-1}', "credit"),
        (b'{"boot":"1","id":"w","kinds":["a\\u0000b"]}', "kinds"),
        (b'{"boot":"1","id":"w","kinds":["chat"],"holding":[{"task_id":"1"}]}', "holding"),
    ],
)
def test_a_registration_that_keeps_no_contract_is_refused_by_the_name_of_its_field(payload: bytes, field: str) -> None:
    with pytest.raises(BadMessage, match=field):
        read_register("w", payload)


def test_topics_of_others_are_refused() -> None:
    topics = Topics("upb")
    assert topics.read("upb/workers/gpu-1/register") == ("gpu-1", "register")
    for topic in ("upb/workers/a b/register", "upb/workers//status", f"upb/workers/{'x' * 65}/status"):
        with pytest.raises(BadMessage, match="worker id"):
            topics.read(topic)
    with pytest.raises(BadMessage, match="boot"):
        read_status(b'{"state":"idle"}')

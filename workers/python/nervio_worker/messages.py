"""The messages of the contract (`worker.proto`), made at import from this table: no generated code, no compiler.

A test compiles the contract with protoc and holds that both describe the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "nervio.worker.v1"
FILE = "nervio/worker/v1/worker.proto"
METHOD = f"/{PACKAGE}.Fleet/Work"
SERVICE, METHOD_NAME = f"{PACKAGE}.Fleet", "Work"

TEXT, WHOLE, SMALL, YES_NO, REAL = "string", "int64", "int32", "bool", "double"

ENUMS: Mapping[str, Sequence[str]] = {
    "Ending": ("ENDING_UNSPECIFIED", "ENDING_DONE", "ENDING_FAILED", "ENDING_HANDED_BACK"),
    "Outcome": ("OUTCOME_UNSPECIFIED", "OUTCOME_ACCEPTED", "OUTCOME_LATE", "OUTCOME_REFUSED", "OUTCOME_RETRY"),
}
_ATTEMPT = (("tenant_id", TEXT), ("task_id", TEXT), ("token", WHOLE))

MESSAGES: Mapping[str, Sequence[tuple[str, str]]] = {
    "FromWorker": (("hello", "?Hello"), ("chunks", "?Chunks"), ("reports", "?Reports"), ("heartbeat", "?Heartbeat")),
    "ToWorker": (("welcome", "?Welcome"), ("verdicts", "?Verdicts")),
    "Hello": (("worker_id", TEXT), ("boot", TEXT)),
    "Welcome": (("largest_message_bytes", WHOLE),),
    "Heartbeat": (),
    "Chunks": (("chunks", "*Chunk"),),
    "Chunk": (*_ATTEMPT, ("n", SMALL), ("text", TEXT)),
    "Reports": (("reports", "*Report"),),
    "Report": (
        *_ATTEMPT,
        ("ending", "Ending"),
        ("result", TEXT),
        ("usage", TEXT),
        ("error", TEXT),
        ("hopeless", YES_NO),
        ("retry_after_seconds", REAL),
        ("seconds", REAL),
    ),
    "Verdicts": (("verdicts", "*Verdict"),),
    "Verdict": (*_ATTEMPT, ("outcome", "Outcome")),
}
"""Each message with its fields in the order of their numbers, from 1. `*` repeats; `?` is one of the kinds of `message`."""

_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    TEXT: _Field.TYPE_STRING,
    WHOLE: _Field.TYPE_INT64,
    SMALL: _Field.TYPE_INT32,
    YES_NO: _Field.TYPE_BOOL,
    REAL: _Field.TYPE_DOUBLE,
}


def describe() -> Any:
    """The contract as protobuf itself describes a file of it."""
    file = descriptor_pb2.FileDescriptorProto(name=FILE, package=PACKAGE, syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields, start=1):
            _describe_field(message, field, number, kind)
    for name, values in ENUMS.items():
        enum = file.enum_type.add(name=name)
        for number, value in enumerate(values):
            enum.value.add(name=value, number=number)
    method = file.service.add(name="Fleet").method.add(name=METHOD_NAME)
    method.input_type, method.output_type = f".{PACKAGE}.FromWorker", f".{PACKAGE}.ToWorker"
    method.client_streaming = method.server_streaming = True
    return file


def _describe_field(message: Any, name: str, number: int, kind: str) -> None:
    field = message.field.add(name=name, number=number, label=_Field.LABEL_OPTIONAL)
    if kind.startswith("*"):
        field.label = _Field.LABEL_REPEATED
    elif kind.startswith("?"):
        if not message.oneof_decl:
            message.oneof_decl.add(name="message")
        field.oneof_index = 0
    plain = kind.lstrip("*?")
    if plain in _SCALARS:
        field.type = _SCALARS[plain]
    else:
        field.type = _Field.TYPE_ENUM if plain in ENUMS else _Field.TYPE_MESSAGE
        field.type_name = f".{PACKAGE}.{plain}"


# A pool of its own: a worker that runs in this very process brings the same names.
_pool = descriptor_pool.DescriptorPool()
_pool.Add(describe())


def message_class(name: str) -> Any:
    """The class of a message."""
    return message_factory.GetMessageClass(_pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))


FromWorker, ToWorker = message_class("FromWorker"), message_class("ToWorker")

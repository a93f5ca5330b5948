"""What is said over MQTT (`proto/asyncapi.yaml`): to JSON and back, checked at the edge."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from nervio.kernel.time import to_iso
from nervio.ports.workers import Assignment, Profile

AttemptKey = tuple[str, str, int]
"""(tenant, task, token)"""

WORKER_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
MOST_IN_A_MESSAGE = 4 * 1024 * 1024
"""Characters of payload in one message, unless a single task has more."""

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]+$")]
_Word = Annotated[str, msgspec.Meta(max_length=200, pattern=r"^[^\x00-\x1f]*$")]


class Attempt(msgspec.Struct):
    """One attempt at a task, named."""

    tenant_id: _Name
    task_id: _Name
    token: int

    @property
    def key(self) -> AttemptKey:
        """As keys of dicts."""
        return self.tenant_id, self.task_id, self.token


class Register(msgspec.Struct):
    """A worker is there (`gone` False), or has gone."""

    boot: _Name
    gone: bool = False
    reason: str = ""
    id: str = ""
    kinds: Annotated[list[_Name], msgspec.Meta(max_length=500)] = []
    models: Annotated[list[_Name], msgspec.Meta(max_length=500)] = []
    slots: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1
    credit: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 1
    batch: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1
    version: _Word = ""
    language: _Word = ""
    holding: list[Attempt] = []

    def profile(self) -> Profile:
        """What the master is told of it."""
        return Profile(
            self.id,
            self.boot,
            tuple(sorted(set(self.kinds))),
            tuple(self.models),
            self.slots,
            self.credit,
            self.batch,
            self.version,
            self.language,
        )


class Status(msgspec.Struct):
    """A sign of life."""

    boot: _Name
    state: str = "idle"


class BadMessage(ValueError):
    """A message that does not keep the contract; the text names the field."""


@dataclass(frozen=True, slots=True)
class Topics:
    """Where what is said to and by which worker."""

    prefix: str

    def tasks(self, worker_id: str) -> str:
        """Attempts for a worker."""
        return f"{self.prefix}/workers/{worker_id}/tasks"

    def control(self, worker_id: str) -> str:
        """What it should do besides."""
        return f"{self.prefix}/workers/{worker_id}/control"

    def register(self, worker_id: str) -> str:
        """Its presence."""
        return f"{self.prefix}/workers/{worker_id}/register"

    def master(self, master_id: str) -> str:
        """The presence of a process that hands out work."""
        return f"{self.prefix}/masters/{master_id}"

    @property
    def of_masters(self) -> str:
        """Their presence, of all."""
        return f"{self.prefix}/masters/+"

    def read_master(self, topic: str) -> str | None:
        """Which master a topic is about; None where it is about none."""
        start = f"{self.prefix}/masters/"
        return topic.removeprefix(start) if topic.startswith(start) else None

    @property
    def of_all(self) -> tuple[str, str]:
        """What all workers say: presence, and signs of life."""
        return f"{self.prefix}/workers/+/register", f"{self.prefix}/workers/+/status"

    def read(self, topic: str) -> tuple[str, str]:
        """(worker, what it is about). Raises `BadMessage` where the worker's name is none."""
        worker_id, _, about = topic.removeprefix(f"{self.prefix}/workers/").partition("/")
        if not WORKER_ID.fullmatch(worker_id):
            raise BadMessage(f"worker id {worker_id!r}: 1 to 64 of A-Z a-z 0-9 . _ - are allowed")
        return worker_id, about


_registers = msgspec.json.Decoder(Register)
_statuses = msgspec.json.Decoder(Status)


def read_register(worker_id: str, payload: bytes) -> Register:
    """Raises `BadMessage` naming the field."""
    try:
        register = _registers.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadMessage(str(error)) from None
    if not register.gone:
        if register.id != worker_id:
            raise BadMessage(f"id is {register.id!r} and the topic says {worker_id!r}; they must be the same")
        if not register.kinds:
            raise BadMessage("kinds is empty; name at least one kind of task that the worker does")
    return register


def read_status(payload: bytes) -> Status:
    """Raises `BadMessage` naming the field."""
    try:
        return _statuses.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadMessage(str(error)) from None


def write_tasks(grpc_endpoint: str, assignments: Sequence[Assignment]) -> Iterator[tuple[Sequence[Assignment], bytes]]:
    """Task messages, as few as may be, each with what is in it."""
    part: list[Assignment] = []
    size = 0
    for assignment in assignments:
        if part and size + len(assignment.payload) > MOST_IN_A_MESSAGE:
            yield part, _write_part(grpc_endpoint, part)
            part, size = [], 0
        part.append(assignment)
        size += len(assignment.payload)
    if part:
        yield part, _write_part(grpc_endpoint, part)


def write_cancel(assignments: Sequence[Assignment]) -> bytes:
    """Stop working on these."""
    attempts = [{"tenant_id": one.tenant_id, "task_id": one.task_id, "token": one.token} for one in assignments]
    return msgspec.json.encode({"do": "cancel", "attempts": attempts})


def write_register_again(grpc_endpoint: str = "") -> bytes:
    """Register again, and bring results to this endpoint from now on, if one is named."""
    return msgspec.json.encode({"do": "register", **({"grpc_endpoint": grpc_endpoint} if grpc_endpoint else {})})


def choose_master(masters: Iterable[str], worker_id: str) -> str:
    """Which of the masters gives work to a worker: all of them find the same one, and few workers move when one comes or goes
    (highest random weight, Thaler and Ravishankar 1998)."""
    return max(masters, key=lambda one: hashlib.blake2b(f"{one}/{worker_id}".encode(), digest_size=8).digest())


def _write_part(grpc_endpoint: str, part: Sequence[Assignment]) -> bytes:
    return msgspec.json.encode({"grpc_endpoint": grpc_endpoint, "tasks": [_write_assignment(one) for one in part]})


def _write_assignment(assignment: Assignment) -> Mapping[str, Any]:
    return {
        "tenant_id": assignment.tenant_id,
        "task_id": assignment.task_id,
        "token": assignment.token,
        "kind": assignment.kind,
        "model": assignment.model,
        # JSON as it is: what the store keeps was checked when it came in.
        "payload": msgspec.Raw(assignment.payload.encode()),
        "attempt": assignment.attempt,
        "size": assignment.size,
        "deadline_at": None if assignment.deadline_at is None else to_iso(assignment.deadline_at),
    }

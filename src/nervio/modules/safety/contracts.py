"""The stop as other modules, routes and the command line see it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

from nervio.kernel.time import Instant

LEVELS = ("reduce_only", "read_only", "all")
"""From least to most: returns and releases still pass; nothing is written; nothing is even read."""

STOPPABLE_MODULES = ("identity", "catalog", "stock", "sales", "ledger", "console")
"""Modules a halt may name. A name nobody has would be acknowledged and stop nothing, so any other is refused."""


class Scope(StrEnum):
    """Whose writes a halt concerns."""

    INSTALLATION = "installation"
    TENANT = "tenant"


class ExitCode(IntEnum):
    """What the stop and resume commands end with. 2 is left to wrong usage."""

    ACKNOWLEDGED = 0
    FAILED = 1
    PENDING = 3


@dataclass(frozen=True, slots=True)
class Target:
    """What a halt covers; a field that is None covers everything of its kind."""

    tenant_id: str | None
    module: str | None = None
    location_id: str | None = None


@dataclass(frozen=True, slots=True)
class Freeze:
    """Stops a scope at a level."""

    target: Target
    level: str
    reason: str


@dataclass(frozen=True, slots=True)
class Unfreeze:
    """Lets go of the halts with exactly one of these targets; `level` None means of any level."""

    targets: tuple[Target, ...]
    level: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class HaltRecord:
    """A halt, in force or (with `cleared_at`) over."""

    id: str
    tenant_id: str | None
    module: str | None
    location_id: str | None
    level: str
    reason: str
    activated_by: str
    activated_at: Instant
    cleared_by: str | None = None
    cleared_at: Instant | None = None
    clear_reason: str | None = None

    @property
    def scope(self) -> Scope:
        """Whose writes it concerns."""
        return Scope.INSTALLATION if self.tenant_id is None else Scope.TENANT


@dataclass(frozen=True, slots=True)
class Frozen:
    """The acknowledgement: no write in the scope has committed since, on any process. `already`: it was so before."""

    halt: HaltRecord
    already: bool


@dataclass(frozen=True, slots=True)
class Thawed:
    """What was let go (nothing, when nothing matched), and what is still in force for the caller's tenant."""

    cleared: tuple[HaltRecord, ...]
    remaining: tuple[HaltRecord, ...]


@dataclass(frozen=True, slots=True)
class Pending:
    """Not acknowledged: the process named still holds the writers' lock and could not be removed."""

    process_id: int | None
    detail: str


@dataclass(frozen=True, slots=True)
class Status:
    """The answer of the public status endpoint, in its literal shape. `activated_at` is RFC 3339."""

    active: bool
    activated_at: str | None = None
    activated_by: str | None = None
    reason: str | None = None

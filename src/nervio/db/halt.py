"""The halt rows and what they forbid. Policy (who may stop, who may thaw) belongs to the safety module."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, select

from nervio.db.batch import Command, Effect
from nervio.db.dialects import look_up
from nervio.db.tables import halts
from nervio.kernel.errors import Kind, NervioError
from nervio.kernel.ids import NIL
from nervio.kernel.time import Instant, to_iso

RETRY_AFTER_SECONDS = 5
"""What a halted caller is told to wait: long enough not to hammer, short enough to notice the thaw."""


class Level(StrEnum):
    """How much a halt forbids, from least to most."""

    REDUCE_ONLY = "reduce_only"
    READ_ONLY = "read_only"
    ALL = "all"


_H = halts.c
_ACTIVE = (
    select(_H.id, _H.tenant_id, _H.module, _H.location_id, _H.level, _H.reason, _H.activated_by, _H.activated_at)
    .where(_H.cleared_at.is_(None))
    .order_by(_H.activated_at, _H.id)
)


@dataclass(frozen=True, slots=True)
class Halt:
    """An active halt. A scope field that is None covers everything of that kind."""

    id: str
    tenant_id: str | None
    module: str | None
    location_id: str | None
    level: Level
    reason: str
    activated_by: str
    activated_at: Instant

    def covers(self, command: Command[Any, Any]) -> bool:
        """Whether a deed lies in the scope. A deed that names no location may touch any, so a location halt covers it."""
        return (
            self.tenant_id in (None, command.tenant_id)
            and (self.module is None or command.operation.writes_to(self.module))
            and (
                self.location_id is None
                or command.location_id is None
                or self.location_id in (command.location_id, command.to_location_id)
            )
        )

    @property
    def is_global(self) -> bool:
        """Whether it covers the whole installation."""
        return self.tenant_id is None and self.module is None and self.location_id is None

    def as_error(self) -> NervioError:
        """The refusal every face turns into its typed 503."""
        return NervioError(
            Kind.HALTED,
            "halted",
            f"Stopped: {self.reason}",
            reason=self.reason,
            level=self.level.value,
            module=self.module,
            location_id=self.location_id,
            scope="installation" if self.tenant_id is None else "tenant",
            activated_by=self.activated_by,
            activated_at=to_iso(self.activated_at),
            retry_after_seconds=RETRY_AFTER_SECONDS,
        )


def read_active(connection: Connection) -> list[Halt]:
    """The halts in force. Inside a write transaction call it after the fence, as a statement of its own: a statement
    that took the fence itself would still see the world from before it waited."""
    rows = look_up(connection, _ACTIVE, {})
    return [Halt(r[0], r[1], r[2], r[3], Level(r[4]), r[5], r[6], r[7]) for r in rows]


def find_blocking(active: Sequence[Halt], command: Command[Any, Any]) -> Halt | None:
    """The first halt that forbids the command."""
    effect = command.operation.effect
    if effect is Effect.CONTROL:
        return None
    for halt in active:
        if halt.covers(command) and (effect is Effect.INCREASE or halt.level is not Level.REDUCE_ONLY):
            return halt
    return None


def find_blocking_read(active: Sequence[Halt], tenant_id: str | None) -> Halt | None:
    """The halt that forbids even reading: level `all` over the installation or over the whole tenant."""
    for halt in active:
        whole = halt.level is Level.ALL and halt.module is None and halt.location_id is None
        if whole and halt.tenant_id in (None, tenant_id):
            return halt
    return None


def tenant_of_scope(tenant_id: str | None) -> str:
    """The tenant whose journal records a halt of that scope."""
    return NIL if tenant_id is None else tenant_id

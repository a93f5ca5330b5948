"""The halt rows and what they forbid. Policy (who may stop, who may thaw) belongs to the safety module."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, select

from nervio.db.batch import Command, Effect
from nervio.db.dialects import dialect_of, for_name, look_up
from nervio.db.tables import halts
from nervio.kernel.errors import Kind, NervioError
from nervio.kernel.ids import NIL
from nervio.kernel.time import Instant, to_iso

RETRY_AFTER_SECONDS = 5
"""What a halted caller is told to wait at least: long enough not to hammer, short enough to notice the thaw."""
RETRY_SPREAD_SECONDS = 5
"""How much longer some of them are told to wait, so that they do not all come back in the same moment."""

DRILL = "drill"
"""A module that nobody has: a halt of it, or of a part of it (`drill.sales`), stops the probes of drills and nothing else."""


class Level(StrEnum):
    """How much a halt forbids, from least to most."""

    REDUCE_ONLY = "reduce_only"
    READ_ONLY = "read_only"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Halt:
    """A halt in force. A scope field that is None covers everything of that kind.

    One without `expires_at` is latched. During a thaw in stages `level` is what holds from `stage_at` on; where a thaw or an
    expiry concerns many tenants they follow one after another within `spread_us`, and `former_level` holds until then.
    """

    id: str
    tenant_id: str | None
    module: str | None
    location_id: str | None
    level: Level
    reason: str
    activated_by: str
    activated_at: Instant
    expires_at: Instant | None = None
    former_level: Level | None = None
    stage_at: Instant = 0
    spread_us: int = 0
    next_stage_at: Instant | None = None
    as_of: Instant = field(default=0, compare=False)
    """When it was read, by the clock that all processes share."""

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

    def level_for(self, tenant_id: str | None) -> Level | None:
        """The level that holds for a tenant, or None once it was let go; without a tenant, what holds for the last one."""
        turn = self._turn_of(tenant_id)
        if self.expires_at is not None and self.as_of >= self.expires_at + turn:
            return None
        if self.former_level is not None and self.as_of < self.stage_at + turn:
            return self.former_level
        return self.level

    def concerns(self, tenant_id: str | None) -> bool:
        """Whether it still holds anything of a tenant; drills, which hold nothing of anybody, left out."""
        return self.tenant_id in (None, tenant_id) and not self.is_drill and self.level_for(tenant_id) is not None

    def _turn_of(self, tenant_id: str | None) -> int:
        """How long after a stage a tenant follows: always the same for the same halt, so that processes agree on it."""
        if not self.spread_us or self.tenant_id is not None:
            return 0
        if tenant_id is None or tenant_id == NIL:
            return self.spread_us
        return zlib.crc32(f"{self.id}|{tenant_id}".encode()) * self.spread_us >> 32

    @property
    def is_global(self) -> bool:
        """Whether it covers the whole installation."""
        return self.tenant_id is None and self.module is None and self.location_id is None

    @property
    def is_drill(self) -> bool:
        """Whether it is a drill's."""
        return is_drill(self.module)

    def as_error(self, caller: object = None) -> NervioError:
        """The refusal every face turns into its typed 503. Callers are told to come back at different times."""
        level = self.level
        if isinstance(caller, Command):
            level, caller = self.level_for(caller.tenant_id) or level, caller.key
        late = zlib.crc32(f"{self.id}|{self.as_of}|{caller}".encode()) % (RETRY_SPREAD_SECONDS + 1)
        return NervioError(
            Kind.HALTED,
            "halted",
            f"Stopped: {self.reason}",
            reason=self.reason,
            level=level.value,
            module=self.module,
            location_id=self.location_id,
            scope="installation" if self.tenant_id is None else "tenant",
            activated_by=self.activated_by,
            activated_at=to_iso(self.activated_at),
            expires_at=None if self.expires_at is None else to_iso(self.expires_at),
            retry_after_seconds=RETRY_AFTER_SECONDS + late,
        )


@cache
def _active(database: str) -> Select[Any]:
    h = halts.c
    return (
        select(
            h.id,
            h.tenant_id,
            h.module,
            h.location_id,
            h.level,
            h.reason,
            h.activated_by,
            h.activated_at,
            h.expires_at,
            h.former_level,
            h.stage_at,
            h.spread_us,
            h.next_stage_at,
            for_name(database).clock(),
        )
        .where(h.cleared_at.is_(None))
        .order_by(h.activated_at, h.id)
    )


@cache
def _clock(database: str) -> Select[Any]:
    return select(for_name(database).clock())


def read_active(connection: Connection, now: Instant) -> list[Halt]:
    """The halts in force; one that ran out is none, whether that was booked yet or not.

    Inside a write transaction call it after the fence, as a statement of its own: a statement that took the fence itself
    would still see the world from before it waited. `now` counts where the database has no clock of its own.
    """
    found = []
    for r in look_up(connection, _active(dialect_of(connection).name), {"now": now}):
        former = None if r[9] is None else Level(r[9])
        halt = Halt(
            r[0], r[1], r[2], r[3], Level(r[4]), r[5], r[6], r[7], r[8], former, r[10] or 0, r[11] or 0, r[12], r[13]
        )
        if halt.level_for(None) is not None:
            found.append(halt)
    return found


def read_clock(connection: Connection, now: Instant) -> Instant:
    """The time by which halts run out. The same for all processes on PostgreSQL (the server's); on SQLite, whose processes
    share a machine, `now`."""
    time: Instant = look_up(connection, _clock(dialect_of(connection).name), {"now": now})[0][0]
    return time


def find_blocking(active: Sequence[Halt], command: Command[Any, Any]) -> Halt | None:
    """The first halt that forbids the command."""
    effect = command.operation.effect
    if effect is Effect.CONTROL:
        return None
    for halt in active:
        if not halt.covers(command):
            continue
        level = halt.level_for(command.tenant_id)
        if level is not None and (effect is Effect.INCREASE or level is not Level.REDUCE_ONLY):
            return halt
    return None


def find_blocking_read(active: Sequence[Halt], tenant_id: str | None) -> Halt | None:
    """The halt that forbids even reading: level `all` over the installation or over the whole tenant."""
    for halt in active:
        is_whole = halt.module is None and halt.location_id is None and halt.tenant_id in (None, tenant_id)
        if is_whole and halt.level_for(tenant_id) is Level.ALL:
            return halt
    return None


def is_drill(module: str | None) -> bool:
    """Whether a module is the one that drills stop, or a part of it."""
    return module is not None and (module == DRILL or module.startswith(f"{DRILL}."))


def tenant_of_scope(tenant_id: str | None) -> str:
    """The tenant whose journal records a halt of that scope."""
    return NIL if tenant_id is None else tenant_id

"""Drills of the stop as routes, the console and the command line see them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from nervio.kernel.time import Instant
from nervio.modules.safety.contracts.halts import Scope


class DrillState(StrEnum):
    """How a scope stands. Everything but `PASSED` is red: a stop that was not tried lately is a hope."""

    PASSED = "passed"
    NEVER = "never"
    FAILED = "failed"
    OLD = "old"
    RUNNING = "running"


@dataclass(frozen=True, slots=True)
class BeginDrill:
    """Opens the record of a drill. An ordinary write: while its scope is really stopped there is nothing to try."""

    drill_id: str
    tenant_id: str | None
    module: str | None


@dataclass(frozen=True, slots=True)
class FinishDrill:
    """Closes the record. `findings` empty means that everything held."""

    drill_id: str
    tenant_id: str | None
    module: str | None
    findings: tuple[str, ...]
    freeze_us: int | None
    everywhere_us: int | None
    processes: int | None


@dataclass(frozen=True, slots=True)
class Probe:
    """One write of a drill."""

    drill_id: str
    phase: str
    lane: str


@dataclass(frozen=True, slots=True)
class Probed:
    """It was written."""

    lane: str


@dataclass(frozen=True, slots=True)
class Drill:
    """A drill and how it went. Times in microseconds; `module` None means the whole shop or installation."""

    id: str
    tenant_id: str | None
    module: str | None
    outcome: str
    asked_by: str
    started_at: Instant
    finished_at: Instant | None
    freeze_us: int | None
    """From asking to the acknowledgement."""
    everywhere_us: int | None
    """From asking until every process had seen it."""
    processes: int | None
    findings: tuple[str, ...]

    @property
    def scope(self) -> Scope:
        """Whose stop it tried."""
        return Scope.INSTALLATION if self.tenant_id is None else Scope.TENANT


@dataclass(frozen=True, slots=True)
class DrillScope:
    """A scope that matters, and when its stop was last tried."""

    tenant_id: str | None
    module: str | None
    state: DrillState
    last: Drill | None

    @property
    def scope(self) -> Scope:
        """Whose it is."""
        return Scope.INSTALLATION if self.tenant_id is None else Scope.TENANT

    @property
    def is_red(self) -> bool:
        """Whether somebody should look."""
        return self.state is not DrillState.PASSED and self.state is not DrillState.RUNNING

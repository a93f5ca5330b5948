"""The stop as other modules, routes and the command line see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from nervio.kernel.time import Instant

LEVELS = ("reduce_only", "read_only", "all")
"""From least to most: returns and releases still pass; nothing is written; nothing is even read."""

STOPPABLE_MODULES = ("identity", "fleet", "catalog", "stock", "sales", "ledger", "console", "jobs")
"""Modules a halt may name. A name nobody has would be acknowledged and stop nothing, so any other is refused."""


SYSTEM_ACTOR = "nervio"
"""Whoever ended a halt that ran out, and takes the next stage of a thaw."""


class Stages(StrEnum):
    """How a thaw goes."""

    POLICY = "policy"
    """`all`, then `read_only`, then `reduce_only`, then nothing, with the seconds that the policy gives in between."""
    NONE = "none"
    """At once."""


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
    level: str | None
    """None means the level of the policy."""
    reason: str
    seconds: float | None = None
    """How long; with neither this nor `until` it is latched."""
    until: Instant | None = None


@dataclass(frozen=True, slots=True)
class Unfreeze:
    """Lets go of the halts with exactly one of these targets; `level` None means of any level.

    Without `stages` as the policy says where somebody has saved one, and at once elsewhere: so the emergency endpoints have
    always worked.
    """

    targets: tuple[Target, ...]
    level: str | None
    reason: str
    stages: Stages | None = None
    by_person: bool = False
    may_skip_stages: bool = True
    break_glass: bool = False
    """Whether the policy is overridden, which only the command line of the machine itself can do."""
    halt_id: str | None = None
    """Only this one of those halts: others of the same scope and level stand."""


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
    asked_level: str | None = None
    """The level it began with; None where it is the same."""
    expires_at: Instant | None = None
    former_level: str | None = None
    stage_at: Instant | None = None
    stage_us: int | None = None
    spread_us: int | None = None
    next_stage_at: Instant | None = None
    """When the next stage of its thaw is due; None while nobody thaws it."""
    thawed_by: str | None = None
    thaw_reason: str | None = None

    @property
    def scope(self) -> Scope:
        """Whose writes it concerns."""
        return Scope.INSTALLATION if self.tenant_id is None else Scope.TENANT


@dataclass(frozen=True, slots=True)
class Policy:
    """How a tenant, or with None the installation, stops and thaws. `saved_at` None: nobody has chosen yet."""

    tenant_id: str | None
    two_person_thaw: bool = False
    thaw_stage_seconds: int = 10
    thaw_jitter_seconds: int = 5
    """Over an installation: time in which the tenants follow a stage. Of one tenant: up to so much longer a stage takes."""
    confirm_within_seconds: int = 900
    default_level: str = "all"
    saved_by: str | None = None
    saved_at: Instant | None = None

    @property
    def is_saved(self) -> bool:
        """Whether somebody chose it."""
        return self.saved_at is not None


POLICY_FIELDS = (
    "two_person_thaw",
    "thaw_stage_seconds",
    "thaw_jitter_seconds",
    "confirm_within_seconds",
    "default_level",
)
"""What can be chosen of a policy."""


@dataclass(frozen=True, slots=True)
class SavePolicy:
    """Changes some of `POLICY_FIELDS` of a tenant's policy, or of the installation's; the others stay as they are then."""

    tenant_id: str | None
    changes: Mapping[str, int | str]
    by_person: bool = False


class RequestKind(StrEnum):
    """What two people are asked for."""

    THAW = "thaw"
    POLICY = "policy"


@dataclass(frozen=True, slots=True)
class ThawRequest:
    """What one person asked for and another has to confirm before it runs out. `outcome` is None while it is open."""

    id: str
    tenant_id: str | None
    kind: str
    halt_ids: tuple[str, ...]
    stages: str | None
    changes: Mapping[str, int | str] | None
    """What a request of the kind `policy` changes; the other fields stay as they are when it is confirmed."""
    reason: str
    requested_by: str
    requested_at: Instant
    expires_at: Instant
    outcome: str | None = None
    settled_by: str | None = None
    settled_at: Instant | None = None
    note: str | None = None

    @property
    def scope(self) -> Scope:
        """Whose it is."""
        return Scope.INSTALLATION if self.tenant_id is None else Scope.TENANT


@dataclass(frozen=True, slots=True)
class Settle:
    """A second person's word on a request."""

    request_id: str
    tenant_ids: tuple[str | None, ...]
    """Whose requests the person may settle; another's is as if it were not there."""
    confirms: bool
    note: str
    by_person: bool


@dataclass(frozen=True, slots=True)
class Settled:
    """What came of it."""

    request: ThawRequest
    cleared: tuple[HaltRecord, ...] = ()
    thawing: tuple[HaltRecord, ...] = ()
    policy: Policy | None = None


@dataclass(frozen=True, slots=True)
class PolicySaved:
    """The policy in force, and what waits for a second person instead of being in force."""

    policy: Policy
    requested: ThawRequest | None = None


@dataclass(frozen=True, slots=True)
class Advance:
    """Books what time has brought: halts that ran out, stages that are due, requests that nobody confirmed."""


@dataclass(frozen=True, slots=True)
class Advanced:
    """How many of each."""

    expired: int
    staged: int
    lapsed: int


@dataclass(frozen=True, slots=True)
class InFlight:
    """An order to a campaign whose request may be under way."""

    action_id: str
    campaign_id: str
    kind: str
    platform: str


@dataclass(frozen=True, slots=True)
class Frozen:
    """The acknowledgement: no write in the scope has committed since, on any process. `already`: it was so before."""

    halt: HaltRecord
    already: bool
    in_flight: tuple[InFlight, ...] = ()
    """Orders outside that had left already: what a stop of writes can no longer call back."""


@dataclass(frozen=True, slots=True)
class Thawed:
    """What was let go (nothing, when nothing matched), and what is still in force for the caller's tenant."""

    cleared: tuple[HaltRecord, ...]
    remaining: tuple[HaltRecord, ...]
    thawing: tuple[HaltRecord, ...] = ()
    """Of the remaining those that now go from stage to stage."""
    requested: tuple[ThawRequest, ...] = ()
    """What waits for a second person before anything of it happens."""
    overridden: tuple[str, ...] = ()
    """What the broken glass overrode, in words."""


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

"""The one composition root: `build(settings)` puts the program together, `started` brings it to life.

Nothing connects, reads a file or starts a thread before `started`.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from prometheus_client import CollectorRegistry

from nervio import __version__
from nervio.adapters.bus.memory import MemoryBus
from nervio.adapters.clock import SystemClock
from nervio.db import migrate
from nervio.db.batch import Lane
from nervio.db.context import Ctx
from nervio.db.pruning import Pruner
from nervio.kernel.ids import NIL, new_id
from nervio.modules.identity import api as identity
from nervio.modules.identity.contracts import FirstLogin, Tenant
from nervio.modules.ledger import api as ledger
from nervio.modules.ledger.contracts import Sealing
from nervio.modules.safety.api import HaltWatch
from nervio.ports.bus import Bus
from nervio.ports.clock import Clock
from nervio.runtime import keys
from nervio.runtime.backups import heads_path
from nervio.runtime.commits import RingingDatabase
from nervio.runtime.daily_backup import CHECK_SECONDS, DailyBackup
from nervio.runtime.databases import DATABASES, ClosedDatabase, file_of, open_database
from nervio.runtime.lock import DirectoryLock
from nervio.runtime.manifests import MANIFESTS, permissions_of
from nervio.runtime.periodics import PacedWork
from nervio.runtime.relay import CURSOR as RELAY_CURSOR
from nervio.runtime.roles import run_roles
from nervio.runtime.settings import Settings
from nervio.web.manifest import Periodic

log = logging.getLogger(__name__)

GC_THRESHOLDS = (50_000, 20, 50)
"""Objects made before the youngest are looked through; Python's own 700 would be several times a batch."""

SYSTEM_ACTOR = "nervio"
"""The actor of what the program does by itself."""

FOLD_SECONDS = 5.0
"""How often the snapshot of balances is moved forward: reading balances sums what came after it."""


PRUNE_SECONDS = 30.0
"""How often a round of pruning begins; a round ends after about a second."""

BUSES: Mapping[str, Callable[[], Bus]] = {"memory": MemoryBus}
"""Backends by URL scheme; those of the database stand in `databases.py`."""


class App:
    """The program, put together. What needs the store exists only inside `started`."""

    first_login: FirstLogin | None
    """The superadmin that this start made; None when there was one already."""
    on_first_login: Callable[[FirstLogin], None] | None
    """Called with it as soon as it is committed, before anything that a start may die of: nobody can read it later."""
    unused_login: str | None
    """The first superadmin's email at a later start, while nobody has ever logged in: its password may have been lost."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.version = __version__
        self.process_id = new_id()
        self.manifests = MANIFESTS
        self.permissions = permissions_of(MANIFESTS)
        self.bus = BUSES["memory"]()
        self.registry = CollectorRegistry()
        self.first_login = None
        self.on_first_login = None
        self.unused_login = None
        scheme = settings.database_address.partition(":")[0]
        self.is_exclusive = DATABASES[scheme].exclusive
        self.database_kind = scheme.partition("+")[0]
        self.directory = file_of(settings.database_address).parent if self.is_exclusive else settings.data_dir
        self.lock = DirectoryLock(self.directory)
        self._parts: _Parts | None = None

    @property
    def database(self) -> RingingDatabase:
        """The open store."""
        return self._started().database

    @property
    def authenticator(self) -> identity.Authenticator:
        """Tells who is asking."""
        return self._started().authenticator

    @property
    def halt_watch(self) -> HaltWatch:
        """The halts in force."""
        return self._started().halt_watch

    @property
    def sealing(self) -> Sealing:
        """The key that signs the journal's heads and the file they are saved to."""
        return self._started().sealing

    @property
    def is_started(self) -> bool:
        """Whether the parts that need the store are there."""
        return self._parts is not None

    def open_database(self) -> ClosedDatabase:
        """A store that is made but not started, for commands that work straight on it."""
        return open_database(self.settings, self.clock)

    @property
    def periodics(self) -> tuple[PacedWork, ...]:
        """The periodic work of all modules, at the pace that the settings give where they give one."""
        pace = {"stock.sweep_holds": self.settings.stock.hold_sweep_seconds}
        declared = [
            PacedWork(replace(periodic, seconds=pace.get(periodic.name, periodic.seconds)))
            for manifest in self.manifests
            for periodic in manifest.periodics
        ]
        seconds = self.settings.ledger.seal_seconds
        sealer, fold = self._started().sealer, self._started().fold
        return (
            *declared,
            # These carry their lease's token into their transactions, so they lead by themselves.
            PacedWork(Periodic("ledger.seal", "sealer", seconds, sealer.run), sealer.close),
            PacedWork(Periodic("ledger.fold_balances", "scheduler", FOLD_SECONDS, fold.run), fold.close),
            PacedWork(Periodic("retention.prune", "scheduler", PRUNE_SECONDS, self._pruner().run)),
            *self._daily_backup(),
        )

    def _pruner(self) -> Pruner:
        kept = self.settings.retention
        return Pruner(kept.answers_days, kept.events_days, readers=[RELAY_CURSOR])

    def _daily_backup(self) -> tuple[PacedWork, ...]:
        if not self.settings.backup.daily:
            return ()
        return (PacedWork(Periodic("backup.daily", "scheduler", CHECK_SECONDS, DailyBackup(self.settings).run)),)

    def system_ctx(self, tenant_id: str = NIL, lane: Lane = Lane.JOBS) -> Ctx:
        """A context in which the program itself acts, for a tenant or for the installation."""
        return Ctx(tenant_id, SYSTEM_ACTOR, self.database, self.clock, None, lane)

    async def first_tenant(self) -> Tenant | None:
        """The shop that was there first; None in an empty installation."""
        tenants = await identity.list_tenants(self.system_ctx(), limit=identity.LONGEST_PAGE)
        return min(tenants, key=lambda tenant: (tenant.created_at, tenant.id), default=None)

    async def seal_and_verify(self) -> bool:
        """Seals what is not sealed yet and audits the whole journal against the saved heads; True when it holds."""
        await self._started().sealer.run(self.system_ctx())
        heads, key = ledger.read_heads(self.sealing.heads_path), self.sealing.signer.public_key
        result = await self.database.read(lambda c: ledger.verify(c, heads, [key]))
        for finding in result.findings:
            log.error(
                "journal_finding", extra={"code": finding.code, "where": finding.where, "finding": finding.message}
            )
        return result.verified

    @asynccontextmanager
    async def started(self, roles: Collection[str] = ()) -> AsyncIterator[App]:
        """Opens the store (bringing it to its newest form), runs the roles, and lets everything go in reverse order.

        Raises DirectoryInUse when another process has the data directory, NervioError when the schema does not fit.
        """
        async with AsyncExitStack() as stack:
            self.settings.data_dir.mkdir(parents=True, exist_ok=True)
            if self.is_exclusive:
                self.lock.take()
                stack.callback(self.lock.release)
            await self._open_parts(stack)
            self.first_login = await identity.bootstrap(self.database, self.authenticator)
            if self.first_login is None:
                self.unused_login = await identity.find_unused_login(self.database)
            elif self.on_first_login is not None:
                self.on_first_login(self.first_login)
            stack.push_async_callback(self.bus.close)
            _settle_memory()
            await stack.enter_async_context(run_roles(self, roles))
            yield self

    async def _open_parts(self, stack: AsyncExitStack) -> None:
        settings = self.settings
        if settings.migrate_on_start:
            await migrate.upgrade(settings.database_address)
        else:
            await migrate.require_newest(settings.database_address)
        inner = self.open_database()
        stack.push_async_callback(inner.close)
        await inner.start()
        database = RingingDatabase(inner)
        given = settings.secrets.jwt_secret
        secret = keys.jwt_secret(settings.data_dir) if given is None else given.get_secret_value()
        authenticator = identity.Authenticator(database, self.clock, settings.identity, secret, self.permissions)
        stack.callback(authenticator.close)
        watch = HaltWatch(database, self.clock)
        stack.push_async_callback(watch.stop)
        await watch.start()
        signer = ledger.make_signer(keys.seal_key(settings.data_dir))
        sealing = Sealing(signer, heads_path(settings), settings.ledger.seal_seconds)
        sealer = ledger.make_sealer(sealing)
        self._parts = _Parts(database, authenticator, watch, sealing, sealer, ledger.make_fold())
        stack.callback(self._forget_parts)

    def _forget_parts(self) -> None:
        self._parts = None

    def _started(self) -> _Parts:
        if self._parts is None:
            raise RuntimeError("the program is not started; use `async with app.started(...)`")
        return self._parts


@dataclass(frozen=True, slots=True)
class _Parts:
    database: RingingDatabase
    authenticator: identity.Authenticator
    halt_watch: HaltWatch
    sealing: Sealing
    sealer: ledger.Sealer
    fold: ledger.BalancesFold


def _settle_memory() -> None:
    """What the program is made of lives as long as it does: the garbage collector need not walk it again and again, and
    what a request makes is freed by its reference counts long before a collection."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def build(settings: Settings, clock: Clock | None = None) -> App:
    """The program for these settings. Serves the command line, the server and the tests alike; connects to nothing."""
    return App(settings, SystemClock() if clock is None else clock)

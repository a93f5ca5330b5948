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
from nervio.adapters.clock import SystemClock
from nervio.adapters.halts.memory import MemoryHaltNotices
from nervio.adapters.halts.redis import RedisHaltNotices
from nervio.adapters.locks.database import DatabaseLocks
from nervio.adapters.locks.redis import RedisLocks
from nervio.db import leases, migrate
from nervio.db.batch import Lane
from nervio.db.context import Ctx
from nervio.db.database import Database
from nervio.db.vault import Vault
from nervio.kernel.ids import NIL, new_id
from nervio.modules.fleet import api as fleet
from nervio.modules.identity import api as identity
from nervio.modules.identity.contracts import FirstLogin, Tenant
from nervio.modules.jobs.api import JobRunner
from nervio.modules.ledger import api as ledger
from nervio.modules.ledger.contracts import Sealing
from nervio.modules.safety.api import DrillSchedule, HaltWatch, Surveillance, start_surveillance
from nervio.modules.safety.api.actions import ActionWorker, Policy
from nervio.modules.safety.api.alerts import AlertWorker
from nervio.modules.safety.api.rules import ROUND_SECONDS
from nervio.ports.bus import Bus
from nervio.ports.clock import Clock
from nervio.ports.halt import HaltNotices
from nervio.ports.lock import Locks
from nervio.ports.models import Models
from nervio.ports.probes import About
from nervio.runtime import keys
from nervio.runtime.backups import heads_path
from nervio.runtime.buses import BusMaker, memory_bus, nats_bus, redis_bus, services_of
from nervio.runtime.commits import RingingDatabase
from nervio.runtime.daily_backup import CHECK_SECONDS, DailyBackup
from nervio.runtime.databases import DATABASES, ClosedDatabase, file_of, open_database
from nervio.runtime.error_rate import CountsWriter, ErrorRate
from nervio.runtime.fleet import make_dispatcher, open_models
from nervio.runtime.halting import MIRROR_SECONDS, HaltMirror
from nervio.runtime.http.metrics import count_requests
from nervio.runtime.jobs import make_job_runner
from nervio.runtime.lock import DirectoryLock
from nervio.runtime.manifests import MANIFESTS, permissions_of
from nervio.runtime.outside import Outside
from nervio.runtime.periodics import PacedWork
from nervio.runtime.retention import make_pruner
from nervio.runtime.roles import run_roles
from nervio.runtime.settings import Settings
from nervio.web.manifest import Periodic, Probe

log = logging.getLogger(__name__)

GC_THRESHOLDS = (50_000, 20, 50)
"""Objects made before the youngest are looked through; Python's own 700 would be several times a batch."""

SYSTEM_ACTOR = "nervio"
"""The actor of what the program does by itself."""

FOLD_SECONDS = 5.0
"""How often the snapshot of balances is moved forward: reading balances sums what came after it."""

DRILL_SECONDS = 5.0
"""How often is looked whether a drill is due; a round ends after about a second."""

ACT_SECONDS, IDLE_SECONDS = 0.5, 1.0
"""How often orders to campaigns and alerts that are due are looked for."""

PRUNE_SECONDS = 30.0
"""How often a round of pruning begins; a round ends after about a second."""

BUSES: Mapping[str, BusMaker] = {
    "memory": memory_bus,
    "redis": redis_bus,
    "rediss": redis_bus,
    "unix": redis_bus,
    "nats": nats_bus,
    "tls": nats_bus,
}
"""Backends by URL scheme; those of the database stand in `databases.py`."""

LOCKS: Mapping[str, Callable[[Database, Clock, str], Locks]] = {
    "": lambda database, clock, _: DatabaseLocks(database, clock),
    "redis": RedisLocks,
    "rediss": RedisLocks,
    "unix": RedisLocks,
}
"""Where those who wait for a lock do so, by the scheme of `redis_url`; empty: at the lease table itself."""

HALT_NOTICES: Mapping[str, Callable[[str, str], HaltNotices]] = {
    "": lambda _url, _key: MemoryHaltNotices(),
    "redis": RedisHaltNotices,
    "rediss": RedisHaltNotices,
    "unix": RedisHaltNotices,
}
"""How processes wake each other when the stops change, by the scheme of `redis_url`; empty: by the database alone."""


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
        self.services = services_of(settings)
        address = settings.nats_url or settings.redis_url
        url = "memory:" if address is None else address.get_secret_value()
        self.jobs = tuple(job for manifest in MANIFESTS for job in manifest.jobs)
        self.handlers = tuple(handler for manifest in MANIFESTS for handler in manifest.handlers)
        self.bus: Bus = BUSES[url.partition(":")[0]](url, settings.events)
        self.registry = CollectorRegistry()
        self.drafts, self.openings = fleet.Drafts(), fleet.Openings()
        self.first_login = self.on_first_login = self.unused_login = None
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
    def locks(self) -> Locks:
        """Named locks among all processes of the database."""
        return self._started().locks

    @property
    def vault(self) -> Vault:
        """What seals the secrets of connections."""
        return self._started().vault

    @property
    def outside(self) -> Outside:
        """The adapters of campaign platforms and of ways for alerts."""
        return self._started().outside

    @property
    def alert_worker(self) -> AlertWorker:
        """What hands alerts to their destinations."""
        return self._started().alerts

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
            # Any process with the role may send: claims in the database keep them apart.
            *(
                PacedWork(Periodic(name, "jobs", ACT_SECONDS, work.run), work.close, IDLE_SECONDS)
                for name, work in (("safety.act", self._started().actions), ("safety.alert", self._started().alerts))
            ),
            PacedWork(Periodic("retention.prune", "scheduler", PRUNE_SECONDS, make_pruner(self.settings).run)),
            PacedWork(Periodic("safety.watch_rules", "scheduler", ROUND_SECONDS, self._started().surveillance.run)),
            PacedWork(Periodic("safety.drills", "scheduler", DRILL_SECONDS, DrillSchedule(self.settings.safety).run)),
            *self._mirror(),
            *self._daily_backup(),
        )

    def _mirror(self) -> tuple[PacedWork, ...]:
        if self.settings.redis_url is None:
            return ()  # nobody could see it
        return (PacedWork(Periodic("safety.mirror", "scheduler", MIRROR_SECONDS, self._started().halt_mirror.run)),)

    def _surveillance(self, sealing: Sealing) -> Surveillance:
        probes = [probe for manifest in self.manifests for probe in manifest.probes]
        chain = Probe(
            "ledger.chain",
            "count",
            About.TENANT,
            "Places where the journal is not what was sealed, or the chain of seals is broken.",
            seconds=ledger.LOOK_SECONDS,
            read=ledger.make_chain_watch(sealing).read,
        )
        figures = [*probes, chain, ErrorRate(lambda: count_requests(self.registry), self.process_id).probe()]
        return start_surveillance(figures, deadline_seconds=self.settings.actions.escalate_seconds)

    def _daily_backup(self) -> tuple[PacedWork, ...]:
        if not self.settings.backup.daily:
            return ()
        return (PacedWork(Periodic("backup.daily", "scheduler", CHECK_SECONDS, DailyBackup(self.settings).run)),)

    def system_ctx(self, tenant_id: str = NIL, lane: Lane = Lane.JOBS) -> Ctx:
        """A context in which the program itself acts, for a tenant or for the installation."""
        return Ctx(tenant_id, SYSTEM_ACTOR, self.database, self.clock, None, lane)

    def make_dispatcher(self) -> fleet.Dispatcher:
        """What hands out AI work in this process, with its transports to workers; not started."""
        ctx, models, watch = self.system_ctx(), self._started().models, self.halt_watch.find_blocking_effect
        return make_dispatcher(self.settings, models, ctx, self.process_id, watch, self.drafts, self.openings)

    def make_job_runner(self) -> JobRunner:
        """What works background jobs off in this process; not started."""
        given, watch = self.settings.jobs, self.halt_watch.find_blocking_effect
        return make_job_runner(given, self.system_ctx(), self.process_id, self.jobs, watch, alone=self.is_exclusive)

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
            if self.is_exclusive:
                await self.database.bookkeep("lease", leases.release_all)
            self.first_login = await identity.bootstrap(self.database, self.authenticator)
            if self.first_login is None:
                self.unused_login = await identity.find_unused_login(self.database)
            elif self.on_first_login is not None:
                self.on_first_login(self.first_login)
            if not self.is_exclusive:
                counts = CountsWriter(self.system_ctx(), lambda: count_requests(self.registry), self.process_id)
                stack.push_async_callback(counts.stop)
                counts.start()
            stack.push_async_callback(self.bus.close)
            settle_memory()
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
        redis_url = "" if settings.redis_url is None else settings.redis_url.get_secret_value()
        locks = LOCKS[redis_url.partition(":")[0]](database, self.clock, redis_url)
        stack.push_async_callback(locks.close)
        given = settings.secrets.jwt_secret
        secret = keys.jwt_secret(settings.data_dir) if given is None else given.get_secret_value()
        authenticator = identity.Authenticator(database, self.clock, settings.identity, secret, self.permissions)
        stack.callback(authenticator.close)
        notices = HALT_NOTICES[redis_url.partition(":")[0]](redis_url, settings.safety.mirror_key)
        stack.push_async_callback(notices.close)
        watch = HaltWatch(database, self.clock, self.process_id)
        stack.push_async_callback(watch.stop)
        await watch.start()
        database.on_stop(notices.ring)
        notices.on_notice(watch.wake)
        await notices.start()
        signer = ledger.make_signer(keys.seal_key(settings.data_dir))
        sealing = Sealing(signer, heads_path(settings), settings.ledger.seal_seconds)
        sealer = ledger.make_sealer(sealing)
        fold, surveillance = ledger.make_fold(), self._surveillance(sealing)
        mirror, outside = HaltMirror(watch, notices), self._open_outside(stack, watch)
        models = open_models(settings, self.clock)
        stack.push_async_callback(models.close)
        self._parts = _Parts(
            database, authenticator, watch, mirror, sealing, sealer, fold, locks, surveillance, models, *outside
        )
        stack.callback(self._forget_parts)

    def _open_outside(
        self, stack: AsyncExitStack, watch: HaltWatch
    ) -> tuple[Vault, Outside, ActionWorker, AlertWorker]:
        settings = self.settings
        given = settings.secrets.vault_key
        vault = keys.open_vault(settings.data_dir) if given is None else Vault(given.get_secret_value())
        outside = Outside(settings.actions, self.clock)
        stack.push_async_callback(outside.close)
        actions = ActionWorker(
            outside.platform,
            vault,
            watch.find_blocking_effect,
            self.process_id,
            policy=Policy(give_up_seconds=settings.actions.give_up_seconds),
            parallel=settings.actions.parallel,
        )
        public_url = settings.server.public_url or f"http://localhost:{settings.server.port}"
        return vault, outside, actions, AlertWorker(outside.channel, vault, public_url)

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
    halt_mirror: HaltMirror
    sealing: Sealing
    sealer: ledger.Sealer
    fold: ledger.BalancesFold
    locks: Locks
    surveillance: Surveillance
    models: Models
    vault: Vault
    outside: Outside
    actions: ActionWorker
    alerts: AlertWorker


def settle_memory() -> None:
    """What the program is made of lives as long as it does: the garbage collector need not walk it again and again, and
    what a request makes is freed by its reference counts long before a collection."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def build(settings: Settings, clock: Clock | None = None) -> App:
    """The program for these settings. Serves the command line, the server and the tests alike; connects to nothing."""
    return App(settings, SystemClock() if clock is None else clock)

"""A shop whose rules are watched by a test: probes of its own, rounds that it calls, and what came of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from nervio.db.context import Ctx
from nervio.db.outbox import read_after
from nervio.modules.identity.contracts import Tenant
from nervio.modules.safety import api as safety
from nervio.modules.safety.api import rules as api
from nervio.modules.safety.contracts.rules import Trip
from nervio.modules.safety.usecases import surveillance as engine
from nervio.modules.stock import api as stock
from nervio.modules.stock.contracts import LevelPolicy
from nervio.ports.probes import Question, Reading
from nervio.runtime.manifests import MANIFESTS
from tests.builders import MAIN, Store, milli, number_all


@dataclass
class Planted:
    """A probe of the test's own: it reads what the test has planted."""

    name: str
    seconds: float = 0.0
    hears: tuple[str, ...] = ()
    readings: list[Reading] = field(default_factory=list)
    asked: list[Question] = field(default_factory=list)

    async def read(self, ctx: Ctx, question: Question) -> Sequence[Reading]:
        """What was planted."""
        self.asked.append(question)
        return list(self.readings)

    def plant(self, value: int, samples: int = 1, subject: str = "", product_id: str | None = None) -> None:
        """Replaces what is read."""
        self.readings = [Reading(subject, value, samples, product_id, figures={"product": "Yerba"})]


def tenant_of(store: Store, language: str = "en") -> Tenant:
    return Tenant(store.ctx.tenant_id, "shop", "Shop", "ARS", "UTC", language, 0)


def watching(store: Store, *probes: engine.Probe, language: str = "en") -> safety.Surveillance:
    """A surveillance of this shop alone, as a process that just started has it."""

    async def tenants(_ctx: Ctx) -> list[Tenant]:
        return [tenant_of(store, language)]

    watch = safety.start_surveillance(probes, tenants)
    watch.longest_round_seconds = float("inf")  # how much one round looks at must not hang on how busy the machine is
    return watch


def real_probes() -> list[engine.Probe]:
    return [probe for manifest in MANIFESTS for probe in manifest.probes]


async def trips(store: Store, rule: str | None = None) -> list[Trip]:
    return await api.list_trips(store.ctx, rule=rule)


async def facts(store: Store, *types: str) -> list[str]:
    """The types of the shop's facts, or of all of them, in the order in which they became true."""
    await number_all(store)
    found = await store.database.read(lambda c: read_after(c, 0, 0, 10_000, store.ctx.tenant_id))
    return [event.type for event in found if not types or event.type in types]


async def turn_on(store: Store, rule: str, **settings: object) -> None:
    await api.change_rule(store.ctx, rule, {"mode": "on", **settings})


async def set_critical(store: Store, sku: str, units: float) -> None:
    await stock.set_critical_level(store.ctx, LevelPolicy(MAIN, sku, milli(units)))

"""Attempts that cost something, and what must be true of their sums at every commit."""

import json
from collections import defaultdict
from dataclasses import replace

from sqlalchemy import Connection, select

from nervio.kernel.money import micros_a_minor
from nervio.modules.fleet import api as fleet
from nervio.modules.fleet.contracts import SubmitTask
from nervio.modules.fleet.models import fleet_costs, fleet_meters
from nervio.modules.ledger import api as ledger
from nervio.modules.ledger.contracts import Account
from nervio.ports.workers import Ending, Verdict
from tests.builders import Store
from tests.modules.fleet.handing import Hands, a_dispatcher, a_profile, a_report

CHAT = SubmitTask("chat", '{"q":"¿cuánto?"}', retries=0, cache=False)
TODAY = ("2026-03-01", "2026-03-01")


def a_usage(cost: object = 0, currency: object = "USD", read: object = 3, written: object = 5) -> str:
    """What a worker says that it used."""
    told = {"input_tokens": read, "output_tokens": written, "cost_micros": cost, "currency": currency}
    return json.dumps(told)


async def spend(store: Store, *usages: str, kind: str = "chat", ending: Ending = Ending.DONE) -> list[Verdict]:
    """Has tasks done, or failed, that say these things of their use; all in one report."""
    for _ in usages:
        await fleet.submit_task(store.ctx, replace(CHAT, kind=kind))
    hands, worker = Hands(), f"w-{store.ctx.tenant_id}-{kind}"
    async with a_dispatcher(store, hands) as dispatcher:
        profile = a_profile(worker, kinds=(kind,), slots=len(usages), credit=len(usages))
        dispatcher.joined(hands, profile)
        await dispatcher.run_once()
        given = hands.take(worker)
        assert len(given) == len(usages)
        reports = [a_report(one, ending, usage=usage) for one, usage in zip(given, usages, strict=True)]
        return list(await dispatcher.report(worker, reports))


async def check_sums(store: Store) -> dict[tuple[str, str, str], int]:
    """The invariant of the meter: its sum is that of all days, and the ledger has all of it that fills minor units. Returns the
    meters in millionths by (tenant, kind, currency), of every tenant of the database."""

    def query(
        connection: Connection,
    ) -> tuple[dict[tuple[str, str, str], tuple[int, int]], dict[tuple[str, str, str], int]]:
        m, c = fleet_meters.c, fleet_costs.c
        meters = connection.execute(select(m.tenant_id, m.kind, m.currency, m.cost_micros, m.posted))
        days: dict[tuple[str, str, str], int] = defaultdict(int)
        for row in connection.execute(select(c.tenant_id, c.kind, c.currency, c.cost_micros)):
            days[row[0], row[1], row[2]] += row[3]
        return {(row[0], row[1], row[2]): (row[3], row[4]) for row in meters}, days

    meters, days = await store.database.read(query)
    assert {key: meter[0] for key, meter in meters.items()} == dict(days)
    owed: dict[tuple[str, str], int] = defaultdict(int)
    for (tenant_id, _, currency), (micros, posted) in meters.items():
        assert 0 <= micros - posted * micros_a_minor(currency) < micros_a_minor(currency)
        owed[tenant_id, currency] += posted
    for tenant_id in {key[0] for key in meters}:
        found = await ledger.list_balances(replace(store.ctx, tenant_id=tenant_id))
        for account, sign in ((Account.AI_WORK, 1), (Account.AI_PAYABLE, -1)):
            held = {one.asset: sign * one.amount for one in found if one.account == account.value}
            assert held == {key[1]: sum_ for key, sum_ in owed.items() if key[0] == tenant_id and sum_}
    return {key: meter[0] for key, meter in meters.items()}

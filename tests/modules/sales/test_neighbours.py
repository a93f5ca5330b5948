"""One command's bug is that command's verdict, wherever in the batch it strikes; a command without a key still has one."""

from collections.abc import Sequence

import pytest

from nervio.db.batch import Batch, Command, Effect, Operation
from nervio.db.outbox import last_position
from nervio.db.writes import Insert
from nervio.modules.ledger.models import journal_postings
from nervio.modules.sales import api as sales
from nervio.modules.sales.contracts import TicketRecorded
from tests.builders import Store, a_sale_of, a_stocked_product, assert_sound, level_of

Broken = Command[str, str]


def break_resolving(batch: Batch, commands: Sequence[Broken]) -> None:
    raise ZeroDivisionError


def break_flushing(batch: Batch, command: Broken) -> str:
    columns = ("tenant_id", "entry_id", "n", "debit", "credit", "asset", "lot", "amount")
    huge = (command.tenant_id, command.tenant_id, 0, "cash", "sales", "ARS", "", 10**30)
    batch.writes.append(Insert(journal_postings, columns, [huge]))
    return "never"


def break_deciding(batch: Batch, command: Broken) -> str:
    raise ZeroDivisionError


@pytest.mark.parametrize(
    "operation",
    [
        Operation("sales.broken", Effect.INCREASE, str, str, break_deciding, break_resolving),
        Operation("sales.broken", Effect.INCREASE, str, str, break_deciding),
        Operation("sales.broken", Effect.INCREASE, str, str, break_flushing),
    ],
    ids=["resolving", "deciding", "flushing"],
)
async def test_a_bug_spoils_no_neighbours(store: Store, operation: Operation[str, str]) -> None:
    product = await a_stocked_product(store, 100)
    good = [sales.sale_command(store.ctx, a_sale_of((product, 1)), f"k{n}") for n in range(9)]
    bad = store.ctx.command(operation, "body", "bad")
    outcomes = await store.ctx.submit_all([*good[:4], bad, *good[4:]])
    assert [isinstance(outcome, TicketRecorded) for outcome in outcomes] == [True] * 4 + [False] + [True] * 5
    assert isinstance(outcomes[4], Exception)
    assert await level_of(store, product) == (91, 0)
    await assert_sound(store)


async def test_a_sale_without_a_key_of_its_callers_gets_one(store: Store) -> None:
    """A batch whose COMMIT was cut off is sent again by its keys: without one, its sale would happen twice."""
    product = await a_stocked_product(store, 10)
    command = sales.sale_command(store.ctx, a_sale_of((product, 1)), None)
    first = await store.database.submit(command)
    position = await store.database.read(last_position)
    assert await store.database.submit(command) == first
    assert await store.database.read(last_position) == position
    assert await level_of(store, product) == (9, 0)

"""The rule that verifies the journal's hashes: what was tampered with trips it, and bounded work is all it takes."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, delete, text, update

from nervio.modules.ledger import api as ledger
from nervio.modules.ledger.contracts import Sealing
from nervio.modules.ledger.models import journal_entries, journal_postings, seal_blocks
from nervio.modules.ledger.usecases import chain_watch
from nervio.modules.safety import api as safety
from nervio.ports.probes import Question, Reading
from tests.builders import Store, a_postgres_store, a_store
from tests.modules.ledger.journals import a_sealing, trade
from tests.modules.safety.watched import trips, turn_on, watching

RULE = "ledger_chain"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services("postgres"))])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """A store of the test's own: all tenants of a database share the journal that is tampered with."""
    if request.param == "sqlite":
        async with a_store(tmp_path) as opened:
            yield opened
        return
    async with a_postgres_store(request.getfixturevalue("postgres_url")) as opened:
        yield opened


@dataclass
class Chain:
    """The probe as the program makes it, counting what it asks of the store."""

    store: Store
    sealing: Sealing
    name: str = "ledger.chain"
    seconds: float = ledger.LOOK_SECONDS
    hears: tuple[str, ...] = ()
    watch: chain_watch.ChainWatch = field(init=False)

    def __post_init__(self) -> None:
        self.watch = ledger.make_chain_watch(self.sealing)

    async def read(self, ctx: Any, question: Question) -> list[Reading]:
        return await self.watch.read(ctx, question)


class Shop:
    """A shop that trades and seals, and whose rule looks once a round."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store, self.sealing = store, a_sealing(folder)
        self.sealer = ledger.make_sealer(self.sealing)
        self.restart()

    def restart(self) -> None:
        """The rules run in a new process from now on."""
        self.surveillance: safety.Surveillance = watching(self.store, Chain(self.store, self.sealing))

    async def seal(self, blocks: int = 1) -> None:
        for _ in range(blocks):
            await trade(self.store, 2)
            self.store.clock.advance(1)
            assert await self.sealer.run(self.store.ctx) == 1

    async def round(self) -> list[str]:
        """One round of the rules; on what the rule stands tripped."""
        self.store.clock.advance(ledger.LOOK_SECONDS)
        await self.surveillance.run(self.store.ctx)
        return [str(trip.figures["first"]) for trip in await trips(self.store, RULE) if trip.cleared_at is None]

    async def tamper(self, statement: Any) -> None:
        """Changes rows behind the program's back."""

        def work(connection: Connection) -> None:
            assert connection.execute(statement).rowcount > 0

        await self.store.database.bookkeep("prune", work)


@pytest.fixture
async def shop(store: Store, tmp_path: Path) -> Shop:
    await turn_on(store, RULE, cooldown_seconds=0)
    return Shop(store, tmp_path)


POSTING = update(journal_postings).values(amount=journal_postings.c.amount + 1)
ENTRY = update(journal_entries).values(reference="another")
BLOCK = update(seal_blocks).where(seal_blocks.c.height == 3).values(hash=bytes(32))
CUT_OFF = delete(seal_blocks).where(seal_blocks.c.height == 3)


async def test_an_empty_journal_and_a_sound_one_trip_nothing(shop: Shop) -> None:
    assert await shop.round() == []
    await shop.seal(3)
    for _ in range(3):
        assert await shop.round() == []
        await shop.seal()


@pytest.mark.parametrize("statement", [POSTING, ENTRY, BLOCK, CUT_OFF])
async def test_a_sealed_row_that_was_tampered_with_trips_it_within_its_round(shop: Shop, statement: Any) -> None:
    await shop.seal(3)
    assert await shop.round() == []
    await shop.seal()
    await shop.tamper(statement)
    assert len(await shop.round()) == 1


async def test_what_is_older_is_found_by_the_walk_through_everything(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look does a bounded part of the work; what was verified long ago is looked at again in its turn."""
    monkeypatch.setattr(chain_watch, "ENTRIES_A_STEP", 5)
    monkeypatch.setattr(chain_watch, "ENTRIES_A_LOOK", 60)
    monkeypatch.setattr(chain_watch, "BLOCKS_LOOKED_BACK", 1)
    await shop.seal(6)
    while not (walks := shop_walks(shop)):
        assert await shop.round() == []
    await shop.tamper(update(journal_entries).where(first_of_all()).values(reference="another"))
    while not await shop.round():
        assert shop_walks(shop) <= walks + 1, "a whole walk went past it"


async def test_what_was_sealed_last_comes_before_the_walk(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain_watch, "ENTRIES_A_STEP", 10)
    monkeypatch.setattr(chain_watch, "ENTRIES_A_LOOK", 60)
    monkeypatch.setattr(chain_watch, "LEAST_A_STEP", 1)
    monkeypatch.setattr(chain_watch, "BLOCKS_LOOKED_BACK", 1)
    await shop.seal(12)
    assert await shop.round() == []
    assert shop_walks(shop) == 0
    await shop.seal()
    newest = text("commit_id = (SELECT id FROM commits ORDER BY position DESC LIMIT 1)")
    await shop.tamper(update(journal_entries).where(newest).values(reference="another"))
    assert len(await shop.round()) == 1
    assert shop_walks(shop) == 0


async def test_it_clears_once_the_journal_is_whole_again_and_not_by_a_restart(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chain_watch, "ENTRIES_A_STEP", 5)
    monkeypatch.setattr(chain_watch, "ENTRIES_A_LOOK", 60)
    monkeypatch.setattr(chain_watch, "BLOCKS_LOOKED_BACK", 1)
    await shop.seal(6)
    of_one = first_of_all()
    await shop.tamper(update(journal_entries).where(of_one).values(kind="tampered"))
    while not await shop.round():
        pass
    shop.restart()
    # What it had tripped on is not looked at yet; that nothing was found so far is no reason to clear.
    for _ in range(12):
        assert len(await shop.round()) == 1
    await shop.tamper(update(journal_entries).where(of_one).values(kind="receipt"))
    rounds = 0
    while await shop.round():
        rounds += 1
        assert rounds < 100


async def test_a_process_that_looks_again_after_another_clears_nothing_before_it_has_walked_through_all(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chain_watch, "ENTRIES_A_STEP", 5)
    monkeypatch.setattr(chain_watch, "ENTRIES_A_LOOK", 60)
    monkeypatch.setattr(chain_watch, "BLOCKS_LOOKED_BACK", 1)
    await shop.seal(6)
    while not shop_walks(shop):
        assert await shop.round() == []
    first = shop.surveillance
    await shop.tamper(update(journal_entries).where(first_of_all(-1)).values(kind="tampered"))
    shop.restart()
    while not await shop.round():
        pass
    shop.store.clock.advance(chain_watch.GAP_SECONDS)
    shop.surveillance = first
    for _ in range(12):
        assert len(await shop.round()) == 1


def first_of_all(sign: int = 1) -> Any:
    """Names the oldest entry of a receipt, or (-1) the newest."""
    return text(
        "id = (SELECT e.id FROM journal_entries e JOIN commits c ON c.id = e.commit_id "
        "WHERE e.kind IN ('receipt', 'tampered') ORDER BY c.position * :sign, e.n LIMIT 1)"
    ).bindparams(sign=sign)


def shop_walks(shop: Shop) -> int:
    """How often everything was walked through."""
    (probe,) = shop.surveillance._probes.values()
    assert isinstance(probe, Chain)
    return probe.watch._walks

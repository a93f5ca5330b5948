"""One leader seals, whatever else happens: two sealers, a takeover, a crash, a store that goes away."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from nervio.db import leases
from nervio.db.context import Ctx
from nervio.db.sequencer import number_commits
from nervio.kernel.errors import NervioError
from nervio.modules.ledger import api as ledger
from nervio.modules.ledger.contracts import Sealing
from nervio.modules.ledger.usecases.sealing import LEASE, Sealer, add_block, make_block, read_unsealed
from nervio.modules.sales import api as sales
from tests.builders import Store, a_sale_of, a_stocked_product
from tests.modules.ledger.journals import a_sealing, a_signer, trade


async def audited(store: Store, sealing: Sealing) -> None:
    """The journal holds against the saved heads."""
    result = await ledger.audit(store.ctx, ledger.read_heads(sealing.heads_path), [sealing.signer.public_key])
    assert result.findings == ()
    assert result.heads == result.blocks


async def test_what_was_written_is_sealed_and_verified(store: Store, tmp_path: Path) -> None:
    sealing = a_sealing(tmp_path)
    sealer = ledger.make_sealer(sealing)
    assert (await ledger.get_seal(store.ctx)).head is None
    await trade(store, 10)
    assert (await ledger.get_seal(store.ctx)).unsealed_commits > 10
    assert await sealer.run(store.ctx) == 1
    state = await ledger.get_seal(store.ctx)
    assert (state.unsealed_commits, state.head) == (0, *ledger.read_heads(sealing.heads_path))
    assert await sealer.run(store.ctx) == 0
    await trade(store, 3)
    assert await sealer.run(store.ctx) == 1
    await trade(store, 1)
    await audited(store, sealing)


async def test_an_empty_journal_is_whole(store: Store, tmp_path: Path) -> None:
    sealing = a_sealing(tmp_path)
    await ledger.make_sealer(sealing).run(store.ctx)
    await audited(store, sealing)


async def test_much_at_once_is_sealed_in_several_blocks(store: Store, tmp_path: Path) -> None:
    sealing = a_sealing(tmp_path)
    await trade(store, 20)
    blocks = await Sealer(sealing, most_commits=7).run(store.ctx)
    assert blocks > 3
    assert (await ledger.get_seal(store.ctx)).unsealed_commits == 0
    await audited(store, sealing)


async def test_two_sealers_never_fork_the_chain(store: Store, tmp_path: Path) -> None:
    """Each believes that it may seal, since leases last no time here; the token decides, and the chain stays one."""
    sealings = [a_sealing(tmp_path / "one"), a_sealing(tmp_path / "two")]
    product = await a_stocked_product(store, 1000)
    sealers = [Sealer(sealing, most_commits=2) for sealing in sealings]
    for sealer in sealers:
        sealer._leading._seconds = 0.0

    async def sell() -> None:
        for _ in range(30):
            await sales.record_sale(store.ctx, a_sale_of((product, 1)))
            store.clock.advance(0.001)

    async def seal(sealer: Sealer) -> None:
        for _ in range(15):
            await sealer.run(store.ctx)

    await asyncio.gather(sell(), seal(sealers[0]), seal(sealers[1]))
    await ledger.make_sealer(sealings[0]).run(await later(store))
    result = await ledger.audit(store.ctx, (), [sealing.signer.public_key for sealing in sealings])
    assert result.findings == ()
    assert result.unsealed_commits == 0
    assert result.blocks > 1


async def test_a_sealer_whose_lease_was_taken_over_is_refused(store: Store, tmp_path: Path) -> None:
    """It had read, hashed and signed before it was taken over; its block no longer gets in."""
    await trade(store, 2)
    database, clock = store.database, store.clock
    token = await database.bookkeep("lease", lambda c: leases.acquire(c, LEASE, "slow", clock.now(), 20))
    assert token is not None
    await database.bookkeep("sequence", number_commits)
    block = make_block(await database.read(lambda c: read_unsealed(c, 100)), a_signer(), clock.now())
    clock.advance(21)
    newer = await database.bookkeep("lease", lambda c: leases.acquire(c, LEASE, "next", clock.now(), 20))
    assert newer == token + 1
    with pytest.raises(NervioError, match="new holder"):
        await database.bookkeep("seal", lambda c: add_block(c, block, token))
    await database.bookkeep("seal", lambda c: add_block(c, block, newer))
    with pytest.raises(NervioError, match="has grown"):
        await database.bookkeep("seal", lambda c: add_block(c, block, newer))


async def test_one_leads_until_it_lets_go(store: Store, tmp_path: Path) -> None:
    first, second = ledger.make_sealer(a_sealing(tmp_path / "1")), ledger.make_sealer(a_sealing(tmp_path / "2"))
    await trade(store, 1)
    assert await first.run(store.ctx) == 1
    await trade(store, 1)
    assert await second.run(store.ctx) == 0
    await first.close(store.ctx)  # seals the rest
    assert (await ledger.get_seal(store.ctx)).unsealed_commits == 0
    await trade(store, 1)
    assert await second.run(store.ctx) == 1


async def test_a_new_leader_saves_the_heads_that_its_file_lacks(store: Store, tmp_path: Path) -> None:
    sealing = a_sealing(tmp_path)
    for _ in range(3):
        await trade(store, 1)
        await ledger.make_sealer(sealing).run(await later(store))
    whole = sealing.heads_path.read_bytes()
    lines = whole.splitlines(keepends=True)
    # A crash after the commit and in the middle of the export.
    sealing.heads_path.write_bytes(lines[0] + lines[1][:30])
    await ledger.make_sealer(sealing).run(await later(store))
    assert sealing.heads_path.read_bytes() == whole
    # Another process sealed meanwhile, and saved to a file of its own.
    sealing.heads_path.unlink()
    await ledger.make_sealer(sealing).run(await later(store))
    assert sealing.heads_path.read_bytes() == whole


async def test_a_gap_is_not_sealed_over(store: Store, tmp_path: Path) -> None:
    await trade(store, 2)
    await ledger.make_sealer(a_sealing(tmp_path)).run(store.ctx)
    await trade(store, 2)
    await store.database.bookkeep("sequence", number_and_remove)
    with pytest.raises(NervioError, match="are missing"):
        await ledger.make_sealer(a_sealing(tmp_path)).run(await later(store))


async def test_a_store_that_went_away_is_caught_up_with(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The failure is for the runner to log and to wait after; here it matters that nothing is lost or sealed twice."""
    sealing = a_sealing(tmp_path)
    sealer = ledger.make_sealer(sealing)
    await trade(store, 1)
    await sealer.run(store.ctx)
    await trade(store, 1)
    gone = Gone(store)
    for purpose in ("lease", "sequence", "seal"):
        gone.purpose = purpose
        store.clock.advance(11)
        with pytest.raises(OSError, match="gone"):
            await sealer.run(gone.ctx)
    assert await sealer.run(store.ctx) == 1
    await audited(store, sealing)


async def test_a_disk_that_is_full_delays_the_export_only(store: Store, tmp_path: Path) -> None:
    sealing = a_sealing(tmp_path)
    sealer = ledger.make_sealer(sealing)
    sealing.heads_path.mkdir(parents=True)  # nothing can be written there
    await trade(store, 1)
    with pytest.raises(OSError, match="heads"):
        await sealer.run(store.ctx)
    sealing.heads_path.rmdir()
    await sealer.run(store.ctx)
    await audited(store, sealing)


async def later(store: Store) -> Ctx:
    """The context after every lease has run out."""
    store.clock.advance(60)
    return store.ctx


def number_and_remove(connection: Connection) -> None:
    number_commits(connection)
    connection.execute(text("DELETE FROM commits WHERE position = (SELECT max(position) - 1 FROM commits)"))


class Gone:
    """A database whose bookkeeping of one purpose fails as a lost connection does."""

    def __init__(self, store: Store) -> None:
        self._database = store.database
        self.purpose = ""
        self.ctx = Ctx(store.ctx.tenant_id, store.ctx.actor_id, self, store.clock)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    async def bookkeep(self, purpose: str, work: Callable[[Connection], Any]) -> Any:
        if purpose == self.purpose:
            raise ConnectionResetError("the store is gone")
        return await self._database.bookkeep(purpose, work)

"""Journals to seal and to tamper with."""

from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from nervio.modules.ledger import api as ledger
from nervio.modules.ledger.contracts import SealedHead, Sealing, Signer
from nervio.modules.sales import api as sales
from tests.builders import Store, a_hold, a_product, a_receipt, a_sale_of, a_stocked_product, a_store


def a_signer() -> Signer:
    """A signer with a key of its own."""
    return ledger.make_signer(Ed25519PrivateKey.generate())


def a_sealing(folder: Path) -> Sealing:
    """A key and a file of heads in a folder."""
    return Sealing(a_signer(), folder / "seals" / "heads.jsonl")


@dataclass(frozen=True)
class Journal:
    """A sealed journal in a file that nobody has open."""

    path: Path
    heads: tuple[SealedHead, ...]
    signer: Signer


async def trade(store: Store, rounds: int) -> None:
    """Receipts, tickets alone and many at once, holds; every kind of row that a shop makes."""
    products = [await a_stocked_product(store, 1000) for _ in range(3)]
    products.append(await a_product(store, by_lot=True))
    await a_receipt(store, products[3], 1000, lot='ñandú "7"', expires_on="2027-01-31")
    for number in range(rounds):
        await sales.record_sale(store.ctx, a_sale_of((products[number % 4], 1), (products[0], 2)))
        if number % 5 == 0:
            several = [(a_sale_of((product, 1)), None) for product in products]
            outcomes = await sales.record_sales(store.ctx, several)
            assert not any(isinstance(outcome, BaseException) for outcome in outcomes)
        if number % 7 == 0:
            await a_hold(store, products[1])


async def a_sealed_journal(folder: Path, blocks: int = 12) -> Journal:
    """Two tenants' trade, sealed in so many blocks and folded half-way; nothing is left unsealed."""
    sealing = a_sealing(folder)
    sealer, fold = ledger.make_sealer(sealing), ledger.make_fold()
    async with a_store(folder) as store:
        other = await store.another_tenant()
        for number in range(blocks):
            await trade(store if number % 3 else other, 3)
            store.clock.advance(5)
            assert await sealer.run(store.ctx) == 1
            if number == blocks // 2:
                assert await fold.run(store.ctx) > 0
    return Journal(folder / "nervio.db", tuple(ledger.read_heads(sealing.heads_path)), sealing.signer)

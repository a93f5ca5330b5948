"""The ledger's use cases: post in a batch, read, seal, verify, export."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from nervio.db.batch import Batch
from nervio.db.context import Ctx
from nervio.db.tenancy import TenantConnection
from nervio.kernel.errors import not_found
from nervio.kernel.ids import is_id
from nervio.kernel.time import SECOND, Instant
from nervio.modules.ledger.book import LedgerBook
from nervio.modules.ledger.contracts import (
    Balance,
    JournalEntry,
    Movement,
    Posting,
    SealedHead,
    Sealing,
    SealState,
    Signer,
    Verification,
)
from nervio.modules.ledger.store import balances, chain, journal
from nervio.modules.ledger.store import documents as documents_store
from nervio.modules.ledger.usecases.audit import Audit, verify
from nervio.modules.ledger.usecases.chain_watch import LOOK_SECONDS, ChainWatch
from nervio.modules.ledger.usecases.exporting import export, verify_export
from nervio.modules.ledger.usecases.folding import BalancesFold
from nervio.modules.ledger.usecases.heads import head_of, read_heads
from nervio.modules.ledger.usecases.sealing import Sealer
from nervio.modules.ledger.usecases.signing import Ed25519Signer
from nervio.ports.probes import Question, Reading

LONGEST_PAGE = 500


def book(batch: Batch) -> LedgerBook:
    """The ledger's part of a batch, into which every deed posts its entry."""
    return batch.book(LedgerBook)


async def list_entries(
    ctx: Ctx,
    *,
    kind: str | None = None,
    document_id: str | None = None,
    reference: str | None = None,
    account: str | None = None,
    asset: str | None = None,
    after: str | None = None,
    limit: int = 50,
    oldest_first: bool = False,
    backwards: bool = False,
) -> list[JournalEntry]:
    """Entries of the journal in the order they were recorded, the newest first unless asked otherwise.

    `after` is the id of the last one seen; with `backwards` the page before it. The filters narrow together.
    """
    ctx.require("ledger.read")
    return await ctx.read(
        lambda c: journal.list_entries(
            c,
            kind=kind,
            document_id=document_id,
            reference=reference,
            account=account,
            asset=asset,
            after=after,
            limit=min(limit, LONGEST_PAGE),
            oldest_first=oldest_first,
            backwards=backwards,
        )
    )


async def get_entry(ctx: Ctx, entry_id: str) -> JournalEntry:
    """One entry with its postings. Raises `not_found`."""
    ctx.require("ledger.read")
    # Only an id may be asked for: PostgreSQL refuses to compare its uuid with any other text.
    entry = await ctx.read(lambda c: journal.find_entry(c, entry_id)) if is_id(entry_id) else None
    if entry is None:
        raise not_found("entry", entry_id)
    return entry


async def list_balances(ctx: Ctx) -> list[Balance]:
    """Money per account and currency, derived from the journal: debits less credits, in minor units."""
    ctx.require("ledger.read")
    return await ctx.read(balances.read_balances)


def list_movements(
    connection: TenantConnection, asset: str, account: str, before: tuple[str, int, bool] | None, limit: int
) -> list[Movement]:
    """For reads of other modules: postings of an asset on an account, the newest first. An account that ends in a colon
    means every account with that prefix. `before`: (entry id, n, whether it came in) of the last one seen."""
    return journal.list_movements(connection, asset, account, before, min(limit, LONGEST_PAGE))


def iterate_stock(connection: TenantConnection) -> Iterator[tuple[str, str, str, int]]:
    """For the stock checker: (account, product, lot, signed milli-units) of every stock posting in the order of facts."""
    return journal.iterate_stock(connection)


def sum_stock(connection: TenantConnection, product_ids: Sequence[str]) -> dict[tuple[str, str], int]:
    """For the stock checker: (account, product) → signed milli-units, over all postings of some products (at most 500)."""
    return journal.sum_stock(connection, product_ids)


def find_postings(batch: Batch, documents: Collection[tuple[str, str]]) -> dict[tuple[str, str], list[Posting]]:
    """For commands that take a deed back: (tenant, document id) → what it moved, in the order in which it was posted."""
    return documents_store.find_postings(batch.connection, batch.dialect, documents) if documents else {}


# -- the seal --------------------------------------------------------------------------------------------------------

ENTRIES_A_STEP = 1_000
"""Of an audit while the shop is open: a few milliseconds, after which sales have their turn."""


def make_signer(key: Ed25519PrivateKey) -> Signer:
    """The signer of heads that holds this key."""
    return Ed25519Signer(key)


def make_sealer(sealing: Sealing) -> Sealer:
    """What seals the journal: `run(ctx)` every few seconds in any number of processes, `close(ctx)` at the end."""
    return Sealer(sealing)


def make_fold() -> BalancesFold:
    """What moves the snapshot of balances forward: `run(ctx)` every few seconds."""
    return BalancesFold()


def make_chain_watch(sealing: Sealing) -> ChainWatch:
    """What verifies the seal without end, for the rules of safety: its `read` is asked every `LOOK_SECONDS`."""
    return ChainWatch(sealing)


async def get_seal(ctx: Ctx) -> SealState:
    """The newest signed head, and how many commits came after it."""
    ctx.require("ledger.read")

    def query(connection: TenantConnection) -> SealState:
        newest = chain.read_last_block(connection.untenanted())
        sealed_to = 0 if newest is None else newest.to_position
        head = None if newest is None else head_of(newest)
        return SealState(head, chain.count_unsealed(connection.untenanted(), sealed_to))

    return await ctx.read(query)


async def read_seal_wait(ctx: Ctx, question: Question) -> list[Reading]:
    """For the rules of safety: how many seconds the oldest commit without a seal has been waiting, and how many wait. The
    journal of all tenants is one, so every tenant is told the same."""

    def query(connection: TenantConnection) -> tuple[Instant | None, int]:
        newest = chain.read_last_block(connection.untenanted())
        sealed_to = 0 if newest is None else newest.to_position
        oldest = chain.read_oldest_unsealed(connection.untenanted(), sealed_to)
        return oldest, 0 if oldest is None else chain.count_unsealed(connection.untenanted(), sealed_to)

    oldest, waiting = await ctx.read(query)
    seconds = 0 if oldest is None else max(0, question.now - oldest) // SECOND
    return [Reading("", seconds, figures={"waiting_count": waiting})]


async def audit(ctx: Ctx, heads: Iterable[SealedHead] = (), trusted_keys: Collection[bytes] = ()) -> Verification:
    """Audits the whole journal while the shop is open, a little at a time; see `verify`.

    What is wrong with another tenant's entries is told without naming them.
    """
    ctx.require("ledger.verify")
    running = Audit(heads, trusted_keys, ENTRIES_A_STEP)
    while await ctx.database.read(running.step):
        pass
    result = running.result()
    shown = [
        finding
        if finding.tenant_id in {"", ctx.tenant_id}
        else replace(finding, where="an entry of another tenant", tenant_id="")
        for finding in result.findings
    ]
    return replace(result, findings=tuple(shown))


__all__ = [
    "LOOK_SECONDS",
    "BalancesFold",
    "Sealer",
    "audit",
    "book",
    "export",
    "get_entry",
    "get_seal",
    "iterate_stock",
    "list_balances",
    "list_entries",
    "list_movements",
    "make_chain_watch",
    "make_fold",
    "make_sealer",
    "make_signer",
    "read_heads",
    "verify",
    "verify_export",
]

"""What the ledger's routes take and answer."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from nervio.kernel.money import format_amount
from nervio.kernel.quantity import format_quantity
from nervio.kernel.time import to_iso
from nervio.modules.ledger.contracts import Balance, JournalEntry, JournalPosting, SealState, Verification
from nervio.web.lists import ExportQuery, Figure, Sheet
from nervio.web.values import Moment, ShortText

CURRENCY_LENGTH = 3
"""Assets of this length are currencies; all others are product ids."""


class EntryQuery(ExportQuery):
    """What the journal is narrowed by."""

    kind: ShortText | None = Field(None, description="Kind of deed, such as sale, return, receipt, count.")
    document_id: ShortText | None = Field(None, description="Id of the ticket, document or hold that made the entry.")
    reference: ShortText | None = Field(None, description="Number or reference of the document, exactly.")
    account: ShortText | None = Field(
        None, description="Entries that touch this account, such as cash, sales or stock:<location id>."
    )
    asset: ShortText | None = Field(None, description="Entries that move this currency, or the product of this id.")
    order: Literal["newest", "oldest"] = Field("newest", description="Which entries come first.")


class PostingOut(BaseModel):
    """An amount moved from one account to another."""

    n: int = Field(description="Place within the entry.", examples=[0])
    debit: str = Field(description="The account that receives.", examples=["cash"])
    credit: str = Field(description="The account that gives.", examples=["sales"])
    asset: str = Field(description="A currency, or a product's id.", examples=["ARS"])
    unit: Literal["minor", "milli"] = Field(
        description="What `amount` counts: minor units of money, or milli-units of stock."
    )
    amount: int = Field(description="Always more than zero.", examples=[285000])
    lot: str = Field(description="The lot moved; empty where lots are not kept.", examples=[""])

    @classmethod
    def of(cls, posting: JournalPosting) -> PostingOut:
        """The answer for a posting."""
        return cls(
            n=posting.n,
            debit=posting.debit,
            credit=posting.credit,
            asset=posting.asset,
            unit="minor" if len(posting.asset) == CURRENCY_LENGTH else "milli",
            amount=posting.amount,
            lot=posting.lot,
        )


class EntryOut(BaseModel):
    """One deed in the journal. Never changed once written; a correction is another entry."""

    id: str = Field(examples=["0195f3a0-0000-7000-8000-000000000003"])
    position: int | None = Field(
        description="Place of its commit in the order of facts; null for a moment after the deed."
    )
    kind: str = Field(examples=["sale"])
    document_id: str = Field(description="The ticket, document or hold that made it.")
    reference: str = Field(examples=["A-0001"])
    actor_id: str = Field(description="Who did it.")
    effective_at: Moment = Field(description="When it counts from.", examples=["2026-03-01T12:00:00.000000Z"])
    recorded_at: Moment = Field(description="When it was written.", examples=["2026-03-01T12:00:00.000000Z"])
    details: dict[str, Any] | None = Field(description="What else is known of the deed, such as a reason.")
    postings: list[PostingOut]

    @classmethod
    def of(cls, entry: JournalEntry) -> EntryOut:
        """The answer for an entry."""
        return cls(
            id=entry.id,
            position=entry.position,
            kind=entry.kind,
            document_id=entry.document_id,
            reference=entry.reference,
            actor_id=entry.actor_id,
            effective_at=to_iso(entry.effective_at),
            recorded_at=to_iso(entry.recorded_at),
            details=entry.details,
            postings=[PostingOut.of(posting) for posting in entry.postings],
        )


class BalanceOut(BaseModel):
    """What an account holds of a currency."""

    account: str = Field(examples=["cash"])
    currency: str = Field(examples=["ARS"])
    amount_minor: int = Field(description="Debits less credits, in minor units.", examples=[1250050])

    @classmethod
    def of(cls, balance: Balance) -> BalanceOut:
        """The answer for a balance."""
        return cls(account=balance.account, currency=balance.asset, amount_minor=balance.amount)


class HeadOut(BaseModel):
    """A signed head: the newest block of the chain."""

    height: int = Field(description="Number of the block, from 1.", examples=[1204])
    to_position: int = Field(description="The last position it covers.", examples=[48210])
    hash: str = Field(description="SHA-256 of the block, in hexadecimal.")
    sealed_at: str = Field(examples=["2026-03-01T13:05:00.000000Z"])
    public_key: str = Field(description="Ed25519 key that verifies the signature, in hexadecimal.")
    signature: str = Field(description="Over the text that docs/ledger-format.md gives, in hexadecimal.")


class SealOut(BaseModel):
    """How far the journal is sealed."""

    head: HeadOut | None = Field(description="Null before the first block.")
    unsealed_commits: int = Field(description="Written since; sealed within seconds.", examples=[3])

    @classmethod
    def of(cls, state: SealState) -> SealOut:
        """The answer for the state of the seal."""
        head = state.head
        if head is None:
            return cls(head=None, unsealed_commits=state.unsealed_commits)
        return cls(
            head=HeadOut(
                height=head.height,
                to_position=head.to_position,
                hash=head.hash,
                sealed_at=to_iso(head.sealed_at),
                public_key=head.public_key,
                signature=head.signature,
            ),
            unsealed_commits=state.unsealed_commits,
        )


class FindingOut(BaseModel):
    """Something that is wrong, and where."""

    code: str = Field(examples=["entry_digest"])
    where: str = Field(
        examples=["entry 0195ccf2-61a1-7b4c-8f7e-2f6f1b1f3a55 in commit 17 0195ccf2-61a0-7aa1-9b1e-0c2d4e6f8a10"]
    )
    message: str = Field(examples=["The entry or one of its postings was changed after it was written."])


class VerificationOut(BaseModel):
    """The result of an audit."""

    verified: bool = Field(description="False as soon as there is one finding.")
    blocks: int
    commits: int
    entries: int
    unsealed_commits: int = Field(description="Checked, but not covered by a block yet.")
    heads: int = Field(
        description="Saved heads that were compared. With none, the loss of the newest part would not show."
    )
    found: int = Field(description="How many findings there are; the first thousand are listed.")
    findings: list[FindingOut]

    @classmethod
    def of(cls, result: Verification) -> VerificationOut:
        """The answer for a result."""
        return cls(
            verified=result.verified,
            blocks=result.blocks,
            commits=result.commits,
            entries=result.entries,
            unsealed_commits=result.unsealed_commits,
            heads=result.heads,
            found=result.found,
            findings=[FindingOut(code=f.code, where=f.where, message=f.message) for f in result.findings],
        )


def _rows(entry: EntryOut) -> list[tuple[str | int | None, ...]]:
    head = (entry.id, entry.position, entry.kind, entry.document_id, entry.reference, entry.actor_id)
    times = (entry.effective_at, entry.recorded_at)
    if not entry.postings:
        return [(*head, *times, None, None, None, None, None, None)]
    return [(*head, *times, p.n, p.debit, p.credit, p.asset, p.lot, Figure(_amount(p))) for p in entry.postings]


def _amount(posting: PostingOut) -> str:
    if posting.unit == "minor":
        return format_amount(posting.amount, posting.asset)
    return format_quantity(posting.amount)


ENTRY_SHEET: Sheet[EntryOut] = Sheet(
    "entries",
    (
        "entry_id",
        "position",
        "kind",
        "document_id",
        "reference",
        "actor_id",
        "effective_at",
        "recorded_at",
        "n",
        "debit",
        "credit",
        "asset",
        "lot",
        "amount",
    ),
    _rows,
)
"""A row a posting; an entry without postings (a hold, say) has one row."""

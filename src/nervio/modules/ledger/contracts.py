"""What the ledger speaks in: accounts, postings, entries, seals."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from nervio.kernel.time import Instant


class Account(StrEnum):
    """The chart of accounts every tenant has. Each holds money per currency, or stock per product, never both."""

    CASH = "cash"
    CARD = "card"
    TRANSFER = "transfer"
    WALLET = "wallet"
    RECEIVABLE = "receivable"
    SALES = "sales"
    TAX_PAYABLE = "tax_payable"
    BAD_DEBT = "bad_debt"
    CLEARING = "clearing"
    AI_WORK = "ai_work"
    """What models and workers cost."""
    AI_PAYABLE = "ai_payable"
    """What is owed for it to whoever runs them."""

    SUPPLIED = "supplied"
    SOLD = "sold"
    COUNTED = "counted"
    ADJUSTED = "adjusted"


STOCK_PREFIX = "stock:"

BALANCES_CURSOR = "ledger.balances"
"""The position up to which the snapshot of balances has added the journal up."""


def stock_account(location_id: str) -> str:
    """The account of what lies at a location; one balance a product."""
    return STOCK_PREFIX + location_id


Posting = tuple[str, str, str, str, int]
"""(debit account, credit account, asset, lot, amount > 0): the debit account receives, the credit account gives.

`asset` is a currency (amount in minor units) or a product id (amount in milli-units); `lot` is "" where lots are not
kept. One posting moves an amount from one account to another, so a journal that does not balance cannot be written.
"""


@dataclass(frozen=True, slots=True)
class JournalPosting:
    """A posting as it is stored."""

    n: int
    debit: str
    credit: str
    asset: str
    lot: str
    amount: int


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One deed in the journal: who did what, when it counts from, when it was written, and where it went."""

    tenant_id: str
    id: str
    kind: str
    document_id: str
    reference: str
    actor_id: str
    effective_at: Instant
    recorded_at: Instant
    details: dict[str, Any] | None
    position: int | None
    postings: tuple[JournalPosting, ...]


@dataclass(frozen=True, slots=True)
class Movement:
    """One posting of an asset in or out of an account, with the deed it belongs to. `amount` is signed."""

    entry_id: str
    n: int
    kind: str
    reference: str
    document_id: str
    actor_id: str
    effective_at: Instant
    recorded_at: Instant
    account: str
    counterpart: str
    lot: str
    amount: int


@dataclass(frozen=True, slots=True)
class Balance:
    """What an account holds of an asset: debits less credits."""

    account: str
    asset: str
    amount: int


@dataclass(frozen=True, slots=True)
class SealedHead:
    """The newest block of the chain, signed. Kept outside the database it makes any later change of history visible.

    `hash`, `public_key` and `signature` are lower-case hexadecimal.
    """

    height: int
    to_position: int
    hash: str
    sealed_at: Instant
    public_key: str
    signature: str


@dataclass(frozen=True, slots=True)
class SealState:
    """How far the journal is sealed. `head` is None before the first block."""

    head: SealedHead | None
    unsealed_commits: int


@dataclass(frozen=True, slots=True)
class Finding:
    """Something a verification found wrong, and where. `tenant_id` is empty where it concerns the whole journal."""

    code: str
    where: str
    message: str
    tenant_id: str = ""


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of a full audit. `verified` is False as soon as there is one finding.

    `heads` counts the saved heads that were compared: with none of them the journal only agrees with itself, and the loss
    of its newest part would not show. `findings` holds the first ones, `found` counts them all.
    """

    verified: bool
    blocks: int
    commits: int
    entries: int
    unsealed_commits: int
    findings: tuple[Finding, ...]
    heads: int = 0
    found: int = 0


class Signer(Protocol):
    """Holds the private key that signs heads (Ed25519, RFC 8032)."""

    @property
    def public_key(self) -> bytes:
        """The 32 bytes that verify what `sign` made."""
        ...

    def sign(self, text: bytes) -> bytes:
        """A signature of 64 bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Sealing:
    """What the runtime gives the sealer: the key, the file the heads are saved to, and how often it runs."""

    signer: Signer
    heads_path: Path
    seconds: float = 5.0

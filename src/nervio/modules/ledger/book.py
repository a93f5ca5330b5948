"""The ledger's part in a batch: entries are collected, digested once and flushed together."""

from __future__ import annotations

from typing import Any

import msgspec

from nervio.db.batch import Batch, Book
from nervio.db.writes import Insert, Row
from nervio.kernel.ids import new_ids
from nervio.kernel.time import Instant
from nervio.modules.ledger.contracts import Posting
from nervio.modules.ledger.domain import entry_digest
from nervio.modules.ledger.models import journal_entries, journal_postings

_ENTRY_COLUMNS = (
    "tenant_id",
    "id",
    "commit_id",
    "n",
    "kind",
    "document_id",
    "reference",
    "actor_id",
    "effective_at",
    "recorded_at",
    "details",
    "digest",
)
_POSTING_COLUMNS = ("tenant_id", "entry_id", "n", "debit", "credit", "asset", "lot", "amount")


class LedgerBook(Book):
    """Collects journal entries. `post` never refuses: what may happen was decided by the book of the deed."""

    lock_name = "ledger"

    def __init__(self) -> None:
        self._entries: list[tuple[str, str, str, str, str, Instant, str | None, list[Posting]]] = []

    def open(self, batch: Batch) -> None:
        """Nothing to load: balances are derived, so there is no hot row."""

    def post(
        self,
        tenant_id: str,
        actor_id: str,
        kind: str,
        document_id: str,
        reference: str,
        effective_at: Instant,
        postings: list[Posting],
        details: dict[str, Any] | None = None,
    ) -> None:
        """Adds one entry. `document_id` is what the entry is the trace of; `reference` what a person calls it."""
        text = None if details is None else msgspec.json.encode(details).decode()
        self._entries.append((tenant_id, actor_id, kind, document_id, reference, effective_at, text, postings))

    def mark(self) -> int:
        return len(self._entries)

    def rollback(self, mark: int | None) -> None:
        del self._entries[mark or 0 :]

    def flush(self, batch: Batch) -> None:
        entries: list[Row] = []
        postings: list[Row] = []
        ids = new_ids(len(self._entries))
        for n, (entry_id, entry) in enumerate(zip(ids, self._entries, strict=True)):
            tenant_id, actor_id, kind, document_id, reference, effective_at, details, moved = entry
            digest = entry_digest(
                tenant_id, entry_id, n, kind, document_id, reference, actor_id, effective_at, batch.now, details, moved
            )
            batch.sealed_digest(digest)
            entries.append(
                (
                    tenant_id,
                    entry_id,
                    batch.commit_id,
                    n,
                    kind,
                    document_id,
                    reference,
                    actor_id,
                    effective_at,
                    batch.now,
                    details,
                    digest,
                )
            )
            postings.extend([(tenant_id, entry_id, line, *posting) for line, posting in enumerate(moved)])
        batch.writes.append(Insert(journal_entries, _ENTRY_COLUMNS, entries))
        batch.writes.append(Insert(journal_postings, _POSTING_COLUMNS, postings))

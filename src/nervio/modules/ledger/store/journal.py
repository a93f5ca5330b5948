"""Reads of one tenant's entries and movements."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import Select, and_, func, or_, select

from nervio.db.keyset import read_page
from nervio.db.tables import commits
from nervio.db.tenancy import TenantConnection
from nervio.modules.ledger.contracts import STOCK_PREFIX, JournalEntry, JournalPosting, Movement
from nervio.modules.ledger.models import journal_entries, journal_postings

_E = journal_entries.c
_P = journal_postings.c
_C = commits.c

_ENTRY = (_E.tenant_id, _E.id, _E.kind, _E.document_id, _E.reference, _E.actor_id)
_ENTRY_REST = (_E.effective_at, _E.recorded_at, _E.details)


def list_entries(
    connection: TenantConnection,
    *,
    kind: str | None,
    document_id: str | None,
    reference: str | None,
    account: str | None,
    asset: str | None,
    after: str | None,
    limit: int,
    oldest_first: bool,
    backwards: bool,
) -> list[JournalEntry]:
    """Entries by id, the newest or the oldest first: those after the id given in that order, or just before it."""
    statement = _entries().where(_E.tenant_id == connection.tenant_id)
    if kind is not None:
        statement = statement.where(_E.kind == kind)
    if document_id is not None:
        statement = statement.where(_E.document_id == document_id)
    if reference is not None:
        statement = statement.where(_E.reference == reference)
    if account is not None or asset is not None:
        postings = select(_P.entry_id).where(_P.tenant_id == connection.tenant_id)
        if asset is not None:
            postings = postings.where(_P.asset == asset)
        if account is not None:
            postings = postings.where(or_(_P.debit == account, _P.credit == account))
        statement = statement.where(_E.id.in_(postings))
    position = None if after is None else (after,)
    rows = read_page(connection, statement, (_E.id,), position, limit, descending=not oldest_first, backwards=backwards)
    return _with_postings(connection, rows)


def find_entry(connection: TenantConnection, entry_id: str) -> JournalEntry | None:
    """One entry with its postings."""
    rows = connection.execute(_entries().where(_E.tenant_id == connection.tenant_id, _E.id == entry_id)).all()
    entries = _with_postings(connection, rows)
    return entries[0] if entries else None


def list_movements(
    connection: TenantConnection, asset: str, account: str, before: tuple[str, int, bool] | None, limit: int
) -> list[Movement]:
    """Postings of an asset on an account (or on every account with the prefix, when it ends in a colon), newest first.

    A transfer between two such accounts is two movements, the one that came in first. `before`: (entry, n, came in).
    """
    statement = (
        select(
            _P.entry_id,
            _P.n,
            _E.kind,
            _E.reference,
            _E.document_id,
            _E.actor_id,
            _E.effective_at,
            _E.recorded_at,
            _P.debit,
            _P.credit,
            _P.lot,
            _P.amount,
        )
        .join_from(journal_postings, journal_entries, and_(_E.tenant_id == _P.tenant_id, _E.id == _P.entry_id))
        .where(_P.tenant_id == connection.tenant_id, _P.asset == asset)
    )
    if before is not None:
        # A page may end within an entry, even between the two sides of a posting.
        entry_id, n, came_in = before
        within = _P.n <= n if came_in else _P.n < n
        statement = statement.where(or_(_P.entry_id < entry_id, and_(_P.entry_id == entry_id, within)))
    if not account.endswith(":"):
        statement = statement.where(or_(_P.debit == account, _P.credit == account))
    found = []
    rows: Iterable[Any] = connection.execute(statement.order_by(_P.entry_id.desc(), _P.n.desc()).limit(limit + 1))
    for row in rows:
        for side, other, sign in ((row.debit, row.credit, 1), (row.credit, row.debit, -1)):
            seen = sign == 1 and before == (row.entry_id, row.n, True)
            if not seen and (side == account or (account.endswith(":") and side.startswith(account))):
                fields: list[Any] = [*row[:8], side, other, row.lot, sign * row.amount]
                found.append(Movement(*fields))
    return found[:limit]


def iterate_stock(connection: TenantConnection) -> Iterator[tuple[str, str, str, int]]:
    """(account, product, lot, signed milli-units) of every stock posting in the order of facts."""
    rows: Iterable[Any] = connection.execute(
        select(_P.debit, _P.credit, _P.asset, _P.lot, _P.amount)
        .join_from(commits, journal_entries, _E.commit_id == _C.id)
        .join(journal_postings, and_(_P.tenant_id == _E.tenant_id, _P.entry_id == _E.id))
        .where(_E.tenant_id == connection.tenant_id)
        .order_by(_C.position.is_(None), _C.position, _C.seq, _E.n, _P.n)
    )
    for debit, credit, asset, lot, amount in rows:
        # Out before in: a document that moves one product twice must not look richer than it was.
        if credit.startswith(STOCK_PREFIX):
            yield credit, asset, lot, -amount
        if debit.startswith(STOCK_PREFIX):
            yield debit, asset, lot, amount


def sum_stock(connection: TenantConnection, product_ids: Sequence[str]) -> dict[tuple[str, str], int]:
    """(account, product) → signed milli-units, added up over all postings of some products."""
    rows: Iterable[Any] = connection.execute(
        select(_P.debit, _P.credit, _P.asset, func.sum(_P.amount))
        .where(_P.tenant_id == connection.tenant_id, _P.asset.in_(product_ids))
        .group_by(_P.debit, _P.credit, _P.asset)
    )
    sums: dict[tuple[str, str], int] = {}
    for debit, credit, asset, amount in rows:
        for account, sign in ((debit, 1), (credit, -1)):
            if account.startswith(STOCK_PREFIX):
                sums[account, asset] = sums.get((account, asset), 0) + sign * int(amount)
    return sums


def _entries() -> Select[Any]:
    return select(*_ENTRY, *_ENTRY_REST, _C.position).join_from(
        journal_entries, commits, _C.id == _E.commit_id, isouter=True
    )


def _with_postings(connection: TenantConnection, rows: Sequence[Any]) -> list[JournalEntry]:
    parts: dict[str, list[JournalPosting]] = {row.id: [] for row in rows}
    found: Iterable[Any] = connection.execute(
        select(_P.entry_id, _P.n, _P.debit, _P.credit, _P.asset, _P.lot, _P.amount)
        .where(_P.tenant_id == connection.tenant_id, _P.entry_id.in_(list(parts)))
        .order_by(_P.entry_id, _P.n)
    )
    for entry_id, *posting in found:
        parts[entry_id].append(JournalPosting(*posting))
    return [
        JournalEntry(
            tenant_id=row.tenant_id,
            id=row.id,
            kind=row.kind,
            document_id=row.document_id,
            reference=row.reference,
            actor_id=row.actor_id,
            effective_at=row.effective_at,
            recorded_at=row.recorded_at,
            details=None if row.details is None else json.loads(row.details),
            position=row.position,
            postings=tuple(parts[row.id]),
        )
        for row in rows
    ]

"""Sums of money: the journal's own, and the snapshot of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Text, and_, cast, func, literal, or_, select, union_all

from nervio.db.dialects import dialect_of
from nervio.db.tables import commits, cursors
from nervio.db.tenancy import TenantConnection
from nervio.db.writes import Insert, Update, Write
from nervio.modules.ledger.contracts import BALANCES_CURSOR, Balance
from nervio.modules.ledger.domain import CURRENCY_LENGTH
from nervio.modules.ledger.models import journal_entries, journal_postings, ledger_balances

_E = journal_entries.c
_P = journal_postings.c
_C = commits.c


def read_balances(connection: TenantConnection) -> list[Balance]:
    """Money per account and currency: the snapshot plus the postings after its cursor. One statement, since the snapshot
    may move between two of them."""
    cursor = func.coalesce(select(cursors.c.position).where(cursors.c.name == BALANCES_CURSOR).scalar_subquery(), 0)
    snapshot = select(ledger_balances.c.account, ledger_balances.c.asset, ledger_balances.c.amount).where(
        ledger_balances.c.tenant_id == connection.tenant_id
    )
    after = or_(_C.position > cursor, _C.position.is_(None))
    tails = [
        select(side.label("account"), _P.asset, (sign * _P.amount).label("amount"))
        .join_from(commits, journal_entries, _E.commit_id == _C.id)
        .join(journal_postings, and_(_P.tenant_id == _E.tenant_id, _P.entry_id == _E.id))
        .where(after, _E.tenant_id == connection.tenant_id, func.length(_P.asset) == CURRENCY_LENGTH)
        for side, sign in ((_P.debit, 1), (_P.credit, -1))
    ]
    parts = union_all(snapshot, *tails).subquery()
    rows: list[Any] = list(
        connection.execute(
            select(parts.c.account, parts.c.asset, func.sum(parts.c.amount))
            .group_by(parts.c.account, parts.c.asset)
            .order_by(parts.c.asset, parts.c.account)
        )
    )
    return [Balance(row[0], row[1], int(row[2])) for row in rows]


def sum_money(connection: Connection, first: int, last: int) -> list[tuple[str, str, str, int]]:
    """(tenant, account, currency, debits less credits) of the commits in a range of positions."""
    rows = connection.execute(
        select(_P.tenant_id, _P.debit, _P.credit, _P.asset, func.sum(_P.amount))
        .join_from(commits, journal_entries, _E.commit_id == _C.id)
        .join(journal_postings, and_(_P.tenant_id == _E.tenant_id, _P.entry_id == _E.id))
        .where(_C.position.between(first, last), func.length(_P.asset) == CURRENCY_LENGTH)
        .group_by(_P.tenant_id, _P.debit, _P.credit, _P.asset)
    )
    # Both sides from one reading: postings are by far the largest table.
    sums: defaultdict[tuple[str, str, str], int] = defaultdict(int)
    for tenant_id, debit, credit, asset, amount in rows:
        sums[tenant_id, debit, asset] += int(amount)
        sums[tenant_id, credit, asset] -= int(amount)
    return [(*key, amount) for key, amount in sums.items()]


def read_snapshot(connection: Connection) -> tuple[int, dict[tuple[str, str, str], int]]:
    """The snapshot of balances, (tenant, account, asset) → amount, and the position it stands at, both of one moment."""
    b = ledger_balances.c
    at = select(literal(""), literal(""), literal(""), cursors.c.position).where(cursors.c.name == BALANCES_CURSOR)
    rows = connection.execute(union_all(select(cast(b.tenant_id, Text), b.account, b.asset, b.amount), at)).all()
    snapshot = {(row[0], row[1], row[2]): row[3] for row in rows}
    return snapshot.pop(("", "", ""), 0), snapshot


def add_to_balances(connection: Connection, sums: Sequence[tuple[str, str, str, int]]) -> None:
    """Adds sums to the snapshot, creating the rows that are missing. The caller keeps other writers of it away."""
    if not sums:
        return
    b, dialect = ledger_balances.c, dialect_of(connection)
    k = dialect.rows_table("k", [b.tenant_id])
    tenants = sorted({(row[0],) for row in sums})
    there = {
        (row[0], row[1], row[2]): row[3]
        for row in connection.execute(
            select(b.tenant_id, b.account, b.asset, b.amount).join_from(
                k, ledger_balances, b.tenant_id == k.c.tenant_id
            ),
            dialect.rows_parameters("k", [b.tenant_id], tenants),
        )
    }
    key = ("tenant_id", "account", "asset")
    changed = [(*row[:3], there[row[:3]] + row[3]) for row in sums if row[:3] in there]
    fresh = [row for row in sums if row[:3] not in there]
    writes: list[Write] = [
        Update(ledger_balances, key, ("amount",), changed),
        Insert(ledger_balances, (*key, "amount"), fresh),
    ]
    dialect.apply(connection, writes)

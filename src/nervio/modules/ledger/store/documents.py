"""What documents moved, for commands that take it back: a read of a batch, whose documents carry their tenant."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, and_, select

from nervio.db.dialects import Dialect, look_up
from nervio.modules.ledger.contracts import Posting
from nervio.modules.ledger.models import journal_entries, journal_postings

_E = journal_entries.c
_P = journal_postings.c

Document = tuple[str, str]
"""(tenant, document id)"""


def find_postings(
    connection: Connection, dialect: Dialect, documents: Collection[Document]
) -> dict[Document, list[Posting]]:
    """document → its postings, in the order in which they were made."""
    parameters = dialect.rows_parameters("k", [_E.tenant_id, _E.document_id], sorted(documents))
    found: dict[Document, list[Posting]] = {}
    for tenant_id, document_id, *posting in look_up(connection, _postings_of(dialect), parameters):
        debit, credit, asset, lot, amount = posting
        found.setdefault((tenant_id, document_id), []).append((debit, credit, asset, lot, amount))
    return found


@cache
def _postings_of(dialect: Dialect) -> Select[Any]:
    k = dialect.rows_table("k", [_E.tenant_id, _E.document_id])
    return (
        select(_E.tenant_id, _E.document_id, _P.debit, _P.credit, _P.asset, _P.lot, _P.amount)
        .join_from(k, journal_entries, and_(_E.tenant_id == k.c.tenant_id, _E.document_id == k.c.document_id))
        .join(journal_postings, and_(_P.tenant_id == _E.tenant_id, _P.entry_id == _E.id))
        .order_by(_E.tenant_id, _E.id, _P.n)
    )

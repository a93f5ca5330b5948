"""What the sealer writes and the auditor reads, over all tenants."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Select,
    and_,
    func,
    insert,
    literal,
    or_,
    select,
    type_coerce,
)
from sqlalchemy.types import NullType

from nervio.db.dialects import Dialect, dialect_of
from nervio.db.tables import commits
from nervio.kernel.time import Instant
from nervio.modules.ledger.models import journal_entries, journal_postings, seal_blocks

_E = journal_entries.c
_P = journal_postings.c
_C = commits.c
_B = seal_blocks.c


class CommitRow(NamedTuple):
    """A commit as it is stored. `position` is 0 until it is numbered."""

    position: int
    seq: int | None
    id: str
    recorded_at: Instant
    entries: int
    digest: bytes


class BlockRow(NamedTuple):
    """A block of the chain as it is stored."""

    height: int
    from_position: int
    to_position: int
    previous: bytes
    hash: bytes
    sealed_at: Instant
    public_key: bytes
    signature: bytes


def _raw(stored: Column[bytes]) -> ColumnElement[Any]:
    """Bytes just as the driver gives them: what somebody put there may be of another type, and an auditor wants to see
    that instead of a conversion that fails."""
    return type_coerce(stored, NullType()).label(stored.name)


_COMMIT = (_C.position, _C.seq, _C.id, _C.recorded_at, _C.entries, _raw(_C.digest))
_BLOCK = (
    _B.height,
    _B.from_position,
    _B.to_position,
    _raw(_B.previous),
    _raw(_B.hash),
    _B.sealed_at,
    _raw(_B.public_key),
    _raw(_B.signature),
)


def read_last_block(connection: Connection) -> BlockRow | None:
    """The newest block."""
    row = connection.execute(select(*_BLOCK).order_by(_B.height.desc()).limit(1)).first()
    return None if row is None else BlockRow._make(row)


def read_blocks(connection: Connection, after_height: int, limit: int) -> list[BlockRow]:
    """The next blocks in order."""
    rows = connection.execute(select(*_BLOCK).where(_B.height > after_height).order_by(_B.height).limit(limit))
    return list(map(BlockRow._make, rows))


def find_block(connection: Connection, height: int) -> BlockRow | None:
    """The block of a height."""
    row = connection.execute(select(*_BLOCK).where(_B.height == height)).first()
    return None if row is None else BlockRow._make(row)


def insert_block(connection: Connection, block: Sequence[Any]) -> None:
    """Adds a block given as the fields of `BlockRow`."""
    connection.execute(insert(seal_blocks).values(dict(zip(BlockRow._fields, block, strict=True))))


def read_commits(connection: Connection, after: int, limit: int) -> list[CommitRow]:
    """Numbered commits after a position, in order."""
    statement = select(*_COMMIT).where(_C.position > after).order_by(_C.position).limit(limit)
    return list(map(CommitRow._make, connection.execute(statement)))


def read_oldest_unsealed(connection: Connection, sealed_to: int) -> Instant | None:
    """When the oldest commit was recorded that no block covers, numbered or not; None when all are covered."""
    numbered = select(_C.recorded_at).where(_C.position > sealed_to).order_by(_C.position).limit(1)
    unnumbered = select(_C.recorded_at).where(_C.position.is_(None)).order_by(_C.seq).limit(1)
    found = [connection.execute(statement).scalar() for statement in (numbered, unnumbered)]
    return min((at for at in found if at is not None), default=None)


def read_commits_below(connection: Connection, position: int, limit: int) -> list[CommitRow]:
    """Commits before a position."""
    statement = select(*_COMMIT).where(_C.position < position).limit(limit)
    return list(map(CommitRow._make, connection.execute(statement)))


def read_unnumbered(connection: Connection, after_id: str | None, limit: int) -> list[CommitRow]:
    """Commits that have no position, by id."""
    statement = select(literal(0), *_COMMIT[1:]).where(_C.position.is_(None)).order_by(_C.id).limit(limit)
    if after_id is not None:
        statement = statement.where(_C.id > after_id)
    return list(map(CommitRow._make, connection.execute(statement)))


def read_last_position(connection: Connection, after: int, most: int | None = None) -> int:
    """The newest position, at most `most` after the one given; that one itself when nothing came after it."""
    where = _C.position > after if most is None else _C.position.between(after + 1, after + most)
    return connection.execute(select(func.max(_C.position)).where(where)).scalar() or after


def read_next_position(connection: Connection, after: int) -> int | None:
    """The position that comes next."""
    return connection.execute(select(func.min(_C.position)).where(_C.position > after)).scalar()


def read_entries_of(connection: Connection, commit_ids: Sequence[str]) -> Sequence[Any]:
    """(commit_id, digest, then the digested fields in their order) of every entry of the commits."""
    dialect = dialect_of(connection)
    parameters = dialect.rows_parameters("k", [_C.id], [(commit_id,) for commit_id in commit_ids])
    return connection.execute(_entries_of(dialect), parameters).all()


def read_postings_of(connection: Connection, commit_ids: Sequence[str]) -> Sequence[Any]:
    """(entry_id, n, debit, credit, asset, lot, amount) of every posting of the commits."""
    dialect = dialect_of(connection)
    parameters = dialect.rows_parameters("k", [_C.id], [(commit_id,) for commit_id in commit_ids])
    return connection.execute(_postings_of(dialect), parameters).all()


# Commits are named by their ids, not by a range of positions: a planner without fresh statistics reads a range by scanning
# whole tables, once for every part of an audit.
@cache
def _entries_of(dialect: Dialect) -> Select[Any]:
    k = dialect.rows_table("k", [_C.id])
    return select(
        _E.commit_id,
        _raw(_E.digest),
        _E.tenant_id,
        _E.id,
        _E.n,
        _E.kind,
        _E.document_id,
        _E.reference,
        _E.actor_id,
        _E.effective_at,
        _E.recorded_at,
        _E.details,
    ).join_from(k, journal_entries, _E.commit_id == k.c.id)


@cache
def _postings_of(dialect: Dialect) -> Select[Any]:
    k = dialect.rows_table("k", [_C.id])
    return (
        select(_P.entry_id, _P.n, _P.debit, _P.credit, _P.asset, _P.lot, _P.amount)
        .join_from(k, journal_entries, _E.commit_id == k.c.id)
        .join(journal_postings, and_(_P.tenant_id == _E.tenant_id, _P.entry_id == _E.id))
    )


def find_orphans(connection: Connection, limit: int) -> list[tuple[str, str, str]]:
    """Rows that nothing accounts for, as (what, tenant, entry): entries without a commit, postings without an entry."""
    entries = select(literal("entry"), _E.tenant_id, _E.id).where(~select(_C.id).where(_C.id == _E.commit_id).exists())
    postings = (
        select(literal("posting"), _P.tenant_id, _P.entry_id)
        .distinct()
        .where(~select(_E.id).where(_E.tenant_id == _P.tenant_id, _E.id == _P.entry_id).exists())
    )
    found = [connection.execute(statement.limit(limit)).all() for statement in (entries, postings)]
    return [(row[0], row[1], row[2]) for rows in found for row in rows]


def count_unsealed(connection: Connection, sealed_to: int) -> int:
    """Commits after the last block, numbered or not yet."""
    return int(
        connection.execute(
            select(func.count()).select_from(commits).where(or_(_C.position > sealed_to, _C.position.is_(None)))
        ).scalar_one()
    )

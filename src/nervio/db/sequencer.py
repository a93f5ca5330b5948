"""Gives committed transactions their dense positions: the one order that relay, sealer and streams follow."""

from __future__ import annotations

from sqlalchemy import Connection

from nervio.db.dialects import SEQUENCER_KEY, dialect_of

MAX_NUMBERED = 10_000


def number_commits(connection: Connection) -> int:
    """Numbers what has committed since; returns how many. Any process may call it, one at a time gets through.

    Commits are ordered by a sequence drawn while each held its row locks: a transaction that read what another wrote
    drew after that one had committed, so the order never contradicts a reading. Gaps of the sequence do not matter, and
    a slow transaction simply gets a later position than those that overtook it.
    """
    if dialect_of(connection).numbers_commits_inline:
        return 0
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({SEQUENCER_KEY})")
    numbered = connection.exec_driver_sql(
        "WITH last AS (SELECT coalesce(max(position), 0) AS position FROM commits), "
        f"waiting AS (SELECT id, seq FROM commits WHERE position IS NULL ORDER BY seq LIMIT {MAX_NUMBERED}), "
        "dense AS (SELECT w.id, last.position + row_number() OVER (ORDER BY w.seq) AS position FROM waiting w, last) "
        "UPDATE commits c SET position = dense.position FROM dense WHERE c.id = dense.id"
    )
    return numbered.rowcount

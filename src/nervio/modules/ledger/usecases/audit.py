"""A full audit: everything that can be recomputed from the rows is, and compared with what was written and sealed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from types import NoneType
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from nervio.db.dialects import dialect_of
from nervio.modules.ledger.contracts import SealedHead, Verification
from nervio.modules.ledger.store import balances, chain
from nervio.modules.ledger.store.chain import BlockRow, CommitRow
from nervio.modules.ledger.usecases.blocks import BlocksCheck
from nervio.modules.ledger.usecases.findings import Findings, at_commit, have_types
from nervio.modules.ledger.usecases.rows import RowsCheck

ENTRIES_AT_ONCE = 2_000
COMMITS_AT_ONCE = 2_000
_MOST_ORPHANS = 100
_UNREADABLE = ("UTF-8", "malformed")
"""What SQLite says of bytes that are no text, and of a page that is no page."""

_COMMIT = ((int, int, str, int, int, bytes), (int, NoneType, str, int, int, bytes))

T = TypeVar("T")
Phase = Callable[[Connection], "Phase | None"]


class Audit:
    """An audit that goes on step by step, each on any connection to the same database: a transaction of its own while the
    shop is open, one snapshot for all where nothing else runs. Memory is bounded by `entries_at_once`.

    Rows are only ever added, so steps taken at different moments agree; what is added after the first is left out.

    With `since` it looks only at what was sealed after that block, which was checked before: neither at what is not sealed
    yet nor at balances and rows that nothing accounts for.
    """

    def __init__(
        self,
        heads: Iterable[SealedHead] = (),
        trusted_keys: Collection[bytes] = (),
        entries_at_once: int = ENTRIES_AT_ONCE,
        since: BlockRow | None = None,
    ) -> None:
        self.findings = Findings()
        self._rows = RowsCheck(self.findings)
        self._blocks = BlocksCheck(self.findings, heads, trusted_keys)
        self._entries_at_once = entries_at_once
        self._since = since
        self._phase: Phase | None = self._begin
        self._position = 0
        self._end = 0
        self._after_id: str | None = None
        self._commits = 0
        self._folded_to = 0
        self._snapshot: dict[tuple[str, str, str], int] = {}

    def step(self, connection: Connection) -> bool:
        """Does the next part; False when it was the last."""
        assert self._phase is not None, "the audit is over"
        self._phase = self._phase(connection)
        return self._phase is not None

    @property
    def entries(self) -> int:
        """How many entries the steps so far have read."""
        return self._rows.entries

    def result(self) -> Verification:
        """What the steps so far found."""
        return Verification(
            verified=self.findings.count == 0,
            blocks=self._blocks.blocks,
            commits=self._commits,
            entries=self._rows.entries,
            unsealed_commits=self._blocks.unsealed,
            findings=tuple(self.findings.kept),
            heads=self._blocks.heads,
            found=self.findings.count,
        )

    def _begin(self, connection: Connection) -> Phase:
        # In this order: what a block covers and what a balance has in it was there before.
        self._blocks.begin(connection)
        if self._since is not None:
            return self._begin_after(connection, self._since)
        snapshot = _attempt(connection, lambda: [balances.read_snapshot(connection)])
        if snapshot is None:
            self.findings.add("unreadable", "balances", "The snapshot of balances cannot be read.")
        else:
            self._folded_to, self._snapshot = snapshot[0]
        for row in _attempt(connection, lambda: chain.read_commits_below(connection, 1, _MOST_ORPHANS)) or ():
            self.findings.add("position_changed", at_commit(row), "The first position is 1.")
        newest = chain.read_last_position(connection, 0)
        self._end = newest if have_types((newest,), (int,)) else 2**63 - 1
        return self._numbered

    def _begin_after(self, connection: Connection, since: BlockRow) -> Phase:
        newest = chain.read_last_block(connection)
        self._blocks.go_on_after(since)
        self._position = self._end = since.to_position
        height = 0 if newest is None else newest.height
        if newest is None or not have_types(newest[:3], (int, int, int)) or height < since.height:
            if since.height:
                self.findings.add(
                    "truncated",
                    f"block {since.height}",
                    "It was checked before and the chain has no such block any more.",
                )
            return self._finish
        if height == since.height and newest != since:
            self.findings.add("block_hash", f"block {height}", "It was changed since it was checked.")
        self._end = newest.to_position
        return self._numbered

    def _numbered(self, connection: Connection) -> Phase:
        rows = self._read_commits(connection)
        if not rows:
            return self._after_numbered()
        commits = [row for row in rows if self._is_sound(row)]
        numbers = [row.position for row in rows if have_types(row[:1], (int,))]
        for commit in commits:
            self._check_position(connection, commit)
        self._position = max(numbers, default=self._position)
        self._commits += len(commits)
        self._check(connection, commits)
        self._blocks.take(connection, commits)
        # Positions that are no numbers sort behind all others and would be read again for ever.
        return self._numbered if numbers else self._after_numbered()

    def _after_numbered(self) -> Phase:
        return self._unnumbered if self._since is None else self._finish

    def _unnumbered(self, connection: Connection) -> Phase:
        rows = _attempt(connection, lambda: chain.read_unnumbered(connection, self._after_id, COMMITS_AT_ONCE))
        if rows is None:
            self.findings.add("unreadable", "commits without position", "One of them cannot be read.")
        if not rows:
            return self._finish
        self._after_id = rows[-1].id
        if dialect_of(connection).numbers_commits_inline:
            for row in rows:
                self.findings.add("position_missing", at_commit(row), "Its position was taken away.")
        commits = [row for row in rows if self._is_sound(row)]
        self._blocks.unsealed += len(commits)
        self._commits += len(commits)
        self._check(connection, commits)
        return self._unnumbered

    def _finish(self, connection: Connection) -> Phase | None:
        self._blocks.finish(connection)
        if self._blocks.end > self._position:
            self.findings.add(
                "commits_missing",
                f"positions {self._position + 1} to {self._blocks.end}",
                "They were sealed and are gone: the newest part of the journal was cut off.",
            )
        return self._orphans if self._since is None else None

    def _orphans(self, connection: Connection) -> Phase:
        orphans = _attempt(connection, lambda: chain.find_orphans(connection, _MOST_ORPHANS))
        if orphans is None:
            self.findings.add("unreadable", "entries", "An id of an entry or posting cannot be read.")
        for what, tenant_id, entry_id in orphans or ():
            missing = "commit" if what == "entry" else "entry"
            self.findings.add(
                f"orphan_{what}", f"entry {entry_id}", f"There is no {missing} that this {what} belongs to.", tenant_id
            )
        return self._balances

    def _balances(self, _connection: Connection) -> None:
        for key in sorted({*self._rows.sums, *self._snapshot}, key=str):
            held, expected = self._snapshot.get(key, 0), self._rows.sums.get(key, 0)
            if held != expected:
                tenant_id, account, currency = key
                self.findings.add(
                    "balance",
                    f"balance of {account} in {currency} at position {self._folded_to}",
                    f"The snapshot says {held}, the journal adds up to {expected} minor units.",
                    tenant_id,
                )

    def _read_commits(self, connection: Connection) -> list[CommitRow]:
        """The next commits with about `entries_at_once` entries between them."""
        rows = _attempt(connection, lambda: chain.read_commits(connection, self._position, COMMITS_AT_ONCE))
        if rows is None:
            rows = self._read_past(connection)
        chosen, entries = [], 0
        for row in rows:
            if type(row.position) is int and row.position > self._end:
                break
            chosen.append(row)
            entries += row.entries if type(row.entries) is int else 0
            if entries >= self._entries_at_once:
                break
        return chosen

    def _read_past(self, connection: Connection) -> list[CommitRow]:
        """The next commit that can be read; those that cannot are found and passed over."""
        while (position := chain.read_next_position(connection, self._position)) is not None:
            rows = _attempt(connection, lambda: chain.read_commits(connection, self._position, 1))
            if rows is not None:
                return rows
            self.findings.add("unreadable", f"commit {position}", "Its row cannot be read: it is damaged.")
            self._position = position
        return []

    def _check_position(self, connection: Connection, commit: CommitRow) -> None:
        missing, self._position = self._position + 1, commit.position
        if commit.position != missing:
            self.findings.add(
                "positions_missing",
                f"position {missing}" + (f" to {commit.position - 1}" if commit.position > missing + 1 else ""),
                f"What was there was removed or moved; next comes {at_commit(commit)}.",
            )
        if dialect_of(connection).numbers_commits_inline and commit.seq != commit.position:
            self.findings.add(
                "position_changed", at_commit(commit), f"It was written at position {commit.seq} and moved later."
            )

    def _is_sound(self, row: CommitRow) -> bool:
        if not any(have_types(row, types) for types in _COMMIT):
            self.findings.add("commit_malformed", at_commit(row), "It holds a value of a wrong kind.")
            return False
        return True

    def _check(self, connection: Connection, commits: Sequence[CommitRow]) -> None:
        if not commits:
            return
        ids = [commit.id for commit in commits]
        entries = _attempt(connection, lambda: chain.read_entries_of(connection, ids))
        postings = _attempt(connection, lambda: chain.read_postings_of(connection, ids))
        if entries is not None and postings is not None:
            self._rows.check(commits, entries, postings, self._folded_to)
        elif len(commits) == 1:
            self.findings.add("unreadable", at_commit(commits[0]), "An entry or posting of it cannot be read.")
        else:
            half = len(commits) // 2
            self._check(connection, commits[:half])
            self._check(connection, commits[half:])


def _attempt(connection: Connection, read: Callable[[], T]) -> T | None:
    """What `read` returns; None where a row cannot be read at all. Somebody may have written bytes that are no UTF-8 into a
    file of SQLite, and the audit goes on to say where."""
    try:
        with connection.begin_nested():
            return read()
    except DBAPIError as error:
        if not any(sign in str(error.orig) for sign in _UNREADABLE):
            raise
        return None


def verify(
    connection: Connection, heads: Iterable[SealedHead] = (), trusted_keys: Collection[bytes] = ()
) -> Verification:
    """Audits the whole journal in one go. `heads` are those saved outside the database, in order of height;
    `trusted_keys` the public keys that may have signed, where they are known."""
    audit = Audit(heads, trusted_keys)
    while audit.step(connection):
        pass
    return audit.result()

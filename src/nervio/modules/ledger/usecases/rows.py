"""Recomputes the digests of commits from their entries and postings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from types import NoneType
from typing import Any

from nervio.db.batch import commit_digest
from nervio.modules.ledger.domain import CURRENCY_LENGTH, entry_digest
from nervio.modules.ledger.store.chain import CommitRow
from nervio.modules.ledger.usecases.findings import Findings, at_commit, at_entry

Key = tuple[str, str, str]
"""(tenant, account, currency)"""

_ENTRY_TYPES = (str, bytes, str, str, int, str, str, str, str, int, int)
_ENTRIES = ((*_ENTRY_TYPES, str), (*_ENTRY_TYPES, NoneType))
_POSTING = (str, int, str, str, str, str, int)


class RowsCheck:
    """Checks commits a chunk at a time, and adds up the money of those that the snapshot of balances has in it."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self.entries = 0
        self.sums: defaultdict[Key, int] = defaultdict(int)

    def check(
        self, commits: Sequence[CommitRow], entries: Sequence[Any], postings: Sequence[Any], folded_to: int
    ) -> None:
        """`entries` and `postings` are those of the commits (see `store.chain`); sums stop at position `folded_to`."""
        sound = _all_have(postings, (_POSTING,)) and _all_have(entries, _ENTRIES)
        of_commit: defaultdict[str, list[Any]] = defaultdict(list)
        for row in entries:
            of_commit[row[0]].append(row)
        of_entry, disordered = _by_entry(postings)
        for commit in commits:
            rows = of_commit.get(commit.id, [])
            self.entries += len(rows)
            digests = self._check_entries(commit, rows, of_entry, disordered, sound)
            expected = commit_digest(commit.id, commit.recorded_at, digests)
            if len(rows) != commit.entries:
                self._findings.add(
                    "entries_missing" if len(rows) < commit.entries else "entries_added",
                    at_commit(commit),
                    f"It was written with {commit.entries} entries and has {len(rows)} now.",
                )
            elif expected != commit.digest:
                self._findings.add(
                    "commit_digest", at_commit(commit), "The commit, or the list of its entries, was changed."
                )
            if 0 < commit.position <= folded_to:
                self._add_up(rows, of_entry)

    def _check_entries(
        self, commit: CommitRow, rows: list[Any], of_entry: dict[str, list[Any]], disordered: set[str], sound: bool
    ) -> list[bytes]:
        rows.sort(key=_number)
        digests = []
        for n, row in enumerate(rows):
            lines = of_entry.get(row[3], [])
            if not sound and not (_all_have([row], _ENTRIES) and _all_have(lines, (_POSTING,))):
                self._findings.add(
                    "entry_malformed", at_entry(row[3], commit), "It holds a value of a wrong kind.", str(row[2])
                )
                continue
            if row[4] != n:
                self._findings.add(
                    "entries_disordered",
                    at_entry(row[3], commit),
                    f"It is number {row[4]} of its commit where number {n} belongs: an entry before it was removed, added "
                    "or moved.",
                    row[2],
                )
            digests.append(row[1])
            fields: list[Any] = [*row[2:], [line[2:] for line in lines]]
            if entry_digest(*fields) != row[1]:
                self._findings.add(
                    "entry_digest",
                    at_entry(row[3], commit),
                    "The entry or one of its postings was changed, added or removed after it was written.",
                    row[2],
                )
            if row[3] in disordered and [line[1] for line in lines] != list(range(len(lines))):
                self._findings.add(
                    "postings_disordered",
                    at_entry(row[3], commit),
                    f"Its postings are numbered {[line[1] for line in lines]}: one was removed, added or moved.",
                    row[2],
                )
        return digests

    def _add_up(self, rows: list[Any], of_entry: dict[str, list[Any]]) -> None:
        for row in rows:
            tenant_id = row[2]
            for _entry, _n, debit, credit, asset, _lot, amount in of_entry.get(row[3], ()):
                if len(asset) == CURRENCY_LENGTH and type(amount) is int:
                    self.sums[tenant_id, debit, asset] += amount
                    self.sums[tenant_id, credit, asset] -= amount


def _by_entry(postings: Sequence[Any]) -> tuple[dict[str, list[Any]], set[str]]:
    """The postings of each entry in order, and the entries whose postings did not come numbered one after the other."""
    of_entry: dict[str, list[Any]] = {}
    disordered: set[str] = set()
    for row in postings:
        lines = of_entry.get(row[0])
        if lines is None:
            lines = of_entry[row[0]] = []
        if row[1] != len(lines):
            disordered.add(row[0])
        lines.append(row)
    for entry_id in disordered:
        of_entry[entry_id].sort(key=lambda row: row[1] if type(row[1]) is int else -1)
    return of_entry, disordered


def _number(row: Any) -> int:
    return row[4] if type(row[4]) is int else -1


def _all_have(rows: Sequence[Any], kinds: Sequence[tuple[type, ...]]) -> bool:
    """Whether every field of every row is of a type that its column may have; asked of whole columns, since this is the
    dearest question of an audit when it is asked of each field. SQLite keeps whatever it is given, and bytes would digest
    like the text that stands for them."""
    allowed = [set(types) for types in zip(*kinds, strict=True)]
    return all(set(map(type, column)) <= types for column, types in zip(zip(*rows, strict=True), allowed, strict=False))

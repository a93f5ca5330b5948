"""What an audit found, kept within bounds, and how it names places."""

from __future__ import annotations

from nervio.modules.ledger.contracts import Finding
from nervio.modules.ledger.store.chain import CommitRow

MOST_KEPT = 1_000


class Findings:
    """Counts everything and keeps the first ones: a journal that was replaced whole must not fill the memory."""

    def __init__(self) -> None:
        self.count = 0
        self.kept: list[Finding] = []

    def add(self, code: str, where: str, message: str, tenant_id: str = "") -> None:
        """Notes something that is wrong."""
        self.count += 1
        if len(self.kept) < MOST_KEPT:
            self.kept.append(Finding(code, where, message, tenant_id))


def at_commit(commit: CommitRow) -> str:
    """The place of a commit."""
    return f"commit {commit.position or 'without position'} {commit.id}"


def at_entry(entry_id: object, commit: CommitRow) -> str:
    """The place of an entry."""
    return f"entry {entry_id} in {at_commit(commit)}"


def have_types(row: tuple[object, ...], wanted: tuple[type, ...]) -> bool:
    """Whether the fields are of exactly these types. SQLite keeps whatever it is given, and 5 would digest like "5"."""
    return tuple(map(type, row)) == wanted

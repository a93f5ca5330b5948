"""The journal as a file that stands for itself, and the comparison of the data with such a file.

The format is described in docs/ledger-format.md; everything an entry's digest covers is in it.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection

from nervio.kernel.errors import NervioError, invalid
from nervio.modules.ledger.contracts import SealedHead, Verification
from nervio.modules.ledger.domain import commit_lines
from nervio.modules.ledger.store import chain
from nervio.modules.ledger.store.chain import BlockRow, CommitRow
from nervio.modules.ledger.usecases.audit import Audit
from nervio.modules.ledger.usecases.findings import Findings, at_commit
from nervio.modules.ledger.usecases.heads import head_of

FORMAT = "nervio-ledger"
VERSION = 1
COMMITS_AT_ONCE = 500


class ExportedBlock(msgspec.Struct, tag_field="type", tag="block"):
    """A line of the chain."""

    height: int
    from_position: int
    to_position: int
    previous: str
    hash: str
    sealed_at: int
    public_key: str
    signature: str

    @property
    def head(self) -> SealedHead:
        """What the signature covers."""
        return SealedHead(self.height, self.to_position, self.hash, self.sealed_at, self.public_key, self.signature)


class ExportedCommit(msgspec.Struct, tag_field="type", tag="commit"):
    """A commit and its entries: each the digested fields in their order, then the digest."""

    position: int
    seq: int | None
    id: str
    recorded_at: int
    digest: str
    entries: list[list[Any]]


class ExportStart(msgspec.Struct, tag_field="type", tag="start"):
    """The first line."""

    format: str
    version: int
    rows: bool
    to_position: int


class ExportEnd(msgspec.Struct, tag_field="type", tag="end"):
    """The last line: how many lines came before it, and SHA-256 over them."""

    lines: int
    sha256: str


Line = ExportStart | ExportedBlock | ExportedCommit | ExportEnd

_decoder = msgspec.json.Decoder(Line)


def export(connection: Connection, *, rows: bool) -> Iterator[bytes]:
    """The lines of an export: the chain of blocks, and with `rows` every numbered commit with its entries and postings."""
    digest, count = hashlib.sha256(), 0
    for line in _lines(connection, rows):
        encoded = msgspec.json.encode(line) + b"\n"
        digest.update(encoded)
        count += 1
        yield encoded
    yield msgspec.json.encode(ExportEnd(count, digest.hexdigest())) + b"\n"


def verify_export(connection: Connection, lines: Iterable[bytes], trusted_keys: Collection[bytes] = ()) -> Verification:
    """Audits the data (see `verify`) with the blocks of an export as saved heads, and compares every commit in it.

    `lines` are read once, in order. A commit that differs is located; so is an export that was cut short or changed.
    """
    reading = _Reading(lines)
    audit = Audit(reading.heads(), trusted_keys)
    while audit.step(connection):
        pass
    _compare_commits(connection, reading, audit.findings)
    return audit.result()


def _lines(connection: Connection, rows: bool) -> Iterator[Line]:
    # Blocks before the newest position is asked for: whatever a block covers is then in the file.
    newest = chain.read_last_block(connection)
    end = chain.read_last_position(connection, 0)
    yield ExportStart(FORMAT, VERSION, rows, end)
    height = 0
    while newest is not None and height < newest.height:
        blocks = chain.read_blocks(connection, height, COMMITS_AT_ONCE)
        yield from (_exported_block(block) for block in blocks if block.height <= newest.height)
        height = blocks[-1].height if blocks else newest.height
    position = 0
    while rows and position < end:
        commits = [c for c in chain.read_commits(connection, position, COMMITS_AT_ONCE) if c.position <= end]
        if not commits:
            return
        yield from _exported_commits(connection, commits)
        position = commits[-1].position


def _exported_block(block: BlockRow) -> ExportedBlock:
    head = head_of(block)
    return ExportedBlock(
        block.height,
        block.from_position,
        block.to_position,
        block.previous.hex(),
        head.hash,
        head.sealed_at,
        head.public_key,
        head.signature,
    )


def _exported_commits(connection: Connection, commits: Sequence[CommitRow]) -> Iterator[ExportedCommit]:
    ids = [commit.id for commit in commits]
    postings: defaultdict[str, list[Any]] = defaultdict(list)
    for row in sorted(chain.read_postings_of(connection, ids), key=lambda row: (row[0], row[1])):
        postings[row[0]].append(list(row[2:]))
    entries: defaultdict[str, list[Any]] = defaultdict(list)
    for row in sorted(chain.read_entries_of(connection, ids), key=lambda row: (row[0], row[4])):
        entries[row[0]].append([*row[2:], postings[row[3]], row[1].hex()])
    for commit in commits:
        yield ExportedCommit(
            commit.position, commit.seq, commit.id, commit.recorded_at, commit.digest.hex(), entries[commit.id]
        )


class _Reading:
    """Reads an export once: first its blocks, then its commits."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines = iter(lines)
        self._digest = hashlib.sha256()
        self._count = 0
        self._first_commit: ExportedCommit | None = None
        self.is_over = False

    def heads(self) -> Iterator[SealedHead]:
        """The blocks as saved heads. Raises `invalid` at a line that does not belong there."""
        start = self._next()
        if not isinstance(start, ExportStart) or (start.format, start.version) != (FORMAT, VERSION):
            raise invalid("export_unreadable", "This is no export of a ledger that this Nervio knows.", field="line 1")
        while isinstance(line := self._next(), ExportedBlock):
            yield line.head
        if isinstance(line, ExportedCommit):
            self._first_commit = line

    def commits(self) -> Iterator[ExportedCommit]:
        """The commits, after the blocks. Raises `invalid` where the file ends before its end or is not as written."""
        if self._first_commit is not None:
            yield self._first_commit
        while not self.is_over:
            line = self._next()
            if isinstance(line, ExportedCommit):
                yield line

    def _next(self) -> Line:
        raw = next(self._lines, b"")
        try:
            line: Line = _decoder.decode(raw)
        except ValueError as error:
            what = f"Line {self._count + 1} of the export cannot be read" if raw else "The export was cut short"
            raise invalid("export_unreadable", f"{what}: {error}.", field=f"line {self._count + 1}") from error
        if isinstance(line, ExportEnd):
            self.is_over = True
            if (line.lines, line.sha256) != (self._count, self._digest.hexdigest()):
                raise invalid("export_changed", "The export is not as it was written.", field="end")
        self._count += 1
        self._digest.update(raw)
        return line


def _compare_commits(connection: Connection, reading: _Reading, findings: Findings) -> None:
    chunk: list[ExportedCommit] = []
    try:
        for commit in reading.commits():
            chunk.append(commit)
            if len(chunk) == COMMITS_AT_ONCE:
                _compare(connection, chunk, findings)
                chunk = []
    except NervioError as error:
        findings.add(error.code, "the export", error.message)
    _compare(connection, chunk, findings)


def _compare(connection: Connection, chunk: Sequence[ExportedCommit], findings: Findings) -> None:
    if not chunk:
        return
    stored = {c.position: c for c in chain.read_commits(connection, chunk[0].position - 1, len(chunk))}
    for saved in chunk:
        there = stored.get(saved.position)
        if there is None:
            findings.add("commit_missing", f"commit {saved.position} {saved.id}", "It is in the export and gone here.")
        elif _line(saved) != commit_lines([(there.position, there.seq, there.id, there.digest)]):
            findings.add("commit_differs", at_commit(there), f"It is not the commit {saved.id} of the export.")
            _locate(connection, saved, findings)


def _line(saved: ExportedCommit) -> bytes:
    return commit_lines([(saved.position, saved.seq, saved.id, bytes.fromhex(saved.digest))])


def _locate(connection: Connection, saved: ExportedCommit, findings: Findings) -> None:
    """Names the entries by which a commit differs from its export."""
    there = {row[3]: row[1].hex() for row in chain.read_entries_of(connection, [saved.id])}
    exported = {entry[1]: entry[-1] for entry in saved.entries}
    for entry_id in sorted({*there, *exported}):
        if there.get(entry_id) != exported.get(entry_id):
            where = f"entry {entry_id} in commit {saved.position} {saved.id}"
            findings.add("entry_differs", where, "It is not as it was exported.")

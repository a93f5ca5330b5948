"""Recomputes the chain of blocks over the commits and compares it with the heads that were saved."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence

from sqlalchemy import Connection

from nervio.kernel.errors import NervioError
from nervio.modules.ledger.contracts import SealedHead
from nervio.modules.ledger.domain import GENESIS, BlockHash, commit_lines, signed_text
from nervio.modules.ledger.store import chain
from nervio.modules.ledger.store.chain import BlockRow, CommitRow
from nervio.modules.ledger.usecases.findings import Findings, have_types
from nervio.modules.ledger.usecases.heads import head_of
from nervio.modules.ledger.usecases.signing import is_signed

BLOCKS_AT_ONCE = 500

_BLOCK = (int, int, int, bytes, bytes, int, bytes, bytes)
_LARGEST_HEIGHT = 2**63 - 1


class BlocksCheck:
    """Takes the commits in order and closes each block when its last one has passed.

    A block is judged against the one before it, so that one change is found in its own place and not in every block after.
    """

    def __init__(self, findings: Findings, heads: Iterable[SealedHead], trusted_keys: Collection[bytes]) -> None:
        self._findings = findings
        self._heads = self._read_heads(heads)
        self._head = next(self._heads, None)
        self._trusted = set(trusted_keys)
        self._is_given = bool(trusted_keys)
        self._coming: deque[BlockRow] = deque()
        self._read_to = 0
        self._newest = 0
        self._open: BlockRow | None = None
        self._hash = BlockHash(0, GENESIS, 0, 0)
        self._height, self._previous = 0, GENESIS
        self.end = 0
        self.blocks = 0
        self.heads = 0
        self.unsealed = 0

    def begin(self, connection: Connection) -> None:
        """Fixes where the chain ends for this audit."""
        newest = chain.read_last_block(connection)
        if newest is not None:
            # A height that is no number sorts behind all others; the true end is then not known beforehand.
            self._newest = newest.height if have_types(newest[:1], _BLOCK[:1]) else _LARGEST_HEIGHT

    def go_on_after(self, block: BlockRow) -> None:
        """Begins behind a block that was checked before, whose key counts as trusted."""
        self._height, self._previous, self.end = block.height, block.hash, block.to_position
        self._read_to = block.height
        self._trusted.add(block.public_key)

    def take(self, connection: Connection, commits: Sequence[CommitRow]) -> None:
        """The next commits, in order of position."""
        positions = [commit.position for commit in commits]
        start = 0
        while start < len(commits):
            block = self._open or self._next(connection)
            if block is None:
                self.unsealed += len(commits) - start
                return
            end = bisect_right(positions, self._last_of(block), start)
            first = bisect_left(positions, block.from_position, start, max(start, end))
            self._hash.add(commit_lines((c.position, c.seq, c.id, c.digest) for c in commits[first:end]))
            start = max(start, end)
            if start < len(commits):
                self._close(connection)

    def finish(self, connection: Connection) -> None:
        """After the last commit: closes what is open, and looks for blocks and heads that nothing stands behind."""
        while (self._open or self._next(connection)) is not None:
            self._close(connection)
        while self._head is not None:
            self._compare(self._head, chain.find_block(connection, self._head.height))
            self._head = next(self._heads, None)

    def _next(self, connection: Connection) -> BlockRow | None:
        """Opens the next block."""
        while len(self._coming) < 2 and self._read_to < self._newest:
            rows = chain.read_blocks(connection, self._read_to, BLOCKS_AT_ONCE)
            sound = [row for row in rows if have_types(row, _BLOCK)]
            for row in rows:
                if not have_types(row, _BLOCK):
                    self._findings.add("block_malformed", f"block {row.height}", "It holds a value of a wrong kind.")
            self._coming.extend(row for row in sound if row.height <= self._newest)
            self._read_to = sound[-1].height if sound and len(rows) == BLOCKS_AT_ONCE else self._newest
        if not self._coming:
            return None
        block = self._open = self._coming.popleft()
        self._check_place(block)
        self._hash = BlockHash(block.height, block.previous, block.from_position, block.to_position)
        return block

    def _check_place(self, block: BlockRow) -> None:
        where = f"block {block.height}"
        if block.height != self._height + 1:
            self._findings.add(
                "block_missing",
                f"block {self._height + 1}",
                f"After block {self._height} the chain goes on with block {block.height}.",
            )
        elif block.previous != self._previous:
            self._findings.add(
                "block_chain", where, "It does not follow the block before it: one of the two was changed."
            )
        if block.from_position != self.end + 1 or block.to_position < block.from_position:
            self._findings.add(
                "block_range",
                where,
                f"It covers the positions {block.from_position} to {block.to_position}, where {self.end + 1} comes next.",
            )

    def _last_of(self, block: BlockRow) -> int:
        """The last position of a block; what the next one says where the block itself claims its commits too."""
        if self._coming and block.to_position >= self._coming[0].to_position:
            return max(self.end, self._coming[0].from_position - 1)
        return block.to_position

    def _close(self, connection: Connection) -> None:
        block = self._open
        assert block is not None
        self._open = None
        self.blocks += 1
        where = f"block {block.height}"
        if self._hash.value() != block.hash:
            self._findings.add(
                "block_hash",
                where,
                f"Commits at the positions {block.from_position} to {block.to_position}, or the block itself, were changed, "
                "removed, added or moved after they were sealed.",
            )
        text = signed_text(block.height, block.to_position, block.hash, block.sealed_at)
        if not is_signed(block.public_key, block.signature, text):
            self._findings.add("block_signature", where, "The signature is not that of this block and key.")
        matched = self._compare_heads_to(connection, block)
        if not matched and block.public_key not in self._trusted and (self._is_given or self._trusted):
            self._findings.add("block_key", where, f"It is signed with an unknown key, {block.public_key.hex()}.")
        elif not self._is_given:
            self._trusted.add(block.public_key)
        self.end = max(self.end, self._last_of(block))
        self._height, self._previous = block.height, block.hash

    def _compare_heads_to(self, connection: Connection, block: BlockRow) -> bool:
        """Compares the saved heads up to this block; returns whether one was that of this block and agreed."""
        matched = False
        while self._head is not None and self._head.height <= block.height:
            of_this = self._head.height == block.height
            agreed = self._compare(self._head, block if of_this else chain.find_block(connection, self._head.height))
            matched = matched or (of_this and agreed)
            self._head = next(self._heads, None)
        return matched

    def _compare(self, head: SealedHead, block: BlockRow | None) -> bool:
        self.heads += 1
        if block is not None and have_types(block, _BLOCK) and head == head_of(block):
            return True  # their one signature is checked with the block
        text = signed_text(head.height, head.to_position, bytes.fromhex(head.hash), head.sealed_at)
        if not is_signed(_bytes(head.public_key), _bytes(head.signature), text):
            self._findings.add("head_signature", f"saved head {head.height}", "The saved head itself was changed.")
        elif block is None:
            self._findings.add(
                "truncated",
                f"block {head.height}",
                f"A head was saved of it, at position {head.to_position}, but the chain has no such block any more.",
            )
        else:
            self._findings.add(
                "head_differs",
                f"block {head.height}",
                "It is not the block that was saved: history was written anew.",
            )
        return False

    def _read_heads(self, heads: Iterable[SealedHead]) -> Iterator[SealedHead]:
        try:
            yield from heads
        except NervioError as error:
            self._findings.add(error.code, "saved heads", error.message)


def _bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""

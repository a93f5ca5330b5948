"""The sealer: hashes committed positions into a chain of blocks, signs the head, and saves it outside the database."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from sqlalchemy import Connection

from nervio.db import leases
from nervio.db.context import Ctx
from nervio.db.sequencer import number_commits
from nervio.kernel.errors import conflict
from nervio.kernel.time import Instant
from nervio.modules.ledger.contracts import Sealing, Signer
from nervio.modules.ledger.domain import GENESIS, BlockHash, commit_lines, signed_text
from nervio.modules.ledger.store import chain
from nervio.modules.ledger.store.chain import BlockRow
from nervio.modules.ledger.usecases.heads import HeadsFile, head_of
from nervio.modules.ledger.usecases.leading import Leading

log = logging.getLogger(__name__)

LEASE = "ledger.sealer"
MOST_COMMITS = 10_000
"""In one block."""
_SHORTEST_LEASE_SECONDS = 20.0
_HEADS_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Unsealed:
    """The chain's end and what comes after it."""

    height: int
    to_position: int
    hash: bytes
    commits: list[chain.CommitRow]


class Sealer:
    """Seals what has committed since, one leader at a time."""

    def __init__(self, sealing: Sealing, most_commits: int = MOST_COMMITS) -> None:
        self._signer = sealing.signer
        self._heads = HeadsFile(sealing.heads_path)
        self._most = most_commits
        seconds = max(3 * sealing.seconds, _SHORTEST_LEASE_SECONDS)
        self._leading = Leading(LEASE, seconds, self._seal_all)

    async def run(self, ctx: Ctx) -> int:
        """Seals everything there is; returns how many blocks that made. Does nothing while another process leads."""
        return await self._leading.run(ctx)

    async def close(self, ctx: Ctx) -> None:
        """Seals the rest and lets another process lead."""
        await self.run(ctx)
        await self._leading.close(ctx)

    async def _seal_all(self, ctx: Ctx, token: int, is_new: bool) -> int:
        if is_new:
            await self._save_missing_heads(ctx)
        await ctx.database.bookkeep("sequence", number_commits)
        blocks = 0
        while True:
            unsealed = await ctx.database.read(lambda c: read_unsealed(c, self._most))
            if not unsealed.commits:
                return blocks
            # Hashing ten thousand lines takes milliseconds, in which neither a sale nor the event loop should wait.
            block = await asyncio.to_thread(make_block, unsealed, self._signer, ctx.clock.now())
            await ctx.database.bookkeep("seal", lambda c, block=block: add_block(c, block, token))  # type: ignore[misc]
            await asyncio.to_thread(self._heads.append, [head_of(block)])
            blocks += 1
            if len(unsealed.commits) < self._most:
                # What was committed meanwhile is the next run's: a block for each commit of a busy writer would be a
                # commit for each of them, with every sale waiting for it.
                return blocks

    async def _save_missing_heads(self, ctx: Ctx) -> None:
        """Saves what a crash between commit and export, or another process's lead, left out of this file."""
        last = await asyncio.to_thread(self._heads.last)
        height = 0 if last is None else last.height
        newest = await ctx.database.read(chain.read_last_block)
        if newest is None or newest.height < height:
            if last is not None:
                log.error(
                    "saved_heads_ahead",
                    extra={"saved": height, "database": 0 if newest is None else newest.height},
                )
            return
        while blocks := await ctx.database.read(
            lambda c, height=height: chain.read_blocks(c, height, _HEADS_AT_ONCE)  # type: ignore[misc]
        ):
            await asyncio.to_thread(self._heads.append, [head_of(row) for row in blocks])
            height = blocks[-1].height


def read_unsealed(connection: Connection, most: int) -> Unsealed:
    """The next commits to seal, at most so many."""
    last = chain.read_last_block(connection)
    height, end, previous = (0, 0, GENESIS) if last is None else (last.height, last.to_position, last.hash)
    return Unsealed(height, end, previous, chain.read_commits(connection, end, most))


def make_block(unsealed: Unsealed, signer: Signer, now: Instant) -> BlockRow:
    """The signed block over them. Raises `conflict` where a position is missing: a gap is not sealed over."""
    commits = unsealed.commits
    first, last = unsealed.to_position + 1, commits[-1].position
    if last - first + 1 != len(commits):
        raise conflict(
            "positions_missing",
            f"Commits between the positions {first} and {last} are missing; run `nervio ledger verify`.",
            first=first,
            last=last,
        )
    height = unsealed.height + 1
    block = BlockHash(height, unsealed.hash, first, last)
    block.add(commit_lines((commit.position, commit.seq, commit.id, commit.digest) for commit in commits))
    value = block.value()
    signature = signer.sign(signed_text(height, last, value, now))
    return BlockRow(height, first, last, unsealed.hash, value, now, signer.public_key, signature)


def add_block(connection: Connection, block: BlockRow, token: int) -> None:
    """Adds a block to the end of the chain. Raises `conflict` lease_lost when another sealer has taken over.

    The token's row stays locked until the commit, so of two sealers one is refused and the chain cannot fork.
    """
    leases.check(connection, LEASE, token)
    last = chain.read_last_block(connection)
    height, end, value = (0, 0, GENESIS) if last is None else (last.height, last.to_position, last.hash)
    if (height, end, value) != (block.height - 1, block.from_position - 1, block.previous):
        raise conflict("lease_lost", "The chain has grown since this block was made.", height=height)
    chain.insert_block(connection, block)

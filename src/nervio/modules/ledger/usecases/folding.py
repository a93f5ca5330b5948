"""Moves the snapshot of money balances forward, so that reading a balance adds up the last seconds only."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from nervio.db import leases
from nervio.db.context import Ctx
from nervio.modules.ledger.contracts import BALANCES_CURSOR
from nervio.modules.ledger.store import balances, chain
from nervio.modules.ledger.usecases.leading import Leading

LEASE = "ledger.balances"
COMMITS_AT_ONCE = 500
_LEASE_SECONDS = 15.0

Sums = Sequence[tuple[str, str, str, int]]


class BalancesFold:
    """Adds numbered commits to the snapshot, one leader at a time."""

    def __init__(self, commits_at_once: int = COMMITS_AT_ONCE) -> None:
        self._most = commits_at_once
        self._leading = Leading(LEASE, _LEASE_SECONDS, self._fold_all)

    async def run(self, ctx: Ctx) -> int:
        """Folds everything there is; returns how many commits that were."""
        return await self._leading.run(ctx)

    async def close(self, ctx: Ctx) -> None:
        """Lets another process lead."""
        await self._leading.close(ctx)

    async def _fold_all(self, ctx: Ctx, token: int, _is_new: bool) -> int:
        folded = 0
        while True:
            first, last, sums = await ctx.database.read(lambda c: read_next(c, self._most))
            if last < first:
                return folded
            await ctx.database.bookkeep(
                "fold_balances",
                lambda c, first=first, last=last, sums=sums: add(c, first, last, sums, token),  # type: ignore[misc]
            )
            folded += last - first + 1
            if last - first + 1 < self._most:
                # What was committed meanwhile waits for the next run: chasing a busy writer would be a commit for each of
                # its commits, with every sale waiting for it.
                return folded


def read_next(connection: Connection, most: int) -> tuple[int, int, Sums]:
    """The next positions to fold (none when the last is below the first) and the sums of their postings. Numbered
    commits never change, so this needs no lock and keeps no writer waiting."""
    first = leases.read_cursor(connection, BALANCES_CURSOR) + 1
    last = chain.read_last_position(connection, first - 1, most)
    return first, last, balances.sum_money(connection, first, last) if last >= first else ()


def add(connection: Connection, first: int, last: int, sums: Sums, token: int) -> None:
    """Adds the sums and moves the cursor in one transaction. Raises `conflict` lease_lost when another process leads."""
    leases.check(connection, LEASE, token)
    if leases.read_cursor(connection, BALANCES_CURSOR) == first - 1:
        leases.move_cursor(connection, BALANCES_CURSOR, last, token)
        balances.add_to_balances(connection, sums)

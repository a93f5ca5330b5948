"""Verifies the seal while the shop is open, without end: at once what was sealed last, little by little everything else."""

from __future__ import annotations

from sqlalchemy import Connection

from nervio.db.context import Ctx
from nervio.modules.ledger.contracts import Finding, Sealing
from nervio.modules.ledger.domain import GENESIS
from nervio.modules.ledger.store import chain
from nervio.modules.ledger.store.chain import BlockRow
from nervio.modules.ledger.usecases.audit import Audit
from nervio.modules.ledger.usecases.heads import read_heads
from nervio.ports.probes import Question, Reading

LOOK_SECONDS = 10.0
ENTRIES_A_STEP = 1_000
ENTRIES_A_LOOK = 5_000
"""What a look reads at most, and a step more: a sixth of a second of work in steps of some milliseconds, each a read of its own.
A busy shop seals less between two looks, and a small one has no more."""
LEAST_A_STEP = 50
"""What a step counts that reads no entries."""
GAP_SECONDS = 60.0
"""After a rest of so long others may have looked, and what is remembered here may be true no more."""
BLOCKS_LOOKED_BACK = 50
"""Where a process begins that was not there before; what is older waits for the walk through everything."""

_BEFORE_THE_FIRST = BlockRow(0, 0, 0, b"", GENESIS, 0, b"", b"")

Places = dict[tuple[str, str], Finding]


class ChainWatch:
    """Finds where the journal does not agree with its seal. One a process; all tenants share the journal and what it found.

    What was sealed since the last look is verified in the look, as far as a look goes. With what is left of it, it walks
    through the whole journal, the saved heads and the balances, again and again; so a change of old rows is found after as
    many looks as the journal has thousands of entries, or fewer. What was found stands until a whole walk that began
    after it finds it no more.
    """

    def __init__(self, sealing: Sealing) -> None:
        self._heads_path, self._keys = sealing.heads_path, [sealing.signer.public_key]
        self._looked_at = float("-inf")
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._since: BlockRow | None = None
        self._newest = _BEFORE_THE_FIRST
        self._recent: Audit | None = None
        self._whole: Audit | None = None
        self._walks = 0
        self._known: Places = {}
        self._fresh: Places = {}

    async def read(self, ctx: Ctx, question: Question) -> list[Reading]:
        """One reading: at how many places the journal is not what was sealed. Before a process has walked through all of it
        once, a rule that stands tripped is told to stand: nobody here knows what it had tripped on."""
        at = ctx.clock.monotonic()
        if at - self._looked_at > GAP_SECONDS:
            self._begin_anew()
        if at - self._looked_at >= LOOK_SECONDS / 2:
            # Asked for every tenant in turn, and once is enough for all.
            await self._look(ctx)
            self._looked_at = at
        found = self._found()
        value = len(found)
        if not found and not self._walks and question.subjects:
            value = question.bound
        shown = sorted(one.where for one in found.values() if one.tenant_id in {"", ctx.tenant_id})
        return [Reading("", value, figures={"first": shown[0] if shown else "—"})]

    def _found(self) -> Places:
        return {**self._known, **self._fresh, **_recent_places(self._recent), **_places(self._whole)}

    async def _look(self, ctx: Ctx) -> None:
        left = ENTRIES_A_LOOK
        # The walk has its turn in every look, so that a backlog of new blocks does not keep it from going on.
        while left > LEAST_A_STEP and (read := await ctx.database.read(self._step_recent)):
            left -= read
        while left > 0:
            if self._whole is None:
                # Before the database is read; see `read_heads`.
                self._whole = Audit(read_heads(self._heads_path), self._keys, ENTRIES_A_STEP)
            before = self._whole.entries
            if not await ctx.database.read(self._whole.step):
                self._end_walk(self._whole)
                return
            left -= max(self._whole.entries - before, LEAST_A_STEP)

    def _step_recent(self, connection: Connection) -> int:
        """A step through what was sealed last; what it counts as, 0 when that was all."""
        if self._recent is None:
            self._newest = chain.read_last_block(connection) or _BEFORE_THE_FIRST
            if self._since is None:
                self._since = _some_before(connection, self._newest)
            if self._newest == self._since:
                return 0
            self._recent = Audit((), self._keys, ENTRIES_A_STEP, since=self._since)
        before = self._recent.entries
        if self._recent.step(connection):
            return max(self._recent.entries - before, LEAST_A_STEP)
        self._fresh |= _recent_places(self._recent)
        # A chain that was cut off is told of by the walk through everything from here on.
        self._since, self._recent = self._newest, None
        return 0

    def _end_walk(self, walk: Audit) -> None:
        self._walks += 1
        self._known = {**_places(walk), **self._fresh}
        self._fresh, self._whole = {}, None


def _some_before(connection: Connection, newest: BlockRow) -> BlockRow:
    height = newest.height - BLOCKS_LOOKED_BACK
    return (chain.find_block(connection, height) if height > 0 else None) or _BEFORE_THE_FIRST


def _recent_places(audit: Audit | None) -> Places:
    """Who may have signed is told by the saved heads, which only the walk through everything reads."""
    return {key: one for key, one in _places(audit).items() if one.code != "block_key"}


def _places(audit: Audit | None) -> Places:
    return {} if audit is None else {(one.code, one.where): one for one in audit.findings.kept}

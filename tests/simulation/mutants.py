"""Races that are known from other shops' software, as patches that plant them in ours.

A patch replaces text that must be there exactly once: when the product has changed under it, planting fails loudly and
somebody has to look whether the race can still be planted, and how.
"""

from tests.simulation import truth
from tests.simulation.mutants_of_parts import MUTANTS_OF_PARTS
from tests.simulation.planted import DoesNotApply, Mutant, Patch

MUTANTS = {
    mutant.name: mutant
    for mutant in (
        Mutant(
            "concurrent_reservation",
            "medusa#16569: reservations that check at the same moment all find the last unit",
            (Patch("modules/stock/store.py", "return dialect.lock(statement, stock_levels)", "return statement"),),
            (truth.VERDICT, truth.LEVELS),
        ),
        Mutant(
            "unsummed_lines",
            "medusa#16502: two lines of one item are checked one by one",
            (
                Patch(
                    "modules/stock/usecases/holds.py",
                    "wanted[product.id] = (product, quantity + line.quantity)",
                    "wanted[product.id] = (product, max(quantity, line.quantity))",
                ),
            ),
            (truth.VERDICT, truth.LEVELS),
        ),
        Mutant(
            "lock_order_inverted",
            "rows are locked in the order in which a request names them",
            (
                Patch(
                    "modules/stock/book.py",
                    "missing = sorted(self._wanted.keys() - self.levels.keys())\n",
                    "missing = [key for key in self._wanted if key not in self.levels]\n",
                ),
                Patch(
                    "modules/stock/store.py",
                    ".join_from(k, stock_levels, _same_level(k, _L))\n        .order_by(*_LEVEL_KEY)",
                    ".join_from(k, stock_levels, _same_level(k, _L))",
                ),
            ),
            (truth.ORDER_OF_LOCKS,),
        ),
        Mutant(
            "duplicate_level_row",
            "odoo#272560: first movements at the same moment each make a level of their own",
            (
                Patch(
                    "modules/stock/store.py",
                    "        if found and dialect.locks_rows:\n            raise RowsFirst\n"
                    "        dialect.insert_missing(connection, _empty_levels(missing))\n",
                    "        dialect.apply(connection, [_empty_levels(missing)])\n",
                ),
            ),
            (truth.ONE_ROW, truth.LEVELS, truth.VERDICT),
            (
                "CREATE TABLE without_key AS SELECT * FROM stock_levels",
                "DROP TABLE stock_levels",
                "ALTER TABLE without_key RENAME TO stock_levels",
                # A lot that refers to a key which is gone could never be written, and anybody would see that.
                (
                    "CREATE TABLE lots_of_their_own (tenant_id TEXT, location_id TEXT, product_id TEXT, lot TEXT, "
                    "expires_on TEXT, on_hand BIGINT NOT NULL CHECK (on_hand >= 0), "
                    "PRIMARY KEY (tenant_id, location_id, product_id, lot)) WITHOUT ROWID"
                ),
                "DROP TABLE stock_lots",
                "ALTER TABLE lots_of_their_own RENAME TO stock_lots",
            ),
        ),
        Mutant(
            "check_outside_transaction",
            "what is available is looked up before the transaction that takes it",
            (
                Patch(
                    "db/execution.py",
                    "                outcomes = _execute_once(batch, commands)\n",
                    "                flush, batch.flush = batch.flush, lambda *told: setattr(batch, 'late', told)\n"
                    "                outcomes = _execute_once(batch, commands)\n"
                    "            with dialect.fenced(connection, exclusive):\n"
                    "                if hasattr(batch, 'late'):\n"
                    "                    flush(*batch.late)\n",
                ),
            ),
            (truth.VERDICT, truth.LEVELS, truth.ONE_ANSWER, truth.STOPPED),
        ),
        Mutant(
            "hold_swept_while_claimed",
            "the sweeper and a claim both find the hold active",
            (
                Patch(
                    "modules/stock/book.py",
                    "        self.holds.update(store.read_holds(batch.connection, batch.dialect, wanted, lock=True))\n",
                    "",
                ),
            ),
            (truth.VERDICT, truth.LEVELS, truth.NO_BUGS),
        ),
        Mutant(
            "freeze_flag_cached",
            "feature flags kept for a second: writes go on after the stop was acknowledged",
            (
                Patch(
                    "db/execution.py",
                    "    active = halt_state.read_active(batch.connection, batch.now)\n",
                    "    kept = batch.connection.info.get('halts')\n"
                    "    if kept is None or abs(batch.now - kept[0]) > 1_000_000:\n"
                    "        kept = (batch.now, halt_state.read_active(batch.connection, batch.now))\n"
                    "        batch.connection.info['halts'] = kept\n"
                    "    active = kept[1]\n",
                ),
            ),
            (truth.STOPPED, truth.NOT_STOPPED),
            seed=12,
        ),
        Mutant(
            "fail_open_breaker",
            "pybreaker: a breaker whose storage was emptied counts as closed",
            (
                Patch(
                    "modules/safety/domain/breakers.py",
                    "    if breaker is None:\n        return False, opened(now)\n    state",
                    "    if breaker is None:\n        return True, CLOSED\n    state",
                ),
            ),
            (truth.FAILS_SAFE,),
            seed=11,
        ),
        Mutant(
            "published_before_commit",
            "a fact is on the bus before it is true, and stays there when the commit fails",
            (
                Patch(
                    "db/execution.py",
                    "                outcomes = _execute_once(batch, commands)\n",
                    "                outcomes = _execute_once(batch, commands)\n"
                    "                for write in batch.writes:\n"
                    "                    if write.table.name == 'outbox' and 'publish' in connection.info:\n"
                    "                        connection.info['publish'](write.rows)\n",
                ),
            ),
            (truth.ONLY_FACTS,),
        ),
        Mutant(
            "release_by_non_owner",
            "redis: DEL of a lock that has run out and belongs to somebody else by now",
            (
                Patch(
                    "db/leases.py",
                    "update(leases).where(leases.c.name == name, leases.c.owner == owner).values(expires_at=0)",
                    "update(leases).where(leases.c.name == name).values(expires_at=0)",
                ),
            ),
            (truth.ONE_HOLDER,),
        ),
        *MUTANTS_OF_PARTS,
    )
}

KNOWN_RACES = tuple(MUTANTS)[: -len(MUTANTS_OF_PARTS)]
"""Those of shops; the others are of the product's own parts."""

__all__ = ["KNOWN_RACES", "MUTANTS", "DoesNotApply", "Mutant", "Patch"]

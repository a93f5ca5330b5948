"""The stock book: levels, lots and holds of a batch, locked, changed in memory, flushed together.

Every change is kept in an undo log, so that a refused ticket takes back its lines and nothing else.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable

from nervio.db.batch import Batch, Book
from nervio.db.writes import Insert, LockedTooFew, Update
from nervio.kernel.errors import conflict
from nervio.kernel.quantity import LARGEST, UNIT
from nervio.modules.identity import api as identity
from nervio.modules.stock import store
from nervio.modules.stock.contracts import HoldState, Shortage
from nervio.modules.stock.domain import (
    HoldKey,
    HoldRecord,
    LevelKey,
    LevelState,
    LotState,
    earlier,
    first_expired_first_out,
    fit_to_sell,
)
from nervio.modules.stock.models import stock_hold_lines, stock_holds, stock_levels, stock_lots

Undo = tuple[LevelState, int, int] | Callable[[], object]
"""What was added to a level's on hand and reserved, or how to take back anything rarer. Levels change on every line of
every sale, and a tuple is made several times faster than a closure."""


class StockBook(Book):
    """Declare keys with the `want_` methods while resolving; take, put and reserve while deciding."""

    lock_name = "level"

    def __init__(self) -> None:
        self._wanted: dict[LevelKey, bool] = {}
        self._with_lots: set[LevelKey] = set()
        self._with_holds: set[LevelKey] = set()
        self._with_dates: set[LevelKey] = set()
        self.levels: dict[LevelKey, LevelState] = {}
        self.lots: dict[LevelKey, dict[str, LotState]] = {}
        self.holds: dict[HoldKey, HoldRecord] = {}
        self._wanted_holds: set[HoldKey] = set()
        self._locked_holds: set[HoldKey] = set()
        self._changed: set[LevelKey] = set()
        self._changed_lots: set[tuple[str, str, str, str]] = set()
        self._stored_lots: set[tuple[str, str, str, str]] = set()
        self._changed_holds: set[HoldKey] = set()
        self._corrected: set[tuple[LevelKey, str, str]] = set()
        self._days: dict[str, str] = {}
        self._dates: dict[tuple[str, str, str, str], str | None] = {}
        self._undo: list[Undo] = []

    def want_level(self, key: LevelKey, allow_negative: bool, *, lots: bool = False, holds: bool = False) -> None:
        """Declares a level; `lots` loads its lots, `holds` the active holds that promise some of it."""
        self._wanted.setdefault(key, allow_negative)
        if lots:
            self._with_lots.add(key)
        if holds:
            self._with_holds.add(key)

    def want_lot_dates(self, keys: Iterable[LevelKey]) -> None:
        """Declares levels of whose lots only the expiry dates are asked; they are not locked."""
        self._with_dates.update(keys)

    def want_holds(self, batch: Batch, keys: Iterable[HoldKey]) -> None:
        """Declares holds and reads them, because their lines name the levels to declare. They are locked after the levels, with
        those that a count asks for, and what they have become by then is read again."""
        found = store.read_holds(batch.connection, batch.dialect, sorted(set(keys) - self.holds.keys()))
        self.holds.update(found)
        self._wanted_holds.update(found)

    def open(self, batch: Batch) -> None:
        self._find_promising_holds(batch)
        self._lock_levels(batch)
        # A hold that was placed before the levels were locked, but after the holds were read, is a hold like any other: with
        # the levels locked none can be added any more, so the second look is the last.
        if self._find_promising_holds(batch):
            if batch.dialect.locks_rows and self._wanted.keys() - self.levels.keys():
                raise LockedTooFew  # its other lines are of levels that belong before some that are locked already
            self._lock_levels(batch)
        wanted = sorted(self._wanted_holds - self._locked_holds)
        self.holds.update(store.read_holds(batch.connection, batch.dialect, wanted, lock=True))
        self._locked_holds.update(wanted)
        if self._with_lots:
            for key, lot in store.lock_lots(batch.connection, batch.dialect, sorted(self._with_lots)):
                self.lots.setdefault(key, {})[lot.lot] = lot
                self._stored_lots.add((*key, lot.lot))
            zones = identity.find_time_zones(batch, {key[0] for key in self._with_lots})
            self._days = {tenant_id: batch.day_in(zone) for tenant_id, zone in zones.items()}

        if self._with_dates:
            self._dates = store.read_lot_dates(batch.connection, batch.dialect, sorted(self._with_dates))

    def expiry_of(self, key: LevelKey, lot: str) -> str | None:
        """When units of a lot expire, by the lots of this batch or by the dates that were declared."""
        known = self.lots.get(key, {}).get(lot)
        return self._dates.get((*key, lot)) if known is None else known.expires_on

    def today_of(self, tenant_id: str) -> str:
        """The day it is in the tenant's shop, by which its lots expire; empty where no lot of it was declared."""
        return self._days.get(tenant_id, "")

    def take(
        self, key: LevelKey, quantity: int, by_lot: bool, today: str, lot: str = "", *, promised: bool = False
    ) -> list[tuple[str, int]]:
        """Takes units nobody was promised; returns (lot, quantity) picks. Changes nothing when it raises Short.

        `promised` says that they come out of a hold, which others' holds of units that have expired since cannot block.
        """
        if not self.levels[key].can_give(quantity):
            raise self._short(key, quantity, by_lot, today)
        picks = [("", quantity)]
        if by_lot:
            if not promised:
                self._check_fit(key, quantity, today)
            picks = self._pick_lots(key, quantity, today, lot)
        self._change_level(key, -quantity, 0)
        return picks

    def put(self, key: LevelKey, quantity: int, lot: str = "", expires_on: str | None = None) -> None:
        """Adds units, to a lot where one is named. Units of one lot that claim two expiry dates expire on the earlier."""
        self._change_level(key, quantity, 0)
        if lot:
            lots = self.lots.setdefault(key, {})
            if lot not in lots:
                lots[lot] = LotState(lot, expires_on, 0)
                self._undo.append(functools.partial(lots.pop, lot))
            self._date_lot(lots[lot], expires_on)
            self._change_lot(key, lots[lot], quantity)

    def reserve(self, key: LevelKey, quantity: int, by_lot: bool, today: str) -> None:
        """Promises units that may be sold. Changes nothing when it raises Short."""
        if not self.levels[key].can_give(quantity):
            raise self._short(key, quantity, by_lot, today)
        if by_lot:
            self._check_fit(key, quantity, today)
        self._change_level(key, 0, quantity)

    def unreserve(self, key: LevelKey, quantity: int) -> None:
        """Takes a promise back."""
        assert self.levels[key].reserved >= quantity
        self._change_level(key, 0, -quantity)

    def adjust(self, key: LevelKey, difference: int, lot: str = "") -> None:
        """Corrects what is on hand by a signed difference that was checked before."""
        self._change_level(key, difference, 0)
        if lot:
            self._change_lot(key, self.lots[key][lot], difference)

    def correct_reserved(self, key: LevelKey, difference: int) -> None:
        """Brings what is promised nearer to what the active holds add up to."""
        self._change_level(key, 0, difference)

    def correct_lot(self, key: LevelKey, lot: str, difference: int) -> None:
        """Corrects a lot alone, where it is the lot that does not agree with the journal."""
        lots = self.lots.setdefault(key, {})
        if lot not in lots:
            lots[lot] = LotState(lot, None, 0)
            self._undo.append(functools.partial(lots.pop, lot))
        self._change_lot(key, lots[lot], difference)

    def mark_corrected(self, key: LevelKey, invariant: str, lot: str) -> bool:
        """Claims a correction; False where an earlier command of the batch made it, which the store does not show yet."""
        name = (key, invariant, lot)
        if name in self._corrected:
            return False
        self._corrected.add(name)
        self._undo.append(functools.partial(self._corrected.discard, name))
        return True

    def set_critical_level(self, key: LevelKey, critical_level: int | None) -> None:
        """Sets or clears the critical level."""
        level = self.levels[key]
        before = level.critical_level
        level.critical_level = critical_level
        self._changed.add(key)
        self._undo.append(lambda: setattr(level, "critical_level", before))

    def add_hold(self, key: HoldKey, hold: HoldRecord) -> None:
        """Adds a new hold whose units are reserved already."""
        self.holds[key] = hold
        self._changed_holds.add(key)
        self._undo.append(functools.partial(self.holds.pop, key))

    def settle_hold(self, key: HoldKey, state: HoldState) -> None:
        """Moves a hold to its final state; the caller settles its units."""
        hold = self.holds[key]
        before = hold.state
        hold.state = state
        self._changed_holds.add(key)
        self._undo.append(lambda: setattr(hold, "state", before))

    def active_holds_on(self, key: LevelKey) -> list[tuple[str, int]]:
        """(hold id, units promised) of the level's active holds, newest first."""
        tenant_id, location_id, product_id = key
        found = [
            (hold.created_at, hold_id, hold.lines[product_id])
            for (tenant, hold_id), hold in self.holds.items()
            if tenant == tenant_id
            and hold.state is HoldState.ACTIVE
            and hold.location_id == location_id
            and product_id in hold.lines
        ]
        return [(hold_id, quantity) for _, hold_id, quantity in sorted(found, reverse=True)]

    def mark(self) -> int:
        return len(self._undo)

    def rollback(self, mark: int | None) -> None:
        while len(self._undo) > (mark or 0):
            undo = self._undo.pop()
            if isinstance(undo, tuple):
                level, on_hand, reserved = undo
                level.on_hand -= on_hand
                level.reserved -= reserved
            else:
                undo()

    def flush(self, batch: Batch) -> None:
        levels = [
            (*key, level.on_hand, level.reserved, level.critical_level)
            for key, level in ((key, self.levels[key]) for key in self._changed)
        ]
        key = ("tenant_id", "location_id", "product_id")
        batch.writes.append(Update(stock_levels, key, ("on_hand", "reserved", "critical_level"), levels))
        self._flush_lots(batch)
        self._flush_holds(batch)

    def _flush_lots(self, batch: Batch) -> None:
        if not self._changed_lots:
            return
        added, changed = [], []
        for lot_key in sorted(self._changed_lots):
            state = self.lots.get(lot_key[:3], {}).get(lot_key[3])
            if state is None:
                continue  # added by a command that was then refused
            if lot_key in self._stored_lots:
                changed.append((*lot_key, state.expires_on, state.on_hand))
            else:
                added.append((*lot_key, state.expires_on, state.on_hand))
        key = ("tenant_id", "location_id", "product_id", "lot")
        batch.writes.append(Insert(stock_lots, (*key, "expires_on", "on_hand"), added))
        batch.writes.append(Update(stock_lots, key, ("expires_on", "on_hand"), changed))

    def _flush_holds(self, batch: Batch) -> None:
        if not self._changed_holds:
            return
        added, lines, settled = [], [], []
        for tenant_id, hold_id in sorted(self._changed_holds):
            hold = self.holds.get((tenant_id, hold_id))
            if hold is None:
                continue
            if hold.is_new:
                row = (tenant_id, hold_id, hold.location_id, hold.state.value, hold.reference)
                added.append((*row, hold.created_at, hold.expires_at))
                lines.extend([(tenant_id, hold_id, product, quantity) for product, quantity in hold.lines.items()])
            else:
                settled.append((tenant_id, hold_id, hold.state.value))
        columns = ("tenant_id", "id", "location_id", "state", "reference", "created_at", "expires_at")
        batch.writes.append(Insert(stock_holds, columns, added))
        batch.writes.append(Insert(stock_hold_lines, ("tenant_id", "hold_id", "product_id", "quantity"), lines))
        batch.writes.append(Update(stock_holds, ("tenant_id", "id"), ("state",), settled))

    def _lock_levels(self, batch: Batch) -> None:
        missing = sorted(self._wanted.keys() - self.levels.keys())
        if missing:
            rows = [(*key, self._wanted[key]) for key in missing]
            found = store.lock_levels(batch.connection, batch.dialect, rows, rows_first=batch.rows_first)
            self.levels.update(found)

    def _find_promising_holds(self, batch: Batch) -> bool:
        """Reads the holds that a count may break, and declares them; whether there were any that were not known."""
        if not self._with_holds:
            return False
        promising = store.find_holds_on(batch.connection, batch.dialect, sorted(self._with_holds))
        self._wanted_holds.update(promising)
        fresh = store.read_holds(batch.connection, batch.dialect, sorted(set(promising) - self.holds.keys()))
        self.holds.update(fresh)
        for (tenant_id, _), hold in fresh.items():
            # A hold that breaks gives back its other lines too.
            for product_id in hold.lines:
                self._wanted.setdefault((tenant_id, hold.location_id, product_id), False)
        return bool(fresh)

    def _pick_lots(self, key: LevelKey, quantity: int, today: str, named: str) -> list[tuple[str, int]]:
        lots = self.lots.get(key, {})
        candidates = [lots[named]] if named in lots else ([] if named else list(lots.values()))
        picks = first_expired_first_out(candidates, quantity, today)
        if picks is None:
            expired = sum(lot.on_hand for lot in candidates if lot.is_expired(today))
            raise Short(Shortage("", quantity, fit_to_sell(candidates, today), expired))
        for lot, share in picks:
            self._change_lot(key, lot, -share)
        return [(lot.lot, share) for lot, share in picks]

    def _check_fit(self, key: LevelKey, quantity: int, today: str) -> None:
        """Expired units cover no promise: what may be sold, less what is promised, must cover the quantity."""
        if fit_to_sell(self.lots.get(key, {}).values(), today) - self.levels[key].reserved < quantity:
            raise self._short(key, quantity, True, today)

    def _short(self, key: LevelKey, quantity: int, by_lot: bool, today: str) -> Short:
        available, lots = self.levels[key].available, self.lots.get(key, {}).values()
        if not by_lot:
            return Short(Shortage("", quantity, available))
        fit = fit_to_sell(lots, today)
        expired = sum(lot.on_hand for lot in lots) - fit
        return Short(Shortage("", quantity, max(0, min(available, fit - self.levels[key].reserved)), expired))

    def _change_level(self, key: LevelKey, on_hand: int, reserved: int) -> None:
        level = self.levels[key]
        level.on_hand += on_hand
        level.reserved += reserved
        if not -LARGEST <= level.on_hand <= LARGEST or level.reserved > LARGEST:
            level.on_hand -= on_hand
            level.reserved -= reserved
            raise conflict("level_out_of_range", f"No level may exceed {LARGEST // UNIT} units.", product_id=key[2])
        self._changed.add(key)
        self._undo.append((level, on_hand, reserved))

    def _date_lot(self, lot: LotState, expires_on: str | None) -> None:
        before = lot.expires_on
        lot.expires_on = earlier(before, expires_on) if lot.on_hand else expires_on or before
        if lot.expires_on != before:
            self._undo.append(lambda: setattr(lot, "expires_on", before))

    def _change_lot(self, key: LevelKey, lot: LotState, difference: int) -> None:
        lot.on_hand += difference
        self._changed_lots.add((*key, lot.lot))

        def undo() -> None:
            lot.on_hand -= difference

        self._undo.append(undo)


class Short(Exception):
    """There is less than was asked for. Caught by the use case, which knows what the product is called."""

    def __init__(self, shortage: Shortage) -> None:
        super().__init__(shortage)
        self.shortage = shortage

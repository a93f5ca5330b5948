"""What takes part in `python -m bench stock`: one way of selling a unit, and what it must do to be compared.

The same durable work for each that claims durability (`durable = True`), in one commit that is on disk before `sell`
answers True: (1) the idempotency key is stored uniquely, (2) one movement row is appended, (3) the level goes down by one
unit. A level never goes below zero. Refusing (False) needs no write.

Ours is four contenders, in `bench/stock/ours.py`, listed in `bench/stock/entries.py` with `ours=True`:

    ours_sqlite         the library on SQLite, as shipped (WAL, synchronous=FULL), the database in `workdir`
    ours_postgres       the library on PostgreSQL, in a database of its own made by `bench.stock.database.create`
    ours_sqlite_http    the hot sale route of a server process on SQLite, by `bench.stock.wire.Client`
    ours_postgres_http  the same on PostgreSQL

They go through the public api function (or route) of a sale of one unit of one product, with fence, idempotency, journal and
outbox on and `key` as its idempotency key; nothing of the write path is switched off. The background roles (sealer,
relay) run as they do in `nervio up`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class UnavailableError(Exception):
    """A contender cannot run here; the text says what is missing and goes into the table."""


@dataclass(frozen=True)
class Audit:
    """What a contender's own records say since `prepare`, read from its store and not from counters in memory.

    `sold` is units sold per SKU by its levels (units there were less units on hand now); `movements` is the number of
    movement rows of sales, None for a contender that keeps none.
    """

    sold: Sequence[int]
    movements: int | None


class Contender(Protocol):
    """One way of selling. Methods are called from one event loop: start, (prepare, sell…, audit)…, stop."""

    @property
    def durable(self) -> bool:
        """Whether a sale that was answered survives a crash of every process and of the machine."""

    async def start(self, workdir: Path) -> None:
        """Bring up what is needed (own database, server process); raises UnavailableError with the reason.

        `workdir` is an empty directory of this contender, removed afterwards. Not measured.
        """

    async def prepare(self, units: Sequence[int]) -> None:
        """Make SKU i exist with `units[i]` units on hand (whole units) and forget all that went before. Not measured.

        Called several times between start and stop. It may leave old rows in place as long as `audit` counts only what
        came after it.
        """

    async def sell(self, sku_index: int, key: str) -> bool:
        """Sell one unit: True when sold (and durable, if it claims that), False when refused for want of units.

        `key` is unique to the sale, a UUID in canonical text. Called again with a key that was sold it must answer True
        and change nothing. Called by hundreds of callers at once; a single caller must not wait for others to come.
        Any exception counts as a failure of unknown outcome. This is the only measured method: no work that a real
        caller would not do, and no batching outside of the contender's own write path.
        """

    async def audit(self) -> Audit:
        """Read what the records say; called when no sale is under way."""

    async def stop(self) -> None:
        """Stop processes, close connections, drop the database; called once, also when `start` failed half-way."""


@dataclass(frozen=True)
class Entry:
    """A line of the table of contenders. `make` is called once a round, so each round starts afresh."""

    name: str
    make: Callable[[], Contender]
    ours: bool = False
    # A correctness example sells too many by design; it takes part in the race for the last units only.
    example_only: bool = False
    # Takes part in the loads on a slower disk, which only PostgreSQL can play.
    slow_disk: bool = False
    # Takes too long to come up for a run of under a minute.
    full_only: bool = False
    remark: str = ""

"""Commands, the operations that decide them, and the batch in which many of them share one commit."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import zip_longest
from typing import Any, Generic, TypeVar
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import Connection

from nervio.db.dialects import Dialect
from nervio.db.idempotency import answers_to_store
from nervio.db.receipts import receipts_to_store
from nervio.db.steps import Step
from nervio.db.tables import outbox
from nervio.db.writes import Insert, Row, Write
from nervio.kernel.ids import new_id, new_ids
from nervio.kernel.time import Instant, to_datetime
from nervio.ports.lock import Fence

LOCK_ORDER = ("identity", "catalog", "ticket", "hold", "level", "queue", "usage", "answer", "limits", "spend", "ledger")
"""Books open, and so lock their rows, in this order and flush in it; inside a book rows are locked sorted by key."""


class Lane(StrEnum):
    """Queues that do not wait for each other: a checkout never stands behind an import."""

    TILL = "till"
    BULK = "bulk"
    FLEET = "fleet"
    JOBS = "jobs"


class Effect(StrEnum):
    """What an operation does to the risk the shop runs; a halt's level says which effects still pass."""

    INCREASE = "increase"
    """Commits stock or money: sales, holds, orders, changes of master data."""
    REDUCE = "reduce"
    """Gives stock or money back: returns, releases, cancellations."""
    CONTROL = "control"
    """Passes every halt: the stop itself and what keeps the proof of it. The literal list is `PASSES_THE_FENCE`."""


PASSES_THE_FENCE = frozenset(
    {
        "safety.freeze",
        "safety.unfreeze",
        # Pausing what spends money, finding out whether it did, and telling people is what one does during a stop.
        "safety.book_pause",
        "safety.claim_actions",
        "safety.record_action",
        "safety.escalate_actions",
        "safety.raise_alert",
        "safety.claim_deliveries",
        "safety.record_delivery",
        "safety.advance",
        "safety.settle",
        "safety.save_policy",
        "safety.record_trip",
        "safety.record_clear",
        "safety.record_deed",
        "safety.change_rule",
        "safety.finish_drill",
        # What was paid for is not to be lost, and work that nobody wants any more may always end. A stop is about beginning.
        "fleet.record_attempts",
        "fleet.recover",
        # The same of background jobs: how far one has come, and that it is parked or has ended. Its steps are refused.
        "jobs.checkpoint",
        "jobs.record",
        "jobs.recover",
        "identity.bootstrap",
        "identity.log_in",
        "identity.log_out",
    }
)
"""Operations that may commit during a stop."""

BOOKKEEPING = frozenset(
    {
        "halt_seen",
        "lease",
        "sequence",
        "relay_mark",
        "handlers",
        "seal",
        "fold_balances",
        "receive",
        "prune",
        "throttle",
        "count_requests",
        "worker_states",
    }
)
"""Transactions of the layer's own mechanics, which write no new facts and so pass the fence as well (`prune` alone looks
for a stop by itself and waits)."""

IDS_AT_ONCE = 16

B = TypeVar("B")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Operation(Generic[B, R]):
    """One kind of command: `resolve` reads what a set of commands needs, `decide` settles one of them on the books.

    `resolve(batch, commands)` may query, and declares rows on the books; `decide(batch, command)` works in memory. An
    operation that is `direct` may also run statements in `decide` and is wrapped in a savepoint (rare, small writes).
    """

    name: str
    effect: Effect
    body_type: type[B]
    reply_type: type[R]
    decide: Callable[[Batch, Command[B, R]], R]
    resolve: Callable[[Batch, Sequence[Command[B, R]]], None] | None = None
    direct: bool = False
    touches: tuple[str, ...] = ()
    """Other modules whose books it writes: a halt of one of them stops it as well."""
    enqueues: str = ""
    """The queue in which it may leave work to be done: whoever works that off is woken."""

    def __post_init__(self) -> None:
        assert (self.effect is Effect.CONTROL) == (self.name in PASSES_THE_FENCE), self.name

    @property
    def module(self) -> str:
        """The module that owns the operation; halts may name it."""
        return self.name.partition(".")[0]

    def writes_to(self, module: str) -> bool:
        """Whether it writes what that module owns."""
        return module == self.module or module in self.touches


@dataclass(slots=True, eq=False)
class Command(Generic[B, R]):
    """A request to write: who, for which tenant, under which idempotency key, and the body.

    `key` None means that the command is idempotent by itself and its reply need not be remembered.
    `weight` is its size in lines, for the estimate of a batch's time.
    """

    operation: Operation[B, R]
    tenant_id: str
    actor_id: str
    key: str | None
    body: B
    location_id: str | None = None
    """Where it happens. May be left to `resolve`; still None after it, a halt of any location covers the command."""
    to_location_id: str | None = None
    """The other place of a transfer."""
    weight: int = 1
    lane: Lane = Lane.TILL
    receipt: tuple[str, str] | None = None
    """(handler, event id) where it is the effect of an event: the inbox row is written with it, and a second delivery gets
    the first one's reply from there."""
    fences: tuple[Fence, ...] = ()
    """Leases it is written under: refused with `lease_lost` where one has a newer holder. Given by the group commit to what
    is submitted under a lock."""
    step: Step | None = None
    """The step of a background job that it is: the job's checkpoint moves with it."""
    prepared: Any = None
    """Where `resolve` leaves for `decide` what it found; never read by the caller."""
    offer: Any = None
    """What its caller holds ready for it, such as somebody who is free to do at once what it queues. No part of the request:
    the same key with another offer is the same request."""
    may_be_repeated: bool = False
    """Whether it may be sent again without a key when it is unknown whether it was committed: it finds what it did."""
    leaves_work: bool = True
    """Cleared by `decide` where nothing waits in the queue that its operation names: nobody is woken for it."""
    _body_hash: bytes | None = field(default=None, repr=False)

    @property
    def body_hash(self) -> bytes:
        """SHA-256 of the body as JSON: the same key with another body is a conflict, not a replay."""
        if self._body_hash is None:
            self._body_hash = hashlib.sha256(msgspec.json.encode(self.body)).digest()
        return self._body_hash


class Book(ABC):
    """Rows of one module, loaded and locked for a batch, changed in memory, flushed together."""

    lock_name: str

    @abstractmethod
    def open(self, batch: Batch) -> None:
        """Loads and locks every row declared so far and not yet loaded."""

    @abstractmethod
    def mark(self) -> Any:
        """A point to roll back to."""

    @abstractmethod
    def rollback(self, mark: Any) -> None:
        """Undoes every change made since the mark."""

    @abstractmethod
    def flush(self, batch: Batch) -> None:
        """Adds the book's changes to the batch's writes."""


BookType = TypeVar("BookType", bound=Book)

Mark = tuple[int, list[Any]]
"""How many facts there were, and a mark of each book in the order in which they were made."""


class Batch:
    """Everything that will be true after one commit. Lives inside one write transaction, on one thread."""

    def __init__(self, connection: Connection, dialect: Dialect, now: Instant, *, rows_first: bool = False) -> None:
        self.connection = connection
        self.dialect = dialect
        self.now = now
        self.rows_first = rows_first
        """Whether rows that are missing are made before any is locked (see `RowsFirst`)."""
        self.commit_id = new_id()
        self.writes: list[Write] = []
        self._books: dict[type[Book], Book] = {}
        self._facts: list[tuple[str, str, str, str]] = []
        self._digests: list[bytes] = []
        self._ids: list[str] = []
        self._days: dict[str, str] = {}

    def day_in(self, zone: str) -> str:
        """The calendar day of the batch on the clocks of an IANA zone, as `YYYY-MM-DD`."""
        day = self._days.get(zone)
        if day is None:
            day = self._days[zone] = to_datetime(self.now).astimezone(ZoneInfo(zone)).date().isoformat()
        return day

    def book(self, kind: type[BookType]) -> BookType:
        """The batch's one book of a kind, made on first use."""
        found = self._books.get(kind)
        if found is None:
            found = self._books[kind] = kind()
        return found  # type: ignore[return-value]

    def new_id(self) -> str:
        """A new id, growing; cheaper than one made alone."""
        if not self._ids:
            self._ids = new_ids(IDS_AT_ONCE)[::-1]
        return self._ids.pop()

    def emit(self, tenant_id: str, event_type: str, key: str, payload: object) -> None:
        """Puts a fact into the outbox. Events with the same key reach a reader in the order they became true."""
        self._facts.append((tenant_id, event_type, key, msgspec.json.encode(payload).decode()))

    def sealed_digest(self, digest: bytes) -> None:
        """Adds the digest of a journal entry to the commit's own."""
        self._digests.append(digest)

    def open_books(self) -> None:
        """Opens the books in the one order of locks."""
        for book in self._in_order():
            book.open(self)

    def mark(self) -> Mark:
        """A point to which `rollback` takes the books and the outbox."""
        return len(self._facts), [book.mark() for book in self._books.values()]

    def rollback(self, mark: Mark) -> None:
        """Undoes one command's changes; a book first used by that command goes back to its beginning."""
        facts, marks = mark
        for book, its_mark in zip_longest(self._books.values(), marks):
            book.rollback(its_mark)
        del self._facts[facts:]

    def flush(self, remembered: Sequence[Row], received: Sequence[Row] = ()) -> None:
        """Writes everything: books, outbox, replies, receipts, and the commit row last."""
        for book in self._in_order():
            book.flush(self)
        if self._facts:
            ids = new_ids(len(self._facts))
            rows = [
                (self.commit_id, n, event_id, *fact)
                for n, (event_id, fact) in enumerate(zip(ids, self._facts, strict=True))
            ]
            self.writes.append(Insert(outbox, ("commit_id", "n", "id", "tenant_id", "type", "key", "payload"), rows))
        if remembered:
            self.writes.append(answers_to_store(remembered))
        if received:
            self.writes.append(receipts_to_store(received))
        digest = commit_digest(self.commit_id, self.now, self._digests)
        row = (self.commit_id, self.now, len(self._digests), digest)
        self.writes.extend(self.dialect.insert_commit(self.connection, row))
        self.dialect.apply(self.connection, self.writes)

    def _in_order(self) -> list[Book]:
        return sorted(self._books.values(), key=lambda book: LOCK_ORDER.index(book.lock_name))


def commit_digest(commit_id: str, recorded_at: Instant, entry_digests: Sequence[bytes]) -> bytes:
    """SHA-256 over the commit's id, its time and the digests of its journal entries in order."""
    digest = hashlib.sha256(f"{commit_id}|{recorded_at}|{len(entry_digests)}|".encode())
    for entry in entry_digests:
        digest.update(entry)
    return digest.digest()


__all__ = [
    "BOOKKEEPING",
    "LOCK_ORDER",
    "PASSES_THE_FENCE",
    "Batch",
    "Book",
    "Command",
    "Effect",
    "Lane",
    "Operation",
    "commit_digest",
]

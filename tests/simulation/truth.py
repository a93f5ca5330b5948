"""What must be so. Looks at every commit as it happens, asks the slow and obvious model of a shop what the verdict should
have been, and says which promise broke."""

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nervio.db.batch import Command
from nervio.db.writes import Insert, Update
from nervio.kernel.errors import NervioError
from nervio.ports.bus import Event
from tests import oracle
from tests.oracle import OK, Deed, Document, Place, Return, Sale, Settle, Shop
from tests.performing import day
from tests.simulation.locking import WRITING, Name
from tests.simulation.model_stop import ModelStop
from tests.simulation.seeded import SeededLoop
from tests.simulation.server import Session

VERDICT = "every verdict is what the model says in the order of the commits"
LEVELS = "levels and promises are what the deeds add up to"
ONE_ROW = "a product has one level at a place"
ONE_ANSWER = "a key is answered the same way every time"
STOPPED = "nothing in the scope of a stop commits after it was acknowledged"
TWO_PEOPLE = "what takes two people takes two"
NOT_STOPPED = "nothing is refused as stopped without a stop"
ORDER_OF_LOCKS = "transactions take their locks in one order"
NO_BUGS = "no caller meets an error that is none of the shop's refusals"
ONLY_FACTS = "only what was committed is published"
ONCE = "every event has its effect once"
IN_ORDER = "events of one key have their effects in order"
ONE_HOLDER = "a lease has one holder at a time"
ONE_BELIEVES = "nobody believes to have a lock that somebody else has"
FENCED = "no write of a holder commits once the lock has another"
FOLLOWED = "a handler has the effect of every fact once, or the fact is kept as a dead letter"
FOLLOWED_IN_ORDER = "a handler has the effects of a key in order"
FAILS_SAFE = "nothing goes out while the breaker is open or its state unknown"
READ_FIRST = "what may have arrived is read back before it is sent again"
CONFIRMED = "what is confirmed is so"
SEALED = "the sealed journal verifies"
ENDS = "every caller is answered once the faults end"
SOUND = "every invariant of stock, journal and money holds"


@dataclass(frozen=True)
class Broken(Exception):
    """A promise that did not hold."""

    promise: str
    detail: str

    def __str__(self) -> str:
        return f"{self.promise}: {self.detail}"


class Truth:
    """The model beside the server."""

    def __init__(self, loop: SeededLoop, path: Path, shop: Shop) -> None:
        self.loop, self.shop = loop, shop
        self.failure: Broken | None = None
        self.deeds: dict[str, Deed] = {}
        self.answers: dict[str, str] = {}
        self.heard: dict[str, str] = {}
        self.hold_ids: dict[str, str] = {}
        self.stops: dict[str, ModelStop] = {}
        """All that were acknowledged, by their ids."""
        self.codes: dict[str, str] = {}
        self.skus: dict[str, str] = {}
        self.judged = 0
        self.raw = sqlite3.connect(path, isolation_level=None, check_same_thread=False)

    def fail(self, promise: str, detail: str) -> None:
        """Remembers the first promise that broke."""
        if self.failure is None:
            self.failure = Broken(promise, detail)
            self.loop.tell(f"BROKEN {promise}: {detail}")

    # -- at every commit ----------------------------------------------------------------------------------------------

    def committed(self, session: Session) -> None:
        """Judges a transaction that has just become true."""
        if self.failure is not None or session.commit_row is None:
            return
        if any(command.operation.name in ("safety.unfreeze", "safety.settle") for command in session.asked):
            self._check_people()
        answered, expired = _answers_in(session.writes), _expired_in(session.writes)
        self.shop.now = session.commit_row[1]
        for command in session.asked:
            # A sweep has no key; its deeds stand among the others in order of arrival.
            hold_id = getattr(command.body, "hold_id", None)
            if command.key is None and hold_id in expired:
                expired.remove(hold_id)
                self._expire(hold_id)
            elif command.key in self.deeds and command.key in answered:
                self._judge(command, answered.pop(command.key))
        if expired:
            self.fail(VERDICT, f"holds {expired} expired, and nobody had asked for it")
        if answered or self.judged:
            self._compare_levels()

    def _judge(self, command: Command[Any, Any], reply: str) -> None:
        assert command.key is not None
        key, deed = command.key, self.deeds[command.key]
        if key in self.answers:
            self.fail(ONE_ANSWER, f"{deed} was decided a second time: {reply[:80]}")
            return
        self.answers[key] = reply
        modules, places, gives_back = self._scope_of(deed)
        self.check_stops(deed, modules, places, gives_back=gives_back)
        said = verdict_in(reply)
        expected = self.shop.do(deed, day(self.shop))
        self.judged += 1
        self.loop.tell(f"{key} {_short(deed)} = {said}")
        if said != expected:
            self.fail(VERDICT, f"{deed} was answered {said!r}, the model says {expected!r}")
        elif isinstance(deed, Place) and said == OK:
            hold_id = json.loads(reply)["reply"]["hold_id"]
            self.hold_ids[deed.name] = hold_id
            self.shop.holds[deed.name].made = (self.shop.now, hold_id)

    def _expire(self, hold_id: str) -> None:
        name = next((name for name, known in self.hold_ids.items() if known == hold_id), None)
        hold = self.shop.holds.get(name or "")
        if hold is None or hold.state != "active" or hold.expires_at > self.shop.now:
            self.fail(VERDICT, f"hold {name} expired, of which the model says: {hold}")
            return
        self.check_stops(f"hold {name} expired", {"stock", "ledger"}, {hold.location}, gives_back=True)
        hold.state = "expired"
        self.shop.booked += 1

    def check_stops(self, deed: object, modules: set[str], places: set[str] | None, *, gives_back: bool) -> None:
        """Whether a deed that was committed just now could be."""
        for stop in self.stops.values():
            if stop.forbids(self.loop.time(), modules, places, gives_back=gives_back):
                self.fail(STOPPED, f"{deed} was committed during {stop}")

    def _check_people(self) -> None:
        for halt_id, stop in self.stops.items():
            if stop.takes_two and len(stop.people) < 2:
                over = (
                    "SELECT 1 FROM halts WHERE id = ? AND (thawed_by IS NOT NULL OR cleared_at IS NOT NULL) "
                    "AND coalesce(clear_reason, '') != 'expired'"
                )
                if self.raw.execute(over, (halt_id,)).fetchone():
                    self.fail(TWO_PEOPLE, f"{stop} thaws by the word of {', '.join(stop.people) or 'nobody'}")

    def is_stopped(self, tenant_id: str | None, module: str | None, location_id: str | None) -> bool:
        """Whether it is booked that just this is stopped."""
        such = "SELECT 1 FROM halts WHERE cleared_at IS NULL AND tenant_id IS ? AND module IS ? AND location_id IS ?"
        return self.raw.execute(such, (tenant_id, module, location_id)).fetchone() is not None

    def _scope_of(self, deed: Deed) -> tuple[set[str], set[str], bool]:
        match deed:
            case Document():
                places = {deed.location} | ({deed.to_location} if deed.to_location else set())
                return {"stock", "ledger"}, places, False
            case Sale():
                return {"sales", "stock", "ledger"}, {deed.location}, False
            case Return():
                return {"sales", "stock", "ledger"}, {deed.location}, True
            case Place():
                return {"stock", "ledger"}, {deed.location}, False
            case Settle():
                return {"stock", "ledger"}, {self.shop.holds[deed.name].location}, deed.how == "release"

    def _compare_levels(self) -> None:
        rows = self.raw.execute(
            "SELECT location_id, product_id, count(*), sum(on_hand), sum(reserved) FROM stock_levels GROUP BY 1, 2"
        ).fetchall()
        found = {(self.codes[place], self.skus[product]): tuple(rest) for place, product, *rest in rows}
        for key in sorted({*found, *self.shop.on_hand}):
            count, on_hand, reserved = found.get(key, (1, 0, 0))
            if count != 1:
                self.fail(ONE_ROW, f"{key} has {count} rows")
            expected = (self.shop.on_hand[key], self.shop.reserved(*key))
            if (on_hand, reserved) != expected:
                self.fail(LEVELS, f"{key} holds {(on_hand, reserved)}, the model says {expected}")
            if key[0] != oracle.VAN and on_hand < reserved:
                self.fail(LEVELS, f"{key} is oversold: {(on_hand, reserved)}")

    # -- elsewhere -----------------------------------------------------------------------------------------------------

    def deadlocked(self, cycle: list[Name]) -> None:
        """A circle of waiting, which the one order of locks rules out. What only the simulation's file is to blame for
        does not count."""
        if WRITING not in cycle:
            self.fail(ORDER_OF_LOCKS, " → ".join("/".join(map(str, name)) for name in cycle))

    def hear(self, key: str, outcome: object) -> None:
        """A caller was answered."""
        if key not in self.answers:
            self.fail(ONE_ANSWER, f"{self.deeds[key]} was answered {outcome!r} and nothing is committed under its key")
            return
        said = outcome.code if isinstance(outcome, NervioError) else OK
        if said != verdict_in(self.answers[key]):
            self.fail(ONE_ANSWER, f"{self.deeds[key]} was answered {said!r}, kept is {self.answers[key][:80]}")
        first = self.heard.setdefault(key, repr(outcome))
        if first != repr(outcome):
            self.fail(ONE_ANSWER, f"{self.deeds[key]} was answered {first} and then {outcome!r}")

    def accepted(self, event: Event) -> None:
        """The bus took an event."""
        if not self.raw.execute("SELECT 1 FROM outbox WHERE id = ?", (event.id,)).fetchone():
            self.fail(ONLY_FACTS, f"{event.type} of {event.key} is out and not committed")

    def check_effects(self) -> None:
        """At the end: every fact had its effect once, and those of a key in their order."""
        facts = self.facts()
        seen = self.raw.execute("SELECT event_id, key FROM simulation_seen ORDER BY rowid").fetchall()
        if len(seen) != len(set(seen)) or set(seen) != set(facts):
            lost = len(set(facts) - set(seen))
            self.fail(ONCE, f"{len(facts)} facts, {len(seen)} effects, {len(set(seen))} of them different, {lost} lost")
        for key in sorted({key for _, key in facts}):
            if [one for one in seen if one[1] == key] != [one for one in facts if one[1] == key]:
                self.fail(IN_ORDER, f"the events of {key} had their effects in another order")

    def facts(self) -> list[tuple[str, str]]:
        """(event, key) of all that was told, in order."""
        told = "SELECT o.id, o.key FROM outbox o JOIN commits c ON c.id = o.commit_id ORDER BY c.position, o.n"
        return self.raw.execute(told).fetchall()

    def close(self) -> None:
        """Lets go of the file."""
        self.raw.close()


def verdict_in(reply: str) -> str:
    """What a stored answer says: "ok" or the code of a refusal."""
    stored = json.loads(reply)
    return str(stored["refusal"]["code"]) if "refusal" in stored else OK


def _answers_in(writes: Iterable[Any]) -> dict[str, str]:
    return {
        row[2]: row[5]
        for write in writes
        if isinstance(write, Insert) and write.table.name == "idempotency_keys"
        for row in write.rows
    }


def _expired_in(writes: Iterable[Any]) -> list[str]:
    return [
        row[1]
        for write in writes
        if isinstance(write, Update) and write.table.name == "stock_holds"
        for row in write.rows
        if row[2] == "expired"
    ]


def _short(deed: Deed) -> str:
    kind = getattr(deed, "kind", None) or getattr(deed, "how", None) or type(deed).__name__.lower()
    lines = " ".join(f"{line[0]}:{line[1]}" for line in getattr(deed, "lines", ()))
    return f"{kind} {getattr(deed, 'location', '')}{getattr(deed, 'name', '')} {lines}"

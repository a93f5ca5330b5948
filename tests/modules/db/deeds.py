"""Small commands for tests of batches: they put a row into `cursors`, or refuse, or crash."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from nervio.db.batch import Batch, Command, Effect, Lane, Operation
from nervio.db.tables import cursors
from nervio.db.writes import Insert
from nervio.kernel.errors import conflict
from nervio.kernel.ids import new_id

TENANT = new_id()


@dataclass(frozen=True, slots=True)
class Put:
    """A row to add; a name that is there already is refused by the database itself, when the batch is flushed."""

    name: str
    position: int = 0


@dataclass(frozen=True, slots=True)
class Done:
    """The answer."""

    name: str
    position: int
    note: str | None = None


@dataclass
class Mood:
    """What the operation does before it writes; tests change it between two sends of the same key."""

    before: Callable[[Put], None] = lambda _: None


mood = Mood()


def _put(batch: Batch, command: Command[Put, Done]) -> Done:
    body = command.body
    mood.before(body)
    if body.name.startswith("refuse"):
        raise conflict("refused", f"{body.name} is refused", name=body.name)
    if body.name.startswith("crash"):
        raise ZeroDivisionError(body.name)
    batch.writes.append(Insert(cursors, ("name", "position", "token"), [(body.name, body.position, 0)]))
    batch.emit(command.tenant_id, "put.v1", body.name, {"name": body.name})
    return Done(body.name, body.position)


PUT = Operation("test.put", Effect.INCREASE, Put, Done, _put)


def put(
    name: str, position: int = 0, *, key: str | None = None, lane: Lane = Lane.TILL, weight: int = 1
) -> Command[Put, Done]:
    """The command that adds a row."""
    return Command(PUT, TENANT, "tester", key, Put(name, position), lane=lane, weight=weight)


def names(connection: Connection) -> list[str]:
    """The names of the rows there are."""
    return list(connection.execute(select(cursors.c.name).order_by(cursors.c.name)).scalars())


def ended_well(outcomes: list[Any]) -> list[str]:
    """The names of the commands that were done."""
    return [outcome.name for outcome in outcomes if isinstance(outcome, Done)]

"""One batch, one transaction: fence, halts, idempotency keys, books, decisions, flush, commit.

A synchronous function over a Connection, written once; the writers decide on which thread and connection it runs.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from prometheus_client import Counter
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from nervio.db import halt as halt_state
from nervio.db.batch import Batch, Command
from nervio.db.dialects import dialect_of
from nervio.db.idempotency import find_answers
from nervio.db.leases import find_stale, lease_lost
from nervio.db.queue import QueueBook
from nervio.db.receipts import find_received
from nervio.db.writes import Row, RunAgain
from nervio.kernel.errors import REMEMBERED_KINDS, Kind, NervioError
from nervio.ports.clock import Clock

log = logging.getLogger(__name__)

STALE_WRITES = Counter("nervio_stale_writes_refused_total", "Writes refused because their lock had a newer holder.")

Outcome = object
"""A reply, or the exception that is the command's verdict."""

MAX_TRANSACTION_RETRIES = 8
MAX_COLLISIONS = 3
"""How often a batch is decided again after somebody else inserted what it had found to be free."""


class StoreLost(Exception):
    """The connection broke. With `may_have_committed` it is unknown what is written until the same keys are sent again;
    without it, nothing is."""

    def __init__(self, detail: str, *, may_have_committed: bool) -> None:
        super().__init__(detail)
        self.may_have_committed = may_have_committed


def execute(
    connection: Connection,
    clock: Clock,
    commands: Sequence[Command[Any, Any]],
    *,
    exclusive: bool = False,
    attempts: int = MAX_TRANSACTION_RETRIES,
) -> list[Outcome]:
    """Runs the commands in arrival order in one transaction and returns one outcome each.

    A transaction the database asks to repeat is repeated whole; any other database error is bisected to the command
    that causes it, so that one poisoned command cannot fail its neighbours. Raises StoreLost when the connection broke.
    """
    dialect = dialect_of(connection)
    for attempt in range(attempts):
        committing = False
        try:
            with dialect.fenced(connection, exclusive):
                batch = Batch(connection, dialect, clock.now(), rows_first=attempt > 0)
                outcomes = _execute_once(batch, commands)
                committing = True
            return outcomes
        except RunAgain as again:
            log.info("batch_run_again", extra={"attempt": attempt, "reason": type(again).__name__})
            if attempt + 1 == attempts:
                return [again] * len(commands)
        except DBAPIError as error:
            if error.connection_invalidated:
                raise StoreLost(str(error.orig), may_have_committed=committing) from error
            if dialect.is_retryable(error):
                if attempt + 1 < attempts:
                    continue
                # Nobody's command is to blame, so there is no culprit to look for.
                return [error] * len(commands)
            if dialect.is_collision(error) and attempt + 1 < min(attempts, MAX_COLLISIONS):
                continue  # another process took the name first; deciding again sees that and refuses in words
            return _bisect(connection, clock, commands, exclusive, error)
        except OSError:
            raise  # the connection's own trouble, no command's
        except Exception as bug:  # noqa: BLE001
            # While resolving or flushing, where one command's bug would otherwise be every neighbour's verdict.
            return _bisect(connection, clock, commands, exclusive, bug)
    raise AssertionError("unreachable: the last attempt returns")


def _bisect(
    connection: Connection, clock: Clock, commands: Sequence[Command[Any, Any]], exclusive: bool, error: Exception
) -> list[Outcome]:
    """Runs the halves of a batch that failed as a whole, so that the error ends as the culprit's verdict alone."""
    if len(commands) == 1:
        return [error]
    log.warning("batch_bisected", extra={"size": len(commands), "error": str(error)})
    half = len(commands) // 2
    first = execute(connection, clock, commands[:half], exclusive=exclusive)
    try:
        return [*first, *execute(connection, clock, commands[half:], exclusive=exclusive)]
    except StoreLost as lost:
        # The first half is committed, and its outcomes go down with the second half's.
        raise StoreLost(str(lost), may_have_committed=True) from lost


def _execute_once(batch: Batch, commands: Sequence[Command[Any, Any]]) -> list[Outcome]:
    active = halt_state.read_active(batch.connection, batch.now)
    everywhere = [halt for halt in active if halt.location_id is None]
    outcomes: dict[Command[Any, Any], Outcome] = {}
    admitted = []
    for command in commands:
        # Where a deed happens may only be known once its names are resolved; halts of one place are asked again then.
        unplaced = command.location_id is None and command.operation.resolve is not None
        blocking = active and halt_state.find_blocking(everywhere if unplaced else active, command)
        if blocking:
            outcomes[command] = blocking.as_error(command)
        else:
            admitted.append(command)
    twins: dict[Command[Any, Any], Command[Any, Any]] = {}
    if any(command.receipt is not None for command in admitted):
        admitted = _settle_receipts(batch, admitted, outcomes, twins)
    fresh, keys = _settle_keys(batch, admitted, outcomes, twins, _late(batch, admitted))
    if fresh:
        decided = _decide_all(batch, fresh, outcomes, active)
        if decided:
            for queue in sorted(_left_work(fresh, outcomes)):
                batch.dialect.tell_of_work(batch.connection, queue)
            batch.flush(_answers(keys, outcomes), _receipts(batch, fresh, outcomes))
    for command, first in reversed(twins.items()):  # the first of a receipt may be another's twin by its key
        outcomes[command] = outcomes[first]
    return [outcomes[command] for command in commands]


def _left_work(commands: Sequence[Command[Any, Any]], outcomes: Mapping[Command[Any, Any], Outcome]) -> set[str]:
    """The queues in which what was decided may have left work."""
    return {
        command.operation.enqueues
        for command in commands
        if command.operation.enqueues and command.leaves_work and not isinstance(outcomes[command], BaseException)
    }


def _settle_receipts(
    batch: Batch,
    commands: Sequence[Command[Any, Any]],
    outcomes: dict[Command[Any, Any], Outcome],
    twins: dict[Command[Any, Any], Command[Any, Any]],
) -> list[Command[Any, Any]]:
    """Answers the effects of events that were received before; returns the commands still to be settled."""
    names = {command.receipt for command in commands if command.receipt is not None}
    received = find_received(batch.connection, batch.dialect, sorted(names))
    first_of: dict[tuple[str, str], Command[Any, Any]] = {}
    fresh = []
    for command in commands:
        name = command.receipt
        if name is None:
            fresh.append(command)
        elif name in received:
            reply = received[name]
            outcomes[command] = None if reply is None else decode_reply(command, reply)
        elif first_of.setdefault(name, command) is command:
            fresh.append(command)
        else:
            twins[command] = first_of[name]
    return fresh


def _late(batch: Batch, commands: Sequence[Command[Any, Any]]) -> dict[Command[Any, Any], NervioError]:
    """The commands of holders whose lock somebody else has by now. Nothing is asked where no command came under a lock."""
    fences = {fence for command in commands for fence in command.fences}
    stale = find_stale(batch.connection, fences) if fences else ()
    if not stale:
        return {}
    late = {command: lease_lost(fence[0]) for command in commands for fence in command.fences[::-1] if fence in stale}
    STALE_WRITES.inc(len(late))
    return late


def _settle_keys(
    batch: Batch,
    commands: Sequence[Command[Any, Any]],
    outcomes: dict[Command[Any, Any], Outcome],
    twins: dict[Command[Any, Any], Command[Any, Any]],
    late: Mapping[Command[Any, Any], NervioError],
) -> tuple[list[Command[Any, Any]], dict[Command[Any, Any], Row]]:
    """Settles repeated keys; returns the commands still to be decided and the key row of each that has one.

    A late holder still gets the answer to what it wrote in time. Its refusal is nobody's answer: the same key may be the
    next holder's, who is to do the work.
    """
    names = {
        command: (command.tenant_id, command.operation.name, command.key)
        for command in commands
        if command.key is not None
    }
    answered = find_answers(batch.connection, batch.dialect, sorted(set(names.values()))) if names else {}
    first_of: dict[tuple[str, str, str], Command[Any, Any]] = {}
    fresh = []
    keys: dict[Command[Any, Any], Row] = {}
    for command in commands:
        name = names.get(command)
        if name is not None and name in answered:
            body_hash, reply = answered[name]
            same = body_hash == command.body_hash
            outcomes[command] = decode_reply(command, reply) if same else _key_reused(command)
            continue
        if command in late:
            outcomes[command] = late[command]
            continue
        if name is None:
            fresh.append(command)
            continue
        first = first_of.setdefault(name, command)
        if first is command:
            fresh.append(command)
            keys[command] = (*name, command.body_hash, batch.now)
        elif first.body_hash == command.body_hash:
            twins[command] = first
        else:
            outcomes[command] = _key_reused(command)
    return fresh, keys


def _decide_all(
    batch: Batch,
    commands: Sequence[Command[Any, Any]],
    outcomes: dict[Command[Any, Any], Outcome],
    active: Sequence[halt_state.Halt],
) -> bool:
    """Decides what no halt of a place forbids; returns whether anything was decided."""
    by_operation: dict[str, list[Command[Any, Any]]] = {}
    for command in commands:
        by_operation.setdefault(command.operation.name, []).append(command)
    for group in by_operation.values():
        resolve = group[0].operation.resolve
        if resolve is not None:
            resolve(batch, group)
    if active:
        for command in commands:
            blocking = halt_state.find_blocking(active, command)
            if blocking:
                outcomes[command] = blocking.as_error(command)
        commands = [command for command in commands if command not in outcomes]
        if not commands:
            return False
    steps = [command.step.work for command in commands if command.step is not None]
    if steps:
        batch.book(QueueBook).want(steps)
    batch.open_books()
    for command in commands:
        marks = batch.mark()
        try:
            if command.operation.direct:
                with batch.connection.begin_nested():
                    outcomes[command] = _decide(batch, command)
            else:
                outcomes[command] = _decide(batch, command)
        except NervioError as refusal:
            batch.rollback(marks)
            outcomes[command] = refusal
        except DBAPIError:
            raise
        except Exception as bug:  # noqa: BLE001 (one command's bug is its own verdict)
            # The verdict of this command alone; its neighbours are not to blame. The caller sees it crash.
            batch.rollback(marks)
            outcomes[command] = bug
    return True


def _decide(batch: Batch, command: Command[Any, Any]) -> Outcome:
    """Decides one command; one that is the step of a job moves the job's checkpoint with it."""
    step = command.step
    if step is None:
        return command.operation.decide(batch, command)
    step.is_moved = False
    step.move(batch.book(QueueBook).find(step.work))
    outcome: Outcome = command.operation.decide(batch, command)
    step.is_moved = True
    return outcome


def _answers(keys: dict[Command[Any, Any], Row], outcomes: dict[Command[Any, Any], Outcome]) -> list[Row]:
    """The answers worth remembering, as rows: replies and refusals that belong to the request itself."""
    remembered = []
    for command, row in keys.items():
        outcome = outcomes[command]
        if not isinstance(outcome, BaseException):
            remembered.append((*row, msgspec.json.encode({"reply": outcome}).decode()))
        elif isinstance(outcome, NervioError) and outcome.kind in REMEMBERED_KINDS:
            refusal = {"kind": outcome.kind, "code": outcome.code, "message": outcome.message, "data": outcome.data}
            remembered.append((*row, msgspec.json.encode({"refusal": refusal}).decode()))
    return remembered


def _receipts(
    batch: Batch, commands: Sequence[Command[Any, Any]], outcomes: dict[Command[Any, Any], Outcome]
) -> list[Row]:
    """The inbox rows of effects that are about to be true. A refusal leaves none: the next attempt may fare better."""
    return [
        (*command.receipt, batch.now, msgspec.json.encode({"reply": outcomes[command]}).decode())
        for command in commands
        if command.receipt is not None and not isinstance(outcomes[command], BaseException)
    ]


def decode_reply(command: Command[Any, Any], stored: str) -> Outcome:
    """The outcome a stored reply stands for, as the type its operation promises."""
    envelope = msgspec.json.decode(stored)
    if "refusal" in envelope:
        refusal = envelope["refusal"]
        return NervioError(Kind(refusal["kind"]), refusal["code"], refusal["message"], **refusal["data"])
    return msgspec.convert(envelope["reply"], command.operation.reply_type, strict=False)


def _key_reused(command: Command[Any, Any]) -> NervioError:
    return NervioError(
        Kind.CONFLICT,
        "idempotency_key_reused",
        f"The idempotency key {command.key!r} was used before for another request; send a new key.",
        key=command.key,
    )

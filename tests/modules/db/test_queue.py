"""The queue against a slow, obvious model: whatever order deeds come in, each result is taken once and nothing is lost."""

import asyncio
import random
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from nervio.db import leases, queue
from nervio.db.batch import Batch, Command, Effect, Operation
from nervio.db.queue import QueueBook
from nervio.db.queue_moves import ENDED, FIRST_PAUSE_SECONDS, TRANSITIONS, Move, State, Work, pause_seconds
from nervio.kernel.errors import NervioError
from nervio.kernel.ids import new_id
from nervio.kernel.time import LATEST, SECOND, Instant
from tests.builders import NOON, Store

QUEUE = "test"
KINDS = ("chat", "embed")


@dataclass(frozen=True, slots=True)
class Deed:
    """One move of one piece of work."""

    move: str
    id: str
    token: int = 0
    text: str = ""
    priority: int = 1
    kind: str = "chat"
    model: str = ""
    deadline_at: Instant | None = None


@dataclass(frozen=True, slots=True)
class Moved:
    """What it is now."""

    state: str
    token: int
    fresh: bool = True


def a_work(tenant_id: str, deed: Deed, now: Instant) -> Work:
    return Work(
        tenant_id=tenant_id,
        id=deed.id,
        queue=QUEUE,
        kind=deed.kind,
        model=deed.model,
        priority=deed.priority,
        state=State.WAITING,
        run_at=now,
        deadline_at=deed.deadline_at,
        attempts=0,
        most_attempts=3,
        token=0,
        owner=None,
        worker=None,
        size=1,
        payload='{"ñ": 1}',
        checkpoint=None,
        result=None,
        usage=None,
        error=None,
        created_by="tester",
        created_at=now,
        started_at=None,
        ended_at=None,
    )


def _resolve(batch: Batch, commands: Any) -> None:
    batch.book(QueueBook).want((command.tenant_id, command.body.id) for command in commands)


def _decide(batch: Batch, command: Command[Deed, Moved]) -> Moved:
    book, deed, now = batch.book(QueueBook), command.body, batch.now
    if deed.move == "add":
        work = a_work(command.tenant_id, deed, now)
        book.add(work)
        return Moved(work.state.value, 0)
    found = book.find((command.tenant_id, deed.id))
    assert found is not None
    work = found
    fresh = True
    if deed.move == Move.CLAIM:
        work.claim("here", "w1", now)
    elif deed.move == Move.FINISH:
        fresh = work.finish(deed.token, f'"{deed.text}"', None, now)
    elif deed.move == Move.TRY_AGAIN:
        work.fail(deed.token, deed.text, now, again=True)
    elif deed.move == Move.GIVE_UP:
        work.fail(deed.token, deed.text, now, again=False)
    elif deed.move == Move.PARK:
        work.park(deed.token, now + SECOND)
    elif deed.move == Move.CANCEL:
        work.cancel(now)
    else:
        work.reopen(now)
    if deed.text == "refuse afterwards":
        raise NervioError("conflict", "refused", "no")  # type: ignore[arg-type]
    return Moved(work.state.value, work.token, fresh)


MOVE = Operation("test.move", Effect.INCREASE, Deed, Moved, _decide, _resolve)


@dataclass
class Model:
    """One piece of work as anybody would write it down."""

    state: str = "waiting"
    token: int = 0
    attempts: int = 0
    run_at: Instant = NOON
    result: str | None = None
    last_finished: int = -1
    results: list[int] = field(default_factory=list)

    def may(self, deed: Deed, now: Instant) -> str | None:
        """The code of the refusal, or None."""
        current = self.state == "running" and deed.token == self.token
        if deed.move == Move.CLAIM:
            return "work_not_due" if self.run_at > now else None if self.state == "waiting" else "work_state"
        if deed.move == Move.FINISH and self.state == "done" and deed.token == self.token:
            return None
        if deed.move in (Move.FINISH, Move.TRY_AGAIN, Move.GIVE_UP, Move.PARK):
            return None if current else "work_token_stale"
        if deed.move == Move.CANCEL:
            return None if self.state in ("waiting", "running") else "work_state"
        return None if self.state in ("failed", "cancelled") else "work_state"

    def does(self, deed: Deed, now: Instant) -> None:
        """What it becomes."""
        if deed.move == Move.CLAIM:
            self.state, self.token, self.attempts = "running", self.token + 1, self.attempts + 1
        elif deed.move == Move.FINISH:
            if self.state == "running":
                self.results.append(self.token)
                self.result = f'"{deed.text}"'
            self.state = "done"
        elif deed.move == Move.TRY_AGAIN and self.attempts < 3:
            self.state, self.run_at = "waiting", now + int(pause_seconds(deed.id, self.attempts) * SECOND)
        elif deed.move in (Move.TRY_AGAIN, Move.GIVE_UP):
            self.state = "failed"
        elif deed.move == Move.PARK:
            self.state, self.attempts, self.run_at = "waiting", self.attempts - 1, now + SECOND
        elif deed.move == Move.CANCEL:
            self.state = "cancelled"
        else:
            self.state, self.attempts, self.run_at = "waiting", 0, now


def command(store: Store, deed: Deed) -> Command[Deed, Moved]:
    return Command(MOVE, store.ctx.tenant_id, "tester", None, deed)


async def do(store: Store, *deeds: Deed) -> list[Any]:
    return await store.database.submit_all([command(store, deed) for deed in deeds])


async def look(store: Store, *ids: str) -> dict[str, Work]:
    keys = [(store.ctx.tenant_id, each) for each in ids]
    return {work.id: work for work in await store.database.read(lambda c: queue.read_works(c, keys))}


@pytest.mark.parametrize("seed", range(6))
async def test_any_order_of_deeds_leaves_what_the_model_says(store: Store, seed: int) -> None:
    dice = random.Random(seed)
    models = {new_id(): Model() for _ in range(5)}
    await do(store, *(Deed("add", each) for each in models))
    for _ in range(60):
        deeds = []
        for _ in range(dice.randint(1, 6)):
            each = dice.choice(list(models))
            newest = models[each].token
            token = dice.choice([newest, newest, newest, newest - 1, newest + 1])
            move = dice.choice([Move.CLAIM, Move.CLAIM, *Move])
            deeds.append(Deed(move.value, each, token, dice.choice(["a", "b", "refuse afterwards"])))
        outcomes = await do(store, *deeds)
        for deed, outcome in zip(deeds, outcomes, strict=True):
            refusal = models[deed.id].may(deed, store.clock.now())
            if refusal is not None or deed.text == "refuse afterwards":
                assert isinstance(outcome, NervioError), (deed, outcome)
                assert outcome.code == (refusal or "refused")
                continue
            models[deed.id].does(deed, store.clock.now())
            assert (outcome.state, outcome.token) == (models[deed.id].state, models[deed.id].token), deed
        store.clock.advance(dice.choice([0, 0.1, 1, 5]))
    for each, work in (await look(store, *models)).items():
        model = models[each]
        assert (work.state.value, work.token, work.attempts) == (model.state, model.token, model.attempts)
        assert work.result == model.result
        assert (work.owner is not None) == (work.state is State.RUNNING)
        assert (work.ended_at is not None) == (work.state in ENDED)
        assert len(model.results) <= 1, "a result was taken twice"


async def test_of_many_who_claim_one_gets_it_and_of_many_results_one_is_taken(store: Store) -> None:
    work_id = new_id()
    await do(store, Deed("add", work_id))
    claims = await asyncio.gather(*(do(store, Deed("claim", work_id)) for _ in range(20)))
    assert sum(isinstance(claim[0], Moved) for claim in claims) == 1
    results = await asyncio.gather(*(do(store, Deed("finish", work_id, 1, f"r{n}")) for n in range(20)))
    assert sum(result[0].fresh for result in results) == 1
    assert (await look(store, work_id))[work_id].token == 1


async def test_a_result_under_an_older_token_is_refused_and_the_newer_taken(store: Store) -> None:
    work_id = new_id()
    await do(store, Deed("add", work_id), Deed("claim", work_id), Deed("try_again", work_id, 1, "worker gone"))
    store.clock.advance(FIRST_PAUSE_SECONDS)
    late, claimed = await do(store, Deed("finish", work_id, 1, "late"), Deed("claim", work_id))
    assert (late.code, claimed.token) == ("work_token_stale", 2)
    late, taken = await do(store, Deed("finish", work_id, 1, "late"), Deed("finish", work_id, 2, "right"))
    assert (late.code, taken.state) == ("work_token_stale", "done")
    assert (await look(store, work_id))[work_id].result == '"right"'


async def test_due_work_is_found_by_tenant_and_priority_in_the_order_it_became_due(store: Store) -> None:
    other = await store.another_tenant()
    ids = [new_id() for _ in range(6)]
    for n, each in enumerate(ids):
        await do(store, Deed("add", each, priority=n % 2, kind=KINDS[n % 3 == 0]))
        store.clock.advance(1)
    foreign = new_id()
    await do(other, Deed("add", foreign))
    now = store.clock.now()
    tenants = await store.database.read(lambda c: queue.list_waiting(c, QUEUE, LATEST))
    assert tenants == {store.ctx.tenant_id: [0, 1], other.ctx.tenant_id: [1]}
    assert await store.database.read(lambda c: queue.list_waiting(c, "another", LATEST)) == {}

    async def due(kinds: tuple[str, ...], priority: int, limit: int = 10, models: tuple[str, ...] = ()) -> list[str]:
        served = dict.fromkeys(kinds, models)
        query = partial(queue.list_due, queue=QUEUE, tenant_id=store.ctx.tenant_id, served=served, now=now)
        return [found.id for found in await store.database.read(partial(query, priority=priority, limit=limit))]

    assert await due(KINDS, 0) == ids[0::2]
    assert await due(KINDS, 1, 2) == ids[1:5:2]
    assert await due(("embed",), 1) == [ids[3]]
    await do(store, Deed("claim", ids[0]), Deed("try_again", ids[0], 1, "no"))
    assert await due(KINDS, 0) == ids[2::2], "it waits for its pause"
    picky = new_id()
    await do(store, Deed("add", picky, priority=2, model="large"))
    now = store.clock.now()
    assert await due(KINDS, 2) == await due(KINDS, 2, models=("small",)) == []
    assert await due(KINDS, 2, models=("large", "small")) == [picky]
    next_due = await store.database.read(lambda c: queue.find_next_due(c, QUEUE, now))
    assert next_due == now + int(pause_seconds(ids[0], 1) * SECOND)


async def test_work_of_an_owner_whose_lease_ran_out_is_found_and_that_of_a_living_one_is_not(store: Store) -> None:
    ids = [new_id(), new_id()]
    await do(store, *(Deed("add", each) for each in ids), Deed("claim", ids[0]))
    now = store.clock.now()

    async def orphans(later: float) -> list[str]:
        at = now + int(later * SECOND)
        return [row[1] for row in await store.database.read(lambda c: queue.list_orphans(c, QUEUE, at, 10))]

    assert await orphans(0) == [ids[0]], "an owner without a lease has nothing"
    name = queue.OWNER_LEASE + "here"
    await store.database.bookkeep("lease", lambda c: leases.acquire(c, name, "here", now, 2.0))
    assert await orphans(1.9) == []
    assert await orphans(2.1) == [ids[0]]


async def test_what_is_overdue_is_found_whoever_has_it(store: Store) -> None:
    late, running, fine = new_id(), new_id(), new_id()
    soon = store.clock.now() + SECOND
    await do(store, Deed("add", late, deadline_at=soon), Deed("add", running, deadline_at=soon), Deed("add", fine))
    await do(store, Deed("claim", running))
    store.clock.advance(2)
    now = store.clock.now()
    overdue = await store.database.read(lambda c: queue.list_overdue(c, QUEUE, now, 10))
    assert sorted(overdue) == sorted((store.ctx.tenant_id, each) for each in (late, running))
    assert await store.database.read(lambda c: queue.count_running(c, QUEUE)) == {store.ctx.tenant_id: 1}


def test_every_state_can_be_left_or_is_an_end_and_pauses_grow_within_bounds() -> None:
    assert {state for state, _ in TRANSITIONS} == set(State) - {State.DONE}
    assert set(TRANSITIONS.values()) == set(State)
    for attempts in range(1, 40):
        pauses = [pause_seconds(new_id(), attempts) for _ in range(50)]
        whole = min(2.0 ** (attempts - 1), 300.0)
        assert all(whole / 2 <= pause <= whole for pause in pauses)
        assert len(set(pauses)) > 40, "what failed together comes again at different times"

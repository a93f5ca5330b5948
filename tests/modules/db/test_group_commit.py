"""The queues before the writer: bounded, fair to the till, and every caller gets an answer."""

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from nervio.db.batch import Command, Lane
from nervio.db.commit import GroupCommit, LaneWriter, ThreadWriter
from nervio.db.lanes import CostEstimate
from nervio.kernel.errors import Kind, NervioError
from tests.modules.db.deeds import Done, put

CAPACITY = 10


class Gate:
    """Writes batches one at a time, each only when it is let through; remembers them."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self._open = threading.Semaphore(0)
        self._begun = threading.Semaphore(0)

    def run(self, commands: list[Command[Any, Any]]) -> list[object]:
        self.batches.append([command.body.name for command in commands])
        self._begun.release()
        assert self._open.acquire(timeout=10)
        if commands[0].body.name == "broken":
            raise OSError("the disk is gone")
        return [Done(command.body.name, 0) for command in commands]

    async def run_lane(self, _lane: Lane, _turn: int, commands: list[Command[Any, Any]]) -> list[object]:
        return await asyncio.to_thread(self.run, commands)

    def let_through(self, batches: int = 1) -> None:
        self._open.release(batches)

    async def begun(self) -> None:
        """Waits until a batch is being written."""
        assert await asyncio.to_thread(self._begun.acquire, timeout=10)


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture(params=["thread", "lanes"])
async def commits(request: pytest.FixtureRequest, gate: Gate) -> AsyncIterator[GroupCommit]:
    writer = ThreadWriter(gate.run, CAPACITY) if request.param == "thread" else LaneWriter(gate.run_lane, CAPACITY)
    await writer.start()
    try:
        yield GroupCommit(writer)
    finally:
        gate.let_through(1000)
        await writer.close()


async def submit(commits: GroupCommit, *wanted: Command[Any, Any]) -> list[asyncio.Task[Any]]:
    """Callers that wait side by side."""
    tasks = [asyncio.create_task(commits.submit(command)) for command in wanted]
    await asyncio.sleep(0)
    return tasks


async def test_callers_meet_while_the_batch_before_them_is_written(commits: GroupCommit, gate: Gate) -> None:
    (first,) = await submit(commits, put("first"))
    await gate.begun()
    waiting = await submit(commits, put("a"), put("b"), put("c"))
    gate.let_through(2)
    assert [outcome.name for outcome in await asyncio.gather(first, *waiting)] == ["first", "a", "b", "c"]
    assert gate.batches == [["first"], ["a", "b", "c"]], "a lone caller commits alone and at once; the others share"


async def test_a_full_queue_says_so_and_serves_those_who_are_in_it(commits: GroupCommit, gate: Gate) -> None:
    await submit(commits, put("first"))
    await gate.begun()
    outcomes = asyncio.create_task(commits.submit_all([put(f"n{n}") for n in range(CAPACITY + 3)]))
    await asyncio.sleep(0)
    gate.let_through(100)
    answers = await outcomes
    assert [isinstance(answer, Done) for answer in answers] == [True] * CAPACITY + [False] * 3
    refusal = answers[-1]
    assert isinstance(refusal, NervioError)
    assert (refusal.kind, refusal.code, refusal.data) == (Kind.TOO_MANY, "queue_full", {"lane": "till"})


async def test_one_full_lane_does_not_fill_another(commits: GroupCommit, gate: Gate) -> None:
    await submit(commits, put("first", lane=Lane.BULK))
    await gate.begun()
    await submit(commits, *(put(f"n{n}", lane=Lane.BULK) for n in range(CAPACITY)))
    with pytest.raises(NervioError, match="Too many"):
        await commits.submit(put("more", lane=Lane.BULK))
    (sale,) = await submit(commits, put("sale"))
    gate.let_through(100)
    assert (await sale).name == "sale"


async def test_a_caller_that_gave_up_is_withdrawn(commits: GroupCommit, gate: Gate) -> None:
    await submit(commits, put("first"))
    await gate.begun()
    tasks = await submit(commits, put("a"), put("gave up"), put("b"))
    tasks[1].cancel()
    await asyncio.sleep(0)
    gate.let_through(100)
    await asyncio.gather(tasks[0], tasks[2])
    assert gate.batches == [["first"], ["a", "b"]]


async def test_an_answer_nobody_waits_for_any_more_is_dropped(commits: GroupCommit, gate: Gate) -> None:
    tasks = await submit(commits, put("first"))
    await gate.begun()
    tasks[0].cancel()
    gate.let_through(100)
    assert (await commits.submit(put("next"))).name == "next"


async def test_a_batch_that_breaks_is_the_verdict_of_its_callers_and_the_writer_goes_on(
    commits: GroupCommit, gate: Gate
) -> None:
    gate.let_through(100)
    with pytest.raises(OSError, match="the disk is gone"):
        await commits.submit(put("broken"))
    assert (await commits.submit(put("next"))).name == "next"


@pytest.mark.parametrize("kind", ["thread", "lanes"])
async def test_closing_writes_what_was_taken_and_answers_everyone(kind: str, gate: Gate) -> None:
    writer = ThreadWriter(gate.run, CAPACITY) if kind == "thread" else LaneWriter(gate.run_lane, CAPACITY)
    await writer.start()
    commits = GroupCommit(writer)
    (taken,) = await submit(commits, put("taken"))
    await gate.begun()
    left = await submit(commits, put("a"), put("b", lane=Lane.BULK), put("c", lane=Lane.JOBS))
    closing = asyncio.create_task(writer.close())
    await asyncio.sleep(0)
    gate.let_through(100)
    await closing
    assert (await taken).name == "taken"
    outcomes = await asyncio.gather(*left, return_exceptions=True)
    # On lanes of their own, b and c may have been taken at once.
    for outcome in outcomes:
        assert isinstance(outcome, Done) or (isinstance(outcome, NervioError) and outcome.kind is Kind.UNAVAILABLE)
    assert isinstance(outcomes[0], NervioError)
    with pytest.raises(NervioError, match="shutting down"):
        await commits.submit(put("late"))


async def test_a_sale_waits_for_one_foreign_batch_at_most(gate: Gate) -> None:
    """On a database with one writer the till is served after every batch of another lane."""
    writer = ThreadWriter(gate.run, 1000)
    await writer.start()
    commits = GroupCommit(writer)
    try:
        heavy = await submit(commits, *(put(f"import{n}", lane=Lane.BULK, weight=5000) for n in range(4)))
        await gate.begun()
        jobs = await submit(commits, *(put(f"job{n}", lane=Lane.JOBS, weight=5000) for n in range(2)))
        sales = await submit(commits, put("sale1"), put("sale2"))
        gate.let_through(100)
        await asyncio.gather(*heavy, *jobs, *sales)
    finally:
        await writer.close()
    assert gate.batches[0] == ["import0"]
    assert gate.batches[1] == ["sale1", "sale2"]
    assert sorted(batch[0] for batch in gate.batches[2:5]) != ["import1", "import2", "import3"], "lanes take turns"


async def test_lanes_with_connections_of_their_own_never_wait_for_each_other(gate: Gate) -> None:
    passed = asyncio.Event()

    async def run(lane: Lane, _turn: int, commands: list[Command[Any, Any]]) -> list[object]:
        if lane is Lane.BULK:
            await passed.wait()
        return [Done(command.body.name, 0) for command in commands]

    writer = LaneWriter(run, CAPACITY)
    await writer.start()
    commits = GroupCommit(writer)
    (held,) = await submit(commits, put("import", lane=Lane.BULK))
    assert (await asyncio.wait_for(commits.submit(put("sale")), 5)).name == "sale"
    passed.set()
    await held
    await writer.close()


class Turns:
    """Two writers of the till, each held until it is let go; notes who is writing what."""

    def __init__(self) -> None:
        self.under_way: dict[int, list[str]] = {}
        self.written: list[str] = []
        self.let_go = asyncio.Event()

    async def run(self, _lane: Lane, turn: int, commands: list[Command[Any, Any]]) -> list[object]:
        self.under_way[turn] = [command.body.name for command in commands]
        await self.let_go.wait()
        self.written += self.under_way.pop(turn)
        return [Done(command.body.name, 0) for command in commands]


async def test_a_busy_till_is_written_by_two_in_turn() -> None:
    turns = Turns()
    writer = LaneWriter(turns.run, 1000)
    await writer.start()
    tasks = await submit(GroupCommit(writer), *(put(f"n{n}") for n in range(60)))
    await asyncio.sleep(0.01)
    assert sorted(len(batch) for batch in turns.under_way.values()) == [30, 30], "while one commits the other prepares"
    late = await submit(GroupCommit(writer), put("late"))
    await asyncio.sleep(0.01)
    assert sum(map(len, turns.under_way.values())) == 60
    turns.let_go.set()
    assert {answer.name for answer in await asyncio.gather(*tasks, *late)} == {*(f"n{n}" for n in range(60)), "late"}
    await writer.close()


async def test_commands_that_came_together_are_written_in_their_order_by_whoever() -> None:
    turns = Turns()
    writer = LaneWriter(turns.run, 1000)
    await writer.start()
    together = asyncio.create_task(GroupCommit(writer).submit_all([put(f"n{n}") for n in range(60)]))
    await asyncio.sleep(0.01)
    assert len(turns.under_way) == 1, "a return must find the sale before it committed"
    turns.let_go.set()
    await together
    assert turns.written == [f"n{n}" for n in range(60)]
    await writer.close()


def test_the_price_of_a_line_leaves_the_price_of_a_commit_out() -> None:
    """Otherwise small batches look dear, and are cut smaller and smaller."""
    estimate = CostEstimate()
    for weight in [10, 200, 40, 500, 80, 1000] * 60:
        estimate.learn(weight, 0.005 + weight * 30e-6)
    assert estimate.seconds_per_unit == pytest.approx(30e-6, rel=0.1)

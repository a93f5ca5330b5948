"""Why a task is not being done: told from the task, the workers and the stop."""

from dataclasses import replace

import pytest

from nervio.kernel.time import SECOND
from nervio.modules.fleet import api as fleet
from nervio.modules.fleet.contracts import (
    Limits,
    LimitsState,
    Measure,
    Period,
    Priority,
    Quota,
    SubmitTask,
    Task,
    TaskState,
    WaitReason,
    WorkerRecord,
    WorkerStatus,
)
from nervio.modules.fleet.domain.waiting import why_waiting
from nervio.ports.workers import Ending
from tests.builders import NOON, Store
from tests.modules.fleet.handing import Hands, a_dispatcher, a_profile, a_report, report

WORKER = WorkerRecord(
    "w1", WorkerStatus.IDLE, "hands", ("chat",), ("small",), 1, 1, 1, "", "", 0, 0, 0, 0, NOON, NOON
)  # fmt: skip
TASK = Task(
    "t", "chat", "", Priority.NORMAL, TaskState.WAITING, {}, 1, 0, 4, None, None, None, None, "me", NOON, NOON, None, None,
    None,
)  # fmt: skip
GONE = replace(WORKER, status=WorkerStatus.GONE)
FREE = LimitsState(Limits(), (), 0, None, None)
LATER = replace(TASK, run_at=NOON + SECOND, attempts=1, error="no answer")


@pytest.mark.parametrize(
    ("task", "workers", "stopped", "reason"),
    [
        (TASK, [WORKER], False, WaitReason.TURN),
        (TASK, [WORKER], True, WaitReason.STOPPED),
        (TASK, [], False, WaitReason.NO_WORKER),
        (TASK, [GONE], False, WaitReason.NO_WORKER),
        (TASK, [replace(WORKER, last_seen=NOON - 60 * SECOND)], False, WaitReason.NO_WORKER),
        (replace(TASK, kind="ocr"), [WORKER], False, WaitReason.NO_KIND),
        (TASK, [GONE, replace(WORKER, kinds=("ocr",))], False, WaitReason.NO_KIND),
        (replace(TASK, model="small"), [WORKER], False, WaitReason.TURN),
        (replace(TASK, model="large"), [WORKER], False, WaitReason.NO_MODEL),
        (replace(TASK, model="large"), [WORKER, replace(WORKER, kinds=("ocr",), models=("large",))], False,
         WaitReason.NO_MODEL),
        (LATER, [WORKER], False, WaitReason.PAUSE),
        (LATER, [], False, WaitReason.NO_WORKER),
        (LATER, [WORKER], True, WaitReason.STOPPED),
    ],
)  # fmt: skip
def test_the_reason_that_somebody_can_mend_comes_first(
    task: Task, workers: list[WorkerRecord], stopped: bool, reason: WaitReason
) -> None:
    assert why_waiting(task, workers, NOON, stopped=stopped, state=FREE) is reason


SPENT = Quota(Measure.MONEY, Period.DAY, "USD", 5, 5, NOON + SECOND)


@pytest.mark.parametrize(
    ("task", "workers", "stopped", "state", "reason"),
    [
        (TASK, [WORKER], False, replace(FREE, quotas=(SPENT,)), WaitReason.OVER_LIMIT),
        (TASK, [], False, replace(FREE, quotas=(SPENT,)), WaitReason.OVER_LIMIT),
        (TASK, [WORKER], True, replace(FREE, quotas=(SPENT,)), WaitReason.STOPPED),
        (TASK, [WORKER], False, replace(FREE, quotas=(replace(SPENT, used=4),)), WaitReason.TURN),
        # What waits was counted when it came.
        (TASK, [WORKER], False, replace(FREE, quotas=(replace(SPENT, measure=Measure.TASKS),)), WaitReason.TURN),
        (TASK, [WORKER], False, replace(FREE, limits=Limits(most_running=2), running=2), WaitReason.SHARE),
        (TASK, [WORKER], False, replace(FREE, limits=Limits(most_running=2), running=1), WaitReason.TURN),
        (LATER, [WORKER], False, replace(FREE, limits=Limits(most_running=0)), WaitReason.PAUSE),
    ],
)
def test_limits_are_told_as_what_they_keep_waiting(
    task: Task, workers: list[WorkerRecord], stopped: bool, state: LimitsState, reason: WaitReason
) -> None:
    assert why_waiting(task, workers, NOON, stopped=stopped, state=state) is reason


async def test_a_task_tells_why_it_waits_until_it_does_not(store: Store) -> None:
    kind = "explained"
    queued = await fleet.submit_task(store.ctx, SubmitTask(kind, "{}"))

    async def reason(stopped: bool = False) -> WaitReason | None:
        task, _ = await fleet.get_task(store.ctx, queued.id)
        return await fleet.explain_waiting(store.ctx, task, stopped=stopped)

    assert await reason() in {WaitReason.NO_WORKER, WaitReason.NO_KIND}
    hands, worker = Hands(), f"w-{store.ctx.tenant_id}"
    async with a_dispatcher(store, hands) as dispatcher:
        dispatcher.joined(hands, a_profile(worker, kinds=(kind,)))
        await dispatcher.run_once()
        assert await reason() is None, "it runs"
        (assignment,) = hands.take(worker)
        failed = a_report(assignment, Ending.FAILED, result="null", error="no answer")
        await report(dispatcher, failed, worker)
        assert await reason() is WaitReason.PAUSE
        assert await reason(stopped=True) is WaitReason.STOPPED
        store.clock.advance(1)
        assert await reason() is WaitReason.TURN


async def test_the_list_is_read_backwards_from_where_one_stands(store: Store) -> None:
    ids = []
    for _ in range(5):
        ids.append((await fleet.submit_task(store.ctx, SubmitTask("chat", "{}"))).id)
        store.clock.advance(1)
    everything = await fleet.list_tasks(store.ctx)
    assert [task.id for task in everything] == ids[::-1]

    last = (everything[-1].created_at, everything[-1].id)
    page = await fleet.list_tasks(store.ctx, before=last, limit=2, backwards=True)

    assert [task.id for task in page] == [ids[2], ids[1]]


async def test_a_list_may_leave_out_what_weighs_most(store: Store) -> None:
    queued = await fleet.submit_task(store.ctx, SubmitTask("weighed", "{}"))
    hands, worker = Hands(), f"w-{store.ctx.tenant_id}"
    async with a_dispatcher(store, hands) as dispatcher:
        dispatcher.joined(hands, a_profile(worker, kinds=("weighed",)))
        await dispatcher.run_once()
        (assignment,) = hands.take(worker)
        await report(dispatcher, a_report(assignment), worker)

    for results, shown in ((True, {"text": "sí"}), (False, None)):
        (task,) = await fleet.list_tasks(store.ctx, results=results)
        assert (task.id, task.state, task.result) == (queued.id, TaskState.DONE, shown)

"""Tasks as those see them who want something done."""

import asyncio
from dataclasses import replace

import pytest

from nervio.db.halt import Level
from nervio.kernel.errors import NervioError
from nervio.kernel.ids import new_id
from nervio.modules.fleet import api as fleet
from nervio.modules.fleet.contracts import Priority, SubmitTask, TaskState
from nervio.modules.safety import api as safety
from nervio.modules.safety.contracts.halts import Scope
from tests.builders import NOON, Store

CHAT = SubmitTask("chat", '{"q":"¿cuánto?"}', cache=False)


async def test_a_task_is_queued_and_found_again(store: Store) -> None:
    queued = await fleet.submit_task(store.ctx, replace(CHAT, priority=Priority.HIGH, model="m", retries=1), "k1")

    task, attempts = await fleet.get_task(store.ctx, queued.id)

    assert (task.kind, task.model, task.priority, task.state) == ("chat", "m", Priority.HIGH, TaskState.WAITING)
    assert (task.payload, task.most_attempts, task.attempts, attempts) == ({"q": "¿cuánto?"}, 2, 0, [])
    assert task.size == len('{"q":"¿cuánto?"}'.encode()) // 4
    assert task.created_at == NOON


async def test_the_same_key_queues_once_and_another_task_under_it_is_refused(store: Store) -> None:
    first = await fleet.submit_task(store.ctx, CHAT, "key")

    assert await fleet.submit_task(store.ctx, CHAT, "key") == first
    with pytest.raises(NervioError, match="used before") as refused:
        await fleet.submit_task(store.ctx, replace(CHAT, kind="embed"), "key")
    assert refused.value.code == "idempotency_key_reused"
    assert len(await fleet.list_tasks(store.ctx)) == 1


async def test_each_of_many_has_its_own_verdict(store: Store) -> None:
    outcomes = await fleet.submit_tasks(
        store.ctx,
        [(CHAT, None), (replace(CHAT, kind="Not a kind"), None), (replace(CHAT, retries=99), None), (CHAT, None)],
    )

    assert [getattr(outcome, "code", "queued") for outcome in outcomes] == [
        "queued", "invalid_kind", "out_of_range", "queued",
    ]  # fmt: skip
    assert len(await fleet.list_tasks(store.ctx)) == 2


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"kind": ""}, "kind"),
        ({"kind": "c" * 41}, "kind"),
        ({"model": "a b"}, "model"),
        ({"size": -1}, "size"),
        ({"deadline_at": NOON}, "deadline_at"),
        ({"payload": '"' + "x" * 262_144 + '"'}, "payload"),
    ],
)
async def test_what_is_wrong_is_named(store: Store, wrong: dict[str, object], field: str) -> None:
    with pytest.raises(NervioError) as refused:
        await fleet.submit_task(store.ctx, replace(CHAT, **wrong))  # type: ignore[arg-type]

    assert refused.value.data["field"] == field


async def test_the_list_is_paged_newest_first_and_narrowed(store: Store) -> None:
    ids = []
    for n in range(5):
        ids.append((await fleet.submit_task(store.ctx, replace(CHAT, kind="chat" if n % 2 else "embed"))).id)
        store.clock.advance(1)
    await fleet.cancel_task(store.ctx, ids[1])

    page = await fleet.list_tasks(store.ctx, limit=2)
    rest = await fleet.list_tasks(store.ctx, before=(page[-1].created_at, page[-1].id))

    assert [task.id for task in (*page, *rest)] == ids[::-1]
    assert [task.id for task in await fleet.list_tasks(store.ctx, kind="chat")] == [ids[3], ids[1]]
    assert [task.id for task in await fleet.list_tasks(store.ctx, state=TaskState.CANCELLED)] == [ids[1]]


async def test_a_task_is_cancelled_once_and_may_be_queued_again(store: Store) -> None:
    task = await fleet.submit_task(store.ctx, CHAT)

    assert (await fleet.cancel_task(store.ctx, task.id)).state is TaskState.CANCELLED
    assert (await fleet.cancel_task(store.ctx, task.id)).state is TaskState.CANCELLED
    assert (await fleet.retry_task(store.ctx, task.id)).state is TaskState.WAITING
    with pytest.raises(NervioError) as refused:
        await fleet.retry_task(store.ctx, task.id)
    assert refused.value.code == "work_state"
    (used,) = await fleet.read_usage(store.ctx, "2026-03-01", "2026-03-01")
    assert (used.kind, used.submitted, used.cancelled) == ("chat", 1, 1)


async def test_another_tenants_task_is_no_task(store: Store) -> None:
    other = await store.another_tenant()
    task = await fleet.submit_task(other.ctx, CHAT)

    for ask in (fleet.get_task, fleet.cancel_task, fleet.retry_task):
        with pytest.raises(NervioError) as refused:
            await ask(store.ctx, task.id)
        assert refused.value.code == "task_not_found"
    assert await fleet.list_tasks(store.ctx) == []
    assert (await fleet.get_statistics(store.ctx)).total_tasks == 0
    with pytest.raises(NervioError, match="There is no task"):
        await fleet.get_task(store.ctx, new_id())


async def test_who_may_not_is_told_which_permission_is_missing(store: Store) -> None:
    reader = store.permitted(fleet.READ)
    with pytest.raises(NervioError) as refused:
        await fleet.submit_task(reader, CHAT)
    assert refused.value.data["permission"] == fleet.SUBMIT_TASKS
    with pytest.raises(NervioError):
        await fleet.list_tasks(store.permitted(fleet.SUBMIT_TASKS))


async def test_nothing_is_queued_during_a_stop_and_cancelling_passes_reduce_only(store: Store) -> None:
    task = await fleet.submit_task(store.ctx, CHAT)
    await safety.freeze(store.ctx, "a drill", scope=Scope.TENANT, level=Level.REDUCE_ONLY)

    with pytest.raises(NervioError) as refused:
        await fleet.submit_task(store.ctx, CHAT)
    assert refused.value.code == "halted"
    assert (await fleet.cancel_task(store.ctx, task.id)).state is TaskState.CANCELLED


async def test_a_hundred_tasks_at_once_are_counted_once_each(store: Store) -> None:
    await asyncio.gather(*(fleet.submit_task(store.ctx, replace(CHAT, kind=f"kind{n % 3}")) for n in range(100)))

    used = await fleet.read_usage(store.ctx, "2026-03-01", "2026-03-01")

    assert sum(one.submitted for one in used) == 100
    assert (await fleet.get_statistics(store.ctx)).queue_length == 100


async def test_waiting_for_a_task_that_nobody_does_ends_in_time(store: Store) -> None:
    task = await fleet.submit_task(store.ctx, CHAT)
    waiting = asyncio.create_task(fleet.wait_for_task(store.ctx, task.id, 30))
    await asyncio.sleep(0.05)
    assert not waiting.done()

    store.clock.advance(31)

    assert (await asyncio.wait_for(waiting, 5))[0].state is TaskState.WAITING

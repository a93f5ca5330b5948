"""Whose turn it is and which worker gets the task, on plain values."""

import random
from collections import Counter
from dataclasses import replace

from nervio.modules.fleet.contracts import Priority
from nervio.modules.fleet.domain.dispatch import WEIGHTS, Candidate, Capacity, Slots, Turns, choose, remaining


def a_task(n: int, tenant: str = "t", priority: int = Priority.NORMAL, **more: object) -> Candidate:
    task = Candidate(tenant, f"{tenant}-{n}", "chat", "", priority, 1)
    return replace(task, **more)  # type: ignore[arg-type]


def a_worker(name: str = "w", free: int = 1, slots: int = 1, models: tuple[str, ...] = ()) -> Capacity:
    return Capacity(name, frozenset({"chat"}), frozenset(models), free, Slots(slots, slots))


def one_second(_kind: str, _model: str, _worker: str, _size: float) -> float:
    return 1.0


def of(*tasks: Candidate) -> dict[str, dict[int, list[Candidate]]]:
    """By tenant and priority, the longest waiting first, as they are given."""
    found: dict[str, dict[int, list[Candidate]]] = {}
    for task in tasks:
        found.setdefault(task.tenant_id, {}).setdefault(task.priority, []).append(task)
    return found


def chosen(
    tasks: dict[str, dict[int, list[Candidate]]], *workers: Capacity, turns: Turns | None = None
) -> list[tuple[str, str]]:
    return [(task.id, worker) for task, worker in choose(tasks, workers, turns or Turns(), one_second)]


def test_of_tasks_that_have_just_come_the_urgent_go_first() -> None:
    tasks = of(a_task(1, priority=Priority.LOW), a_task(2), a_task(3, priority=Priority.HIGH))

    assert [task for task, _ in chosen(tasks, a_worker(free=3))] == ["t-3", "t-2", "t-1"]


def test_while_there_is_work_of_all_priorities_each_has_its_share() -> None:
    tasks = of(*(a_task(n, priority=n % 3) for n in range(900)))

    counts = Counter(task.priority for task, _ in choose(tasks, [a_worker(free=210)], Turns(), one_second))

    assert counts == {Priority.HIGH: 160, Priority.NORMAL: 40, Priority.LOW: 10}


def test_a_low_task_is_served_beside_an_endless_stream_of_high_ones() -> None:
    turns, served_after = Turns(), None
    for second in range(200):
        # Two urgent tasks a second come where one can be done: what waits grows for ever.
        high = [a_task(n, priority=Priority.HIGH) for n in range(second, 2 * second + 2)]
        low = [a_task(0, priority=Priority.LOW)]
        ((task, _),) = choose({"t": {Priority.HIGH: high, Priority.LOW: low}}, [a_worker()], turns, one_second)
        if task.priority == Priority.LOW:
            served_after = second
            break

    assert served_after == WEIGHTS[Priority.HIGH] / WEIGHTS[Priority.LOW]


def test_a_high_task_does_not_wait_behind_low_ones_that_came_long_ago() -> None:
    turns = Turns()
    old = [a_task(n, priority=Priority.LOW) for n in range(10_000)]
    chosen(of(*old[:100]), a_worker(free=100), turns=turns)

    given = chosen(of(*old[100:], a_task(10_000, priority=Priority.HIGH)), a_worker(free=2), turns=turns)

    assert given[0][0] == "t-10000"


def test_a_tenant_with_ten_thousand_tasks_leaves_the_others_their_share() -> None:
    tasks: dict[str, dict[int, list[Candidate]]] = {
        tenant: {Priority.NORMAL: [a_task(n, tenant) for n in range(count)]}
        for tenant, count in (("early", 10_000), ("late", 1_000), ("later", 1_000))
    }
    turns = Turns()

    counts = Counter(task.partition("-")[0] for task, _ in chosen(tasks, a_worker(free=300, slots=300), turns=turns))

    assert counts == {"early": 100, "late": 100, "later": 100}


def test_shares_are_of_time_and_not_of_tasks() -> None:
    tasks: dict[str, dict[int, list[Candidate]]] = {
        "long": {Priority.NORMAL: [a_task(n, "long", size=10) for n in range(300)]},
        "short": {Priority.NORMAL: [a_task(n, "short", size=1) for n in range(300)]},
    }

    def by_size(_kind: str, _model: str, _worker: str, size: float) -> float:
        return size

    given = choose(tasks, [a_worker(free=220, slots=220)], Turns(), by_size)
    counts = Counter(task.tenant_id for task, _ in given)

    assert counts["long"] == 20
    assert counts["short"] == 200


def test_who_had_nothing_to_do_for_a_while_does_not_make_up_for_it() -> None:
    turns = Turns()
    for _ in range(500):
        turns.charge("busy", 1.0)
    tasks = of(*(a_task(n, "busy") for n in range(20)), *(a_task(n, "back") for n in range(20)))

    counts = Counter(task.partition("-")[0] for task, _ in chosen(tasks, a_worker(free=20, slots=20), turns=turns))

    assert abs(counts["busy"] - counts["back"]) <= 2


def test_a_task_goes_to_a_worker_that_does_its_kind_and_has_its_model() -> None:
    tasks = of(a_task(1, model="large"), a_task(2, kind="ocr"), a_task(3))

    assert chosen(tasks, a_worker("small", models=("little",)), a_worker("big", models=("large",))) == [
        ("t-1", "big"),
        ("t-3", "small"),
    ]


def test_a_task_waits_for_a_fast_worker_that_is_about_to_be_free() -> None:
    def predict(_kind: str, _model: str, worker: str, _size: float) -> float:
        return {"fast": 1.0, "slow": 10.0}[worker]

    busy = Capacity("fast", frozenset({"chat"}), frozenset(), 0, Slots(1, 0, look=lambda: [2.0]))
    idle = Capacity("slow", frozenset({"chat"}), frozenset(), 1, Slots(1, 1))

    assert choose(of(a_task(1)), [busy, idle], Turns(), predict) == []


def test_with_enough_waiting_the_slow_worker_is_used_too() -> None:
    def predict(_kind: str, _model: str, worker: str, _size: float) -> float:
        return {"fast": 1.0, "slow": 4.0}[worker]

    workers = [a_worker("fast", free=10), a_worker("slow", free=10)]

    counts = Counter(worker for _, worker in choose(of(*(a_task(n) for n in range(10))), workers, Turns(), predict))

    assert counts == {"fast": 8, "slow": 2}


def test_a_worker_that_hangs_does_not_look_as_if_it_were_about_to_be_free() -> None:
    assert remaining(2.0, 1.5) == 0.5
    assert remaining(2.0, 602.0) == 600.0


def test_slots_are_looked_at_only_once_all_are_taken() -> None:
    looks: list[int] = []

    def look() -> list[float]:
        looks.append(1)
        return [1.5]

    slots = Slots(2, 1, look=look)
    assert slots.first() == 0.0
    slots.take(1.0)
    assert looks == []
    assert slots.first() == 1.0
    slots.take(3.0)
    assert slots.first() == 1.0, "the other slot is free as soon as that"
    slots.take(2.0)
    assert slots.first() == 1.0 + 2.5
    assert looks == [1]


def test_nothing_is_given_twice_and_no_worker_more_than_it_takes() -> None:
    draw = random.Random(7)
    for _ in range(200):
        tasks = of(
            *(
                a_task(n, draw.choice("abc"), draw.randrange(3), model=draw.choice(["", "m", "x"]))
                for n in range(draw.randrange(30))
            )
        )
        workers = [a_worker(f"w{n}", draw.randrange(4), draw.randrange(1, 3), ("m",)) for n in range(draw.randrange(4))]
        room = {worker.worker_id: worker.free for worker in workers}

        given = choose(tasks, workers, Turns(), one_second)

        assert len({task.id for task, _ in given}) == len(given)
        assert all(task.model != "x" for task, _ in given)
        assert all(count <= room[worker] for worker, count in Counter(worker for _, worker in given).items())
        doable = sum(task.model != "x" for of_tenant in tasks.values() for some in of_tenant.values() for task in some)
        assert len(given) == min(sum(room.values()), doable) or any(not worker.free for worker in workers)

"""The Python worker's own side: functions of all sorts, batches, and what they bring or fail to bring."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from nervio_worker import Answer, Job, Kind, Options, TaskFailed, Worker
from nervio_worker.desk import DONE, FAILED, HANDED_BACK, Desk
from nervio_worker.results import Identity, Results

from tests.conformance.fleets import WORKER_SOURCE, until


class Desktop:
    """A desk whose reports stay where they are: no master is there to take them."""

    def __init__(self, kinds: list[Kind], slots: int, credit: int) -> None:
        self.settled: list[Any] = []
        self.results = Results(Identity("w", "1"), self.settled.append)
        self.desk = Desk({kind.name: kind for kind in kinds}, slots, credit, self.results, lambda: None)

    def give(self, task_id: str, payload: Any = None, kind: str = "chat") -> None:
        """An attempt comes."""
        self.desk.take({"tenant_id": "t", "task_id": task_id, "token": 1, "kind": kind, "payload": payload or {}})

    def report(self, task_id: str) -> Any:
        """What was reported of it, if anything."""
        return self.results._reports.get(("t", task_id, 1))

    async def reported(self, task_id: str) -> Any:
        """What is reported of it."""
        await until(lambda: self.report(task_id) is not None, 5)
        return self.report(task_id)


@asynccontextmanager
async def a_desk(
    do: Callable[[Any], Any], *, batch: int = 1, slots: int = 1, credit: int = 8
) -> AsyncIterator[Desktop]:
    """A desk with one kind, `chat`."""
    made = Desktop([Kind("chat", do, batch)], slots, credit)
    try:
        yield made
    finally:
        await made.desk.close()


async def test_plain_functions_work_in_threads_beside_one_another() -> None:
    def slow(job: Job) -> str:
        time.sleep(0.2)
        return job.task_id

    async with a_desk(slow, slots=4) as at:
        began = time.monotonic()
        for n in range(4):
            at.give(str(n))
        results = [json.loads((await at.reported(str(n))).result) for n in range(4)]

    assert results == ["0", "1", "2", "3"]
    assert time.monotonic() - began < 0.7


async def test_a_batch_gets_what_waits_and_each_its_own_answer() -> None:
    sizes: list[int] = []

    async def embed(jobs: list[Job]) -> list[int]:
        sizes.append(len(jobs))
        await asyncio.sleep(0.05)
        return [job.payload["n"] * 10 for job in jobs]

    async with a_desk(embed, batch=3) as at:
        for n in range(7):
            at.give(str(n), {"n": n})
        results = [json.loads((await at.reported(str(n))).result) for n in range(7)]

    assert results == [0, 10, 20, 30, 40, 50, 60]
    assert sizes == [1, 3, 3]


async def test_a_batch_that_brings_too_few_answers_fails_as_a_whole() -> None:
    async with a_desk(lambda _jobs: [1], batch=2) as at:
        at.give("0")
        at.give("1")
        at.give("2")
        endings = [(await at.reported(str(n))).ending for n in range(3)]

    assert endings == [DONE, FAILED, FAILED]
    assert "2 jobs were given and 1 answers came back" in at.report("2").error


@pytest.mark.parametrize(
    ("answer", "words"),
    [({1, 2}, "JSON"), (float("nan"), "JSON"), (object(), "JSON")],
)
async def test_a_result_that_json_cannot_say_fails_in_words_for_good(answer: Any, words: str) -> None:
    async with a_desk(lambda _job: answer) as at:
        at.give("1")
        report = await at.reported("1")

    assert (report.ending, report.hopeless) == (FAILED, True)
    assert words in report.error


async def test_failures_say_what_they_are() -> None:
    async def fail(job: Job) -> None:
        if job.payload["how"] == "later":
            raise TaskFailed("the model is busy", retry_after_seconds=7.5)
        raise KeyError("text")

    async with a_desk(fail) as at:
        at.give("1", {"how": "later"})
        at.give("2", {"how": "bug"})
        later, bug = await at.reported("1"), await at.reported("2")

    assert (later.error, later.hopeless, later.retry_after_seconds) == ("the model is busy", False, 7.5)
    assert bug.error == "KeyError: 'text'"


async def test_what_it_cost_goes_with_the_result() -> None:
    async with a_desk(lambda _job: Answer({"text": "ñ"}, {"input_tokens": 3})) as at:
        at.give("1")
        report = await at.reported("1")

    assert (report.result, json.loads(report.usage)) == ('{"text":"ñ"}', {"input_tokens": 3})


async def test_what_is_above_the_credit_is_handed_back() -> None:
    async with a_desk(lambda _job: time.sleep(0.2), credit=2) as at:
        for n in range(3):
            at.give(str(n))

        assert at.report("2").ending == HANDED_BACK
        assert (await at.reported("1")).ending == DONE


async def test_the_same_attempt_is_done_once_and_a_newer_one_again() -> None:
    done: list[int] = []
    async with a_desk(lambda job: done.append(job.token)) as at:
        at.give("1")
        at.give("1")
        await at.reported("1")
        at.desk.settle(("t", "1", 1))
        at.give("1")
        at.desk.take({"tenant_id": "t", "task_id": "1", "token": 2, "kind": "chat", "payload": {}})
        await until(lambda: 2 in done)

    assert done == [1, 2]


async def test_a_cancelled_function_in_a_thread_can_see_it_and_nothing_is_reported() -> None:
    seen: list[bool] = []

    def slow(job: Job) -> None:
        while not job.is_cancelled:
            time.sleep(0.005)
        job.emit("nobody listens")
        seen.append(True)

    async with a_desk(slow) as at:
        at.give("1")
        await asyncio.sleep(0.05)
        at.desk.cancel(("t", "1", 1))
        await until(lambda: bool(seen), 5)
        await asyncio.sleep(0.05)

        assert at.report("1") is None
        assert len(at.desk) == 0


async def test_the_command_loads_the_kinds_of_a_module_and_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "my_kinds.py").write_text(
        "from nervio_worker import Job, kind\n\n@kind('chat')\ndef chat(job: Job) -> str:\n    return 'hello'\n",
        encoding="utf-8",
    )

    async def said(*options: str) -> tuple[int | None, str]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "nervio_worker", "--broker", "mqtt://127.0.0.1:1", *options),
            cwd=tmp_path,
            env={"PYTHONPATH": str(WORKER_SOURCE), "PATH": ""},
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stderr is not None
        line = (await process.stderr.readline()).decode()
        if process.returncode is None and "does chat" in line:
            process.terminate()
        await process.communicate()
        return process.returncode, line

    assert (await said("--module", "my_kinds"))[1].endswith("does chat\n")
    assert await said() == (
        1,
        "nervio-worker: no kinds: name a module with --module whose functions have @nervio_worker.kind(...)\n",
    )
    assert "my_kindz" in (await said("--module", "my_kindz"))[1]
    assert "slots and credit" in (await said("--slots", "0"))[1]
    assert "mqtt://" in (await said("--broker", "http://x"))[1]


def test_two_functions_for_one_kind_are_refused() -> None:
    worker = Worker(Options("mqtt://127.0.0.1:1"))
    worker.kind("chat")(str)
    with pytest.raises(ValueError, match="named twice"):
        worker.kind("chat")(str)

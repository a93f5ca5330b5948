"""Tasks through the whole program: queued over HTTP, done by the models of this process, followed while they are."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.builders import a_postgres_url
from tests.runtime.program import Program, Server, a_program, a_server
from tests.runtime.test_two_processes import a_port

QUESTION = {"kind": "chat", "payload": {"messages": [{"role": "user", "content": "¿Qué vendimos ayer?"}]}}


async def a_shop(program: Program) -> dict[str, str]:
    """The headers of an administrator."""
    root = await program.login()
    body = {"slug": "shop", "name": "Shop", "admin_email": "admin@shop.test", "admin_name": "Admin"}
    made = await program.client.post("/api/tenants", json=body, headers=root)
    return await program.login("admin@shop.test", made.json()["admin_password"])


async def ask(program: Program, headers: dict[str, str], task: dict[str, Any]) -> dict[str, Any]:
    """What becomes of a task."""
    queued = await program.client.post("/api/tasks", json=task, headers=headers)
    assert queued.status_code == 202, queued.text
    address = f"/api/tasks/{queued.json()['id']}?wait_seconds=20"
    found: dict[str, Any] = (await program.client.get(address, headers=headers)).json()
    return found


async def test_a_question_is_answered_by_the_offline_model_and_counted(tmp_path: Path) -> None:
    async with a_program(tmp_path, ("gateway",)) as program:
        headers = await a_shop(program)

        task = await ask(program, headers, QUESTION)

        assert task["state"] == "done", task
        assert task["result"]["provider"] == "offline" and task["result"]["text"]
        assert [attempt["ending"] for attempt in task["history"]] == ["done"]
        again = await ask(program, headers, QUESTION)
        assert again["result"]["text"] == task["result"]["text"]
        assert again["usage"]["cached"] and again["history"] == []
        figures = (await program.client.get("/api/stats", headers=headers)).json()
        assert figures["system"]["total_tasks"] == 2
        assert figures["system"]["queue_length"] == 0
        assert figures["performance"]["throughput"] == 1
        assert figures["errors"] == {"total_errors": 0, "error_rate": 0.0, "last_error": None}
        days = {"since": task["created_at"][:10], "until": task["created_at"][:10]}
        (used,) = (await program.client.get("/api/fleet/usage", params=days, headers=headers)).json()["usage"]
        assert (used["done"], used["cached"]) == (2, 1)
        assert used["saved_output_tokens"] == used["output_tokens"] > 0


async def test_a_list_may_be_asked_for_without_results(tmp_path: Path) -> None:
    async with a_program(tmp_path, ("gateway",)) as program:
        headers = await a_shop(program)
        task = await ask(program, headers, QUESTION)
        for query, shown in (({}, task["result"]), ({"results": "false"}, None)):
            (listed,) = (await program.client.get("/api/tasks", params=query, headers=headers)).json()["items"]
            assert (listed["id"], listed["result"]) == (task["id"], shown)
        sheet = (await program.client.get("/api/tasks", headers={**headers, "Accept": "text/csv"})).text
        assert task["id"] in sheet and task["result"]["text"] not in sheet


async def test_texts_become_vectors(tmp_path: Path) -> None:
    async with a_program(tmp_path, ("gateway",)) as program:
        task = await ask(program, await a_shop(program), {"kind": "embed", "payload": {"texts": ["yerba", "mate"]}})

        assert task["state"] == "done", task
        assert len(task["result"]["vectors"]) == 2


async def test_a_payload_that_makes_no_sense_fails_at_once_and_names_its_field(tmp_path: Path) -> None:
    async with a_program(tmp_path, ("gateway",)) as program:
        task = await ask(program, await a_shop(program), {"kind": "chat", "payload": {"messages": "hola"}})

        assert (task["state"], task["attempts"]) == ("failed", 1)
        assert "messages" in task["error"]


async def test_an_answer_comes_in_parts_and_ends_with_the_task(tmp_path: Path) -> None:
    async with a_program(tmp_path, ("gateway",)) as program:
        headers = await a_shop(program)
        queued = (await program.client.post("/api/tasks", json=QUESTION, headers=headers)).json()

        stream = await program.client.get(f"/api/tasks/{queued['id']}/stream", headers=headers)

        events = [block.split("\n") for block in stream.text.strip().split("\n\n")]
        kinds = [lines[0].removeprefix("event: ") for lines in events]
        assert kinds[-1] == "end"
        assert set(kinds[:-1]) <= {"chunk"}
        whole = json.loads(events[-1][-1].removeprefix("data: "))
        said = "".join(json.loads(lines[-1].removeprefix("data: "))["text"] for lines in events[:-1])
        assert whole["result"]["text"].startswith(said)


@pytest.mark.slow
async def test_what_was_queued_before_a_restart_is_answered_after_it(tmp_path: Path) -> None:
    await asyncio.to_thread(restart, tmp_path)


def restart(folder: Path) -> None:
    with a_server(folder, a_port(), "serve", "--roles", "web") as server:
        password = server.first_password()
        task_id = queue(server, log_in(server, password))
        server.process.kill()
        server.process.wait(10)
    with a_server(folder, a_port()) as server:
        headers = log_in(server, password)
        assert answer(server, headers, task_id)["state"] == "done"
        assert answer(server, headers, queue(server, headers))["state"] == "done"


@pytest.mark.slow
@pytest.mark.services("postgres")
async def test_one_process_queues_and_another_answers(tmp_path: Path, postgres_url: str) -> None:
    async with a_postgres_url(postgres_url) as url:
        await asyncio.to_thread(two_processes, tmp_path, url.replace("postgresql+asyncpg", "postgresql"))


def two_processes(folder: Path, url: str) -> None:
    with (
        a_server(folder, a_port(), DATABASE_URL=url) as master,
        a_server(folder, a_port(), "serve", "--roles", "web", DATABASE_URL=url) as face,
    ):
        headers = log_in(face, master.first_password())
        tasks = [queue(face, headers) for _ in range(5)]
        assert [answer(face, headers, task)["state"] for task in tasks] == ["done"] * 5
        stream = face.call("GET", f"/api/tasks/{tasks[0]}/stream", headers=headers).body.decode()
        assert stream.startswith("event: end")


def log_in(server: Server, password: str) -> dict[str, str]:
    reply = server.call("POST", "/api/auth/login", {"email": "admin@nervio.local", "password": password})
    assert reply.status == 200, reply.body
    return {"Authorization": f"Bearer {reply.json()['access_token']}"}


def queue(server: Server, headers: dict[str, str]) -> str:
    reply = server.call("POST", "/api/tasks", QUESTION, headers)
    assert reply.status == 202, reply.body
    task_id: str = reply.json()["id"]
    return task_id


def answer(server: Server, headers: dict[str, str], task_id: str) -> dict[str, Any]:
    found: dict[str, Any] = server.call("GET", f"/api/tasks/{task_id}?wait_seconds=20", headers=headers).json()
    return found

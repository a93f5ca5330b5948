"""Limits over HTTP, in the whole program: refusals with their code and `Retry-After`, and how often one may ask."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.model_peer import KEY, a_provider
from tests.runtime.program import Program, a_program
from tests.runtime.test_fleet import QUESTION, a_shop, ask

LIMITS, TASKS = "/api/fleet/limits", "/api/tasks"


async def put(program: Program, headers: dict[str, str], **limits: Any) -> Any:
    """The answer to a change of limits."""
    answer = await program.client.put(LIMITS, json=limits, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_quota_is_set_used_up_refused_and_raised(tmp_path: Path) -> None:
    async with a_program(tmp_path) as program:
        headers = await a_shop(program)
        none = (await program.client.get(LIMITS, headers=headers)).json()
        assert none["quotas"] == [] and none["changed_at"] is None
        money = [{"currency": "USD", "per_month_micros": 20_000_000}]
        state = await put(program, headers, tasks_per_day=3, money=money)
        assert state["limits"]["money"] == [{"currency": "USD", "per_day_micros": None, "per_month_micros": 20_000_000}]
        assert [(one["measure"], one["period"], one["used"], one["is_reached"]) for one in state["quotas"]] == [
            ("tasks", "day", 0, False), ("money", "month", 0, False),
        ]  # fmt: skip

        first = await program.client.post(TASKS, json=QUESTION, headers=headers)
        many = await program.client.post(f"{TASKS}/batch", json={"tasks": [QUESTION] * 4}, headers=headers)
        refused = await program.client.post(TASKS, json=QUESTION, headers={**headers, "Idempotency-Key": "later"})

        assert first.status_code == 202
        codes = [one["problem"] and one["problem"]["code"] for one in many.json()["tasks"]]
        assert codes == [None, None, "tasks_per_day_reached", "tasks_per_day_reached"]
        problem = refused.json()
        assert (refused.status_code, problem["code"], problem["used"], problem["limit"]) == (
            429,
            "tasks_per_day_reached",
            3,
            3,
        )
        assert 1 <= int(refused.headers["Retry-After"]) <= 86_400
        assert problem["free_at"].endswith("T00:00:00.000000Z")
        await put(program, headers, tasks_per_day=4)
        again = await program.client.post(TASKS, json=QUESTION, headers={**headers, "Idempotency-Key": "later"})
        assert again.status_code == 202, "the refusal was no answer to remember"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"tasks_per_day": -1}, "tasks_per_day"),
        ({"tasks_per_day": "5"}, "tasks_per_day"),
        ({"tasks_per_day": 2**63}, "tasks_per_day"),
        ({"most_running": 1.5}, "most_running"),
        ({"task_per_day": 1}, "task_per_day"),
        ({"money": [{"currency": "usd", "per_day_micros": 1}]}, "money[0].currency"),
        ({"money": [{"currency": "USD", "per_day_micros": 1}, {"currency": "USD"}]}, "money[1].currency"),
        ({"money": {"USD": 1}}, "money"),
    ],
)
async def test_what_is_no_limit_is_refused_and_named(tmp_path: Path, body: dict[str, Any], field: str) -> None:
    async with a_program(tmp_path) as program:
        headers = await a_shop(program)
        answer = await program.client.put(LIMITS, json=body, headers=headers)
        assert answer.status_code == 422, answer.text
        assert answer.json()["field"] == field


async def test_only_administrators_change_limits(tmp_path: Path) -> None:
    async with a_program(tmp_path) as program:
        headers = await a_shop(program)
        key = {"name": "models", "roles": ["ml_service"]}
        made = await program.client.post("/api/keys", json=key, headers=headers)
        assert made.status_code < 300, made.text
        service = {"X-API-Key": made.json()["secret"]}
        assert (await program.client.get(LIMITS, headers=service)).status_code == 200
        refused = await program.client.put(LIMITS, json={}, headers=service)
        assert (refused.status_code, refused.json()["permission"]) == (403, "fleet.limit")
        assert (await program.client.put(LIMITS, json={})).status_code == 401


async def test_so_many_requests_a_window_are_taken_of_one_person_or_key(tmp_path: Path) -> None:
    async with a_program(tmp_path, fleet={"requests_per_window": 3, "request_window_seconds": 60}) as program:
        headers = await a_shop(program)
        batch = {"tasks": [QUESTION] * 50}
        for path, body in ((TASKS, QUESTION), (f"{TASKS}/batch", batch), (TASKS, QUESTION)):
            assert (await program.client.post(path, json=body, headers=headers)).status_code == 202

        for path, body in ((TASKS, QUESTION), (f"{TASKS}/batch", batch)):
            refused = await program.client.post(path, json=body, headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
            assert 1 <= int(refused.headers["Retry-After"]) <= 60
        # Others, and other requests of the same person, go on.
        assert (await program.client.get(TASKS, headers=headers)).status_code == 200
        made = await program.client.post("/api/keys", json={"name": "models", "roles": ["ml_service"]}, headers=headers)
        service = {"X-API-Key": made.json()["secret"]}
        assert (await program.client.post(TASKS, json=QUESTION, headers=service)).status_code == 202


async def test_a_hundred_requests_are_the_rule_and_none_the_exception(tmp_path: Path) -> None:
    cases: list[tuple[dict[str, Any], int]] = [({}, 100), ({"fleet": {"requests_per_window": 0}}, 130)]
    for given, taken in cases:
        folder = tmp_path / str(taken)
        folder.mkdir()
        async with a_program(folder, (), **given) as program:
            headers = await a_shop(program)
            calls = [program.client.post(TASKS, json=QUESTION, headers=headers) for _ in range(130)]
            found = [answer.status_code for answer in await asyncio.gather(*calls)]
            assert found.count(202) == taken and found.count(429) == 130 - taken


@pytest.mark.sockets
async def test_what_a_provider_charges_is_on_the_bill_of_its_shop_alone_and_stops_it_at_the_limit(
    tmp_path: Path,
) -> None:
    async with a_provider() as peer:
        kitchen = {"base_url": peer.url, "api_key": KEY, "chat_models": "cook", "allow_private_addresses": True}
        prices = {"kitchen/cook": {"input": 1_000_000, "output": 2_000_000, "currency": "EUR"}}
        models = {"providers": {"kitchen": kitchen}, "prices": prices}
        async with a_program(tmp_path, ("gateway",), models=models) as program:
            headers, root = await a_shop(program), await program.login()
            await put(program, headers, money=[{"currency": "EUR", "per_day_micros": 40}])
            anew = {**QUESTION, "cache": False}
            tasks = [await ask(program, headers, anew) for _ in range(2)]
            refused = await program.client.post(TASKS, json=QUESTION, headers=headers)
            freely = await ask(program, root, QUESTION)
            bills = []
            for who in (headers, root):
                month = {"month": tasks[0]["created_at"][:7]}
                bills.append((await program.client.get("/api/fleet/bill", params=month, headers=who)).json())

    assert [task["usage"]["cost_micros"] for task in (*tasks, freely)] == [25, 25, 25]
    assert (refused.status_code, refused.json()["code"], refused.json()["used"]) == (429, "money_per_day_reached", 50)
    assert [[(one["kind"], one["currency"], one["tasks"], one["charged"]) for one in bill["lines"]] for bill in bills] == [
        [("chat", "EUR", 2, "0.00005")], [("chat", "EUR", 1, "0.000025")],
    ]  # fmt: skip
    assert len(peer.calls) == 3

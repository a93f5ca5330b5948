"""The whole API against its own description: whatever schemathesis can think of is answered as the description says."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from requests import Request
from schemathesis.checks import CHECKS
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode

from tests.runtime.looped import Looped, a_looped_program

EXAMPLES = {GenerationMode.POSITIVE: 12, GenerationMode.NEGATIVE: 8}

# A valid request may be refused by a rule of the business (payments that do not add up), and who may call what is the
# matter of test_isolation.py, which asks every route.
LEFT_OUT = {"positive_data_acceptance", "ignored_auth"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Looped, dict[str, str]]]:
    """A program, and the headers of a superadmin's key, which no logging out can end."""
    with a_looped_program(tmp_path_factory.mktemp("api"), server={"queue_capacity": 1000}) as looped:
        yield looped, looped.do(a_key(looped))


async def a_key(looped: Looped) -> dict[str, str]:
    """The headers of a new API key that may do everything."""
    headers = await looped.program.login()
    body = {"name": "everything", "roles": ["superadmin"]}
    made = await looped.program.client.post("/api/keys", json=body, headers=headers)
    assert made.status_code == 201, made.text
    return {"X-API-Key": made.json()["secret"]}


@pytest.mark.slow
def test_every_answer_is_as_described(served: tuple[Looped, dict[str, str]]) -> None:
    looped, key = served
    document = looped.program.face.application.openapi()
    schema = schemathesis.openapi.from_dict(document)
    checks = [check for check in CHECKS.get_all() if check.__name__ not in LEFT_OUT]
    failures: dict[str, BaseException] = {}
    tried = 0
    for result in schema.get_all_operations():
        assert isinstance(result, Ok), result
        operation = result.ok()
        for mode, examples in EXAMPLES.items():

            @given(case=operation.as_strategy(generation_mode=mode))
            @settings(
                max_examples=examples,
                deadline=None,
                derandomize=True,
                database=None,
                phases=[Phase.explicit, Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            def ask(case: Any) -> None:
                nonlocal tried
                tried += 1
                response = looped.do(answer_to(looped.program.client, case, key))
                case.validate_response(response, checks=checks, headers=key)

            try:
                with contextlib.suppress(Unsatisfiable):  # nothing about it can be wrong
                    ask()
            except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 (all of them are shown together)
                failures[f"{operation.label} {mode.value}"] = error
            if operation.path.endswith("/freeze"):
                looped.do(thaw(looped.program.client, key))
            if operation.path.endswith("/emergency/policy"):
                looped.do(forget_policy(looped.program.client, key))
    assert tried > 200
    assert not failures, "\n\n".join(f"--- {label}\n{error}" for label, error in failures.items())


async def answer_to(client: httpx.AsyncClient, case: Any, key: dict[str, str]) -> httpx.Response:
    """The answer to a case by a program that is not stopped.

    On a machine with too much to do the watch over the halts may miss its time, and then everything counts as stopped
    until it has read again: right for a shop, nothing to learn about the description.
    """
    for _ in range(100):
        response = await send(client, case, key)
        if response.status_code != 503 or response.json()["kind"] != "halted":
            return response
        await asyncio.sleep(0.1)
    raise AssertionError("the program stays stopped")


async def send(client: httpx.AsyncClient, case: Any, key: dict[str, str]) -> httpx.Response:
    """The answer to a case, sent to the application itself."""
    arguments = case.as_transport_kwargs(base_url="http://shop.test", headers=key)
    wanted = {"method", "url", "headers", "params", "data", "json", "cookies", "files"}
    prepared = Request(**{name: value for name, value in arguments.items() if name in wanted}).prepare()
    body: Any = prepared.body
    headers: dict[str, Any] = dict(prepared.headers)
    return await client.request(str(prepared.method), str(prepared.url), headers=headers, content=body)


async def thaw(client: httpx.AsyncClient, key: dict[str, str]) -> None:
    """Lets go of whatever a case has stopped."""
    listed = await client.get("/api/admin/emergency/halts?active=true&limit=500", headers=key)
    for halt in listed.json()["items"]:
        body = {
            "reason": "test",
            "scope": halt["scope"],
            "module": halt["module"],
            "location_id": halt["location_id"],
            "stages": "none",
        }
        answer = await client.post("/api/admin/emergency/unfreeze", json=body, headers=key)
        assert answer.status_code == 200, answer.text


async def forget_policy(client: httpx.AsyncClient, key: dict[str, str]) -> None:
    """Lets one person thaw again, whatever a case has wanted."""
    for scope in ("tenant", "installation"):
        body = {"scope": scope, "two_person_thaw": False, "thaw_stage_seconds": 0, "default_level": "all"}
        answer = await client.put("/api/admin/emergency/policy", json=body, headers=key)
        assert answer.status_code == 200, answer.text


def test_the_description_is_whole(served: tuple[Looped, dict[str, str]]) -> None:
    looped, _ = served
    application = looped.program.face.application
    document = application.openapi()
    ids = []
    for path, item in document["paths"].items():
        for method, operation in item.items():
            ids.append(operation["operationId"])
            where = f"{method} {path}"
            assert operation.get("summary"), where
            assert operation.get("tags"), where
            for status, answer in operation["responses"].items():
                if int(status) >= 400 and "health" not in operation["tags"]:
                    assert list(answer["content"]) == ["application/problem+json"], f"{where} {status}"
            if "health" not in operation["tags"]:
                assert {"422", "429", "503"} <= operation["responses"].keys(), where
    assert len(ids) == len(set(ids))
    for hot in application.hot_routes:
        assert hot.method.lower() in document["paths"][hot.path]


def test_the_api_browser_is_made_of_our_own_files(served: tuple[Looped, dict[str, str]]) -> None:
    looped, _ = served
    client = looped.program.client
    page = looped.do(client.get("/docs")).text
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    assert "<script>" not in page
    for name in ("browser.css", "browser.js"):
        assert f"/docs/{name}" in page
        assert looped.do(client.get(f"/docs/{name}")).status_code == 200

"""The emergency endpoints: who gets in, and the literal shapes."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from nervio.db.sqlite import SQLiteDatabase
from nervio.kernel.errors import NervioError
from nervio.kernel.time import to_iso
from nervio.modules.safety import api as safety
from nervio.modules.safety.contracts.halts import Frozen
from nervio.modules.safety.contracts.halts import Scope as StopScope
from nervio.modules.safety.module import MANIFEST
from tests.builders import QUEUE_CAPACITY, Store, a_store

QUIET = {"active": False, "activated_at": None, "activated_by": None, "reason": None}
STATUS_OF = {
    "unauthenticated": 401,
    "forbidden": 403,
    "not_found": 404,
    "conflict": 409,
    "invalid": 422,
    "unavailable": 503,
}


class LoggedIn:
    """Stands where the program's authentication stands: the role is the bearer token."""

    def __init__(self, app: ASGIApp, store: Store) -> None:
        self._app = app
        self._store = store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        role = dict(scope.get("headers", [])).get(b"authorization", b"").removeprefix(b"Bearer ").decode()
        if role:
            held = frozenset(name for name, roles in MANIFEST.permissions.items() if role in roles)
            ctx = replace(self._store.ctx, actor_id=role, permissions=held, is_person=True)
            scope.setdefault("state", {})["ctx"] = ctx
        await self._app(scope, receive, send)


@asynccontextmanager
async def serving(store: Store) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    for router in MANIFEST.routers:
        app.include_router(router)

    @app.exception_handler(NervioError)
    async def refuse(_request: Request, refusal: Exception) -> Response:
        assert isinstance(refusal, NervioError)
        return JSONResponse({"code": refusal.code, **refusal.data}, STATUS_OF[refusal.kind.value])

    app.add_middleware(LoggedIn, store=store)
    app.state.halt_watch = safety.HaltWatch(store.database, store.clock)
    await app.state.halt_watch.refresh()
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://test/api/admin/emergency"
    ) as client:
        yield client


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with a_store(tmp_path) as opened:
        yield opened


@pytest.fixture
async def client(store: Store) -> AsyncIterator[httpx.AsyncClient]:
    opening: AbstractAsyncContextManager[httpx.AsyncClient] = serving(store)
    async with opening as opened:
        yield opened


def bearer(role: str) -> dict[str, str]:
    return {"authorization": f"Bearer {role}"}


async def test_the_whole_emergency_stop(client: httpx.AsyncClient, store: Store) -> None:
    """Status, refusal without rights, freeze, status at once, resume: as the operators' script tries it."""
    assert (await client.get("/status")).json() == QUIET
    for path in ("/freeze", "/unfreeze"):
        assert (await client.post(path, json={"reason": "fire"})).status_code == 401
        assert (await client.post(path, json={"reason": "fire"}, headers=bearer("ml_service"))).status_code == 403
    narrow = await client.post("/freeze", json={"reason": "fire", "scope": "installation"}, headers=bearer("admin"))
    assert narrow.status_code == 403
    assert (await client.get("/status")).json() == QUIET

    frozen = await client.post("/freeze", json={"reason": "fire"}, headers=bearer("superadmin"))
    assert frozen.status_code == 200
    assert frozen.json()["pending"] is False
    assert frozen.json()["halt"]["scope"] == "installation"
    at = to_iso(store.clock.now())
    stopped = {"active": True, "activated_at": at, "activated_by": "superadmin", "reason": "fire"}
    assert (await client.get("/status")).json() == stopped

    assert (await client.post("/unfreeze", json={"reason": "out"}, headers=bearer("admin"))).json()["cleared"] == []
    thawed = await client.post("/unfreeze", json={"reason": "out"}, headers=bearer("superadmin"))
    assert [halt["clear_reason"] for halt in thawed.json()["cleared"]] == ["out"]
    assert (await client.get("/status")).json() == QUIET


async def test_one_stop_of_two_of_the_same_scope_is_ended_by_its_id(client: httpx.AsyncClient, store: Store) -> None:
    other = await store.another_tenant()
    admin, chief = bearer("admin"), bearer("superadmin")
    body = {"reason": "a rule's", "scope": "tenant", "module": "sales", "level": "read_only", "for_seconds": 1800}
    short = (await client.post("/freeze", json=body, headers=admin)).json()["halt"]["id"]
    latched = (
        await client.post("/freeze", json={**body, "reason": "fire", "for_seconds": None}, headers=admin)
    ).json()["halt"]["id"]
    one = {"reason": "out", "halt_id": short}
    ended = (await client.post("/unfreeze", json=one, headers=admin)).json()
    assert ([halt["id"] for halt in ended["cleared"]], [halt["id"] for halt in ended["remaining"]]) == (
        [short],
        [latched],
    )
    again = await client.post("/unfreeze", json=one, headers=admin)
    assert (again.status_code, again.json()["cleared"]) == (200, [])
    for also in ({"scope": "tenant"}, {"module": "sales"}, {"location_id": store.main.id}, {"level": "read_only"}):
        refused = await client.post("/unfreeze", json={"reason": "out", "halt_id": latched, **also}, headers=admin)
        assert (refused.status_code, refused.json()["code"]) == (422, "halt_id_alone")
    assert (
        await client.post("/unfreeze", json={**one, "halt_id": latched}, headers=bearer("cashier"))
    ).status_code == 403
    whole = (await client.post("/freeze", json={"reason": "flood"}, headers=chief)).json()["halt"]["id"]
    assert (await client.post("/unfreeze", json={**one, "halt_id": whole}, headers=admin)).status_code == 403
    theirs = await safety.freeze(other.ctx, "theirs", scope=StopScope.TENANT)
    assert isinstance(theirs, Frozen)
    for unknown in (theirs.halt.id, "x"):
        refused = await client.post("/unfreeze", json={**one, "halt_id": unknown}, headers=chief)
        assert (refused.status_code, refused.json()["code"]) == (404, "halt_not_found")


async def test_a_shops_own_stop_is_told_to_the_shop_and_not_to_the_public(client: httpx.AsyncClient) -> None:
    await client.post("/freeze", json={"reason": "fire"}, headers=bearer("cashier"))
    assert (await client.get("/status")).json() == QUIET
    assert (await client.get("/status", headers=bearer("cashier"))).json()["reason"] == "fire"


@pytest.mark.parametrize(
    "body", [{}, {"reason": ""}, {"reason": "x", "level": "some"}, {"reason": "x", "modul": "sales"}]
)
async def test_a_body_that_is_wrong_is_refused(client: httpx.AsyncClient, body: dict[str, str]) -> None:
    assert (await client.post("/freeze", json=body, headers=bearer("superadmin"))).status_code == 422


async def test_a_stop_for_a_time_and_two_people_over_http(client: httpx.AsyncClient, store: Store) -> None:
    admin, chief = bearer("admin"), bearer("superadmin")
    policy = {"two_person_thaw": True, "thaw_stage_seconds": 0}
    saved = (await client.put("/policy", json=policy, headers=admin)).json()
    assert saved["policy"]["two_person_thaw"] is True
    assert (await client.get("/policy", headers=bearer("cashier"))).json() == saved["policy"]
    body = {"reason": "fire", "scope": "tenant", "for_seconds": 60}
    frozen = (await client.post("/freeze", json=body, headers=bearer("cashier"))).json()
    assert frozen["halt"]["expires_at"] == to_iso(store.clock.now() + 60_000_000)
    asked = await client.post("/unfreeze", json={"reason": "out", "scope": "tenant"}, headers=admin)
    assert (asked.status_code, asked.json()["cleared"]) == (202, [])
    request = asked.json()["requested"][0]
    assert (await client.get("/thaw-requests", headers=chief)).json()["items"] == [request]
    confirm = f"/thaw-requests/{request['id']}/confirm"
    assert (await client.post(confirm, json={"note": "me too"}, headers=admin)).status_code == 403
    settled = await client.post(confirm, json={"note": "checked"}, headers=chief)
    assert [halt["id"] for halt in settled.json()["cleared"]] == [frozen["halt"]["id"]]
    assert (await client.post(confirm, json={"note": "checked"}, headers=chief)).status_code == 409
    assert (await client.post("/thaw-requests/x/refuse", json={"note": "no"}, headers=chief)).status_code == 404
    wrong = {"reason": "fire", "expires_at": "tomorrow"}
    assert (await client.post("/freeze", json=wrong, headers=chief)).status_code == 422


async def test_halts_come_in_pages(client: httpx.AsyncClient, store: Store) -> None:
    for module in ("sales", "stock", "catalog"):
        await safety.freeze(store.ctx, module, module=module)
    assert (await client.get("/halts")).status_code == 401
    first = (await client.get("/halts", params={"limit": 2}, headers=bearer("cashier"))).json()
    rest = {"limit": 2, "cursor": first["next_cursor"]}
    second = (await client.get("/halts", params=rest, headers=bearer("cashier"))).json()
    assert [halt["module"] for halt in first["items"] + second["items"]] == ["catalog", "stock", "sales"]
    assert second["next_cursor"] is None
    assert (await client.get("/halts", params={"cursor": "WzEsIngiXQ"}, headers=bearer("cashier"))).status_code == 422


async def test_a_stop_that_is_not_acknowledged_says_who_holds_it_up(
    client: httpx.AsyncClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nervio.db.sqlite.LOCK_PATIENCE_SECONDS", 0.2)
    impatient = SQLiteDatabase(Path(store.address), store.clock, QUEUE_CAPACITY)
    holder = SQLiteDatabase(Path(store.address), store.clock, QUEUE_CAPACITY)
    try:
        with holder._writer_engine.connect() as connection, connection.begin():
            async with serving(
                replace(store, database=impatient, ctx=replace(store.ctx, database=impatient))
            ) as waiting:
                answer = await waiting.post("/freeze", json={"reason": "fire"}, headers=bearer("superadmin"))
    finally:
        await holder.close()
        await impatient.close()
    assert answer.status_code == 202
    assert answer.json()["pending"] is True
    assert (await client.get("/status")).json() == QUIET

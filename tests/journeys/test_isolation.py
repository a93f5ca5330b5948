"""Nobody sees or touches another tenant's data: every route there is, asked by a stranger with a neighbour's ids.

The routes come from the manifests, so a new one is asked from its first day: an address whose parameter nobody here has a
neighbour's value for fails the test.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from nervio.kernel.ids import new_id
from nervio.runtime.manifests import MANIFESTS, permissions_of
from tests.journeys.furnishing import furnish_dead_letter, furnish_job, furnish_outside, furnish_task
from tests.runtime.program import Program, a_program

MARK = "ZQXNEIGHBOUR"
"""In every text of the neighbour's; found in an answer, something leaked."""

# What a stranger may be told, since it concerns the whole installation or nobody.
PUBLIC = frozenset({("POST", "/api/auth/login"), ("GET", "/api/admin/emergency/status")})
# Would end the session that asks.
LOGOUT = ("POST", "/api/auth/logout")
PUBLIC_PATHS = frozenset({"/health", *(f"/api/health{of}" for of in ("", "/database", "/redis", "/nats"))})


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A shop's things by the name of the parameter that asks for them, and what must not appear in an answer."""

    things: dict[str, list[str]]
    secrets: list[str]


@dataclass(frozen=True, slots=True)
class Street:
    """Two shops of one installation. `stranger` is everything one can be in a shop without being a superadmin."""

    program: Program
    stranger: dict[str, str]
    neighbour: Neighbour
    owner: dict[str, str]


@asynccontextmanager
async def a_street(folder: Path) -> AsyncIterator[Street]:
    """The neighbour's shop with one of everything, and a stranger from another shop."""
    async with a_program(folder) as program:
        await asyncio.to_thread(program.face.application.openapi)  # takes a while, in which nothing else should wait
        root = await program.login()
        owner = await a_shop(program, root, "neighbour", f"{MARK} shop")
        stranger = await a_shop(program, root, "stranger", "Stranger's")
        things, secrets = await furnish(program, owner)
        await ok(program.client.post("/api/locations", json={"code": "MAIN", "name": "Mine"}, headers=stranger))
        yield Street(program, stranger, Neighbour(things, secrets), owner)


async def a_shop(program: Program, root: dict[str, str], slug: str, name: str) -> dict[str, str]:
    """The headers of the administrator of a new shop."""
    body = {"slug": slug, "name": name, "admin_email": f"admin@{slug}.test", "admin_name": f"{name} admin"}
    made = await ok(program.client.post("/api/tenants", json=body, headers=root))
    return await program.login(f"admin@{slug}.test", made["admin_password"])


async def furnish(program: Program, owner: dict[str, str]) -> tuple[dict[str, list[str]], list[str]]:
    """One of everything a shop can have, made over HTTP."""
    client = program.client

    async def post(path: str, body: object) -> Any:
        return await ok(client.post(path, json=body, headers=owner))

    async def get(path: str) -> Any:
        return await ok(client.get(path, headers=owner))

    place = await post("/api/locations", {"code": f"{MARK}-L", "name": f"{MARK} place"})
    product = {"sku": f"{MARK}-P", "name": f"{MARK} thing", "unit_price_minor": 100, "category": f"{MARK} kind"}
    await post("/api/products", {"products": [product]})
    line = {"sku": f"{MARK}-P", "quantity_milli": 9000}
    await post(
        "/api/stock/movements",
        {"documents": [{"kind": "receipt", "location": f"{MARK}-L", "lines": [line], "reference": f"{MARK}-R"}]},
    )
    hold = await post("/api/stock/holds", {"location": f"{MARK}-L", "lines": [{**line, "quantity_milli": 1000}]})
    ticket = await post(
        "/api/sales",
        {
            "location": f"{MARK}-L",
            "lines": [{**line, "quantity_milli": 1000}],
            "payments": [{"kind": "cash", "amount_minor": 100}],
            "number": f"{MARK}-T",
        },
    )
    user = await post(
        "/api/users", {"email": f"{MARK.lower()}@shop.test", "name": f"{MARK} person", "roles": ["cashier"]}
    )
    key = await post("/api/keys", {"name": f"{MARK} key", "roles": ["cashier"]})
    stop = {"reason": f"{MARK} stop", "module": "console", "level": "reduce_only"}
    await ok(client.put("/api/admin/emergency/policy", json={"two_person_thaw": True}, headers=owner))
    await post("/api/admin/emergency/freeze", stop)
    asked = (await client.post("/api/admin/emergency/unfreeze", json=stop, headers=owner)).json()["requested"][0]
    products, entries = await get("/api/products"), await get("/api/ledger/entries")
    things = {
        "reference": [
            f"{MARK}-P",
            products["items"][0]["id"],
            f"{MARK}-T",
            ticket["id"],
            f"{MARK}-L",
            place["id"],
        ],
        "hold_id": [hold["id"]],
        "request_id": [asked["id"]],
        "user_id": [user["user"]["id"]],
        "key_id": [key["key"]["id"]],
        "entry_id": [entry["id"] for entry in entries["items"]],
        "location": [f"{MARK}-L", place["id"]],
        **await furnish_outside(client, owner, MARK),
        **await furnish_task(client, owner, MARK),
        **await furnish_job(program, "neighbour", MARK),
        **await furnish_dead_letter(program, "neighbour", MARK),
    }
    ids = sorted({value for values in things.values() for value in values if MARK not in value})
    return things, [MARK, MARK.lower(), *ids]


async def ok(answer: Any) -> Any:
    """The body of an answer that must be good."""
    reply = await answer
    assert reply.status_code in {200, 201, 202}, reply.text
    return reply.json()


def routes_of(program: Program) -> list[tuple[str, str]]:
    """(method, path) of every route of every module and of the runtime, hot ones too."""
    face = program.face.application
    found = [(hot.method, hot.path) for hot in face.hot_routes]
    routers = [router for manifest in MANIFESTS for router in manifest.routers]
    for route in [route for router in routers for route in router.routes]:
        if isinstance(route, APIRoute) and not route.path.startswith("/console") and route.include_in_schema:
            found += [(method, re.sub(r":\w+}", "}", route.path)) for method in sorted(route.methods or ())]
    described = {
        (method.upper(), path)
        for path, item in face.openapi()["paths"].items()
        for method in item
        if method != "parameters"
    }
    assert described - set(found) - {("GET", path) for path in PUBLIC_PATHS} <= {("POST", "/test/simulate-sale")}
    return sorted({*found, *described})


def filled(path: str, neighbour: Neighbour) -> list[str]:
    """The addresses that a path has with the neighbour's things in it."""
    names = re.findall(r"\{(\w+)\}", path)
    if not names:
        return [path]
    (name,) = names
    kind = "reference" if name == "product" else name
    assert kind in neighbour.things, f"{path}: there is no {name} of the neighbour here; add one to furnish()"
    return [re.sub(r"\{\w+\}", value, path) for value in neighbour.things[kind]]


def bodies_for(program: Program, method: str, path: str, neighbour: Neighbour) -> list[object]:
    """Bodies that name the neighbour's things wherever the description has a text, made from its examples or types."""
    if method in {"GET", "DELETE"}:
        return [None]
    document = program.face.application.openapi()
    operation = document["paths"][path][method.lower()]
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return [None]
    made = example_of(content["schema"], document)
    names = {
        "sku",
        "location",
        "to_location",
        "original",
        "number",
        "location_id",
        "product_id",
        "hold_id",
        "reference",
    }

    def named(value: Any, key: str, thing: str) -> Any:
        if isinstance(value, dict):
            return {name: named(part, name, thing) for name, part in value.items()}
        if isinstance(value, list):
            return [named(part, key, thing) for part in value]
        if key == "key" and isinstance(value, str):
            return new_id()  # an idempotency key is for one request
        return thing if key in names and isinstance(value, str) else value

    things = [value for name in ("reference", "hold_id", "location") for value in neighbour.things[name]]
    return [named(made, "", thing) for thing in dict.fromkeys(things)]


def example_of(schema: dict[str, Any], document: dict[str, Any], depth: int = 0) -> Any:
    """A value of a schema's types: every property, one element a list."""
    while "$ref" in schema:
        target: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        schema = target
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices:
        return example_of(next(one for one in choices if one.get("type") != "null"), document, depth)
    if schema.get("examples"):
        return schema["examples"][0]
    if "enum" in schema:
        return schema["enum"][0]
    if "const" in schema:
        return schema["const"]
    kind = schema.get("type")
    if kind == "object":
        properties = schema.get("properties", {})
        return {name: example_of(part, document, depth + 1) for name, part in properties.items()} if depth < 6 else {}
    if kind == "array":
        return [example_of(schema.get("items", {}), document, depth + 1)]
    if "[A-Z]{3}" in schema.get("pattern", ""):
        return "ARS"
    if schema.get("format") == "date-time":
        return "2026-03-01T10:00:00Z"
    if schema.get("format") == "date":
        return "2026-03-01"
    return {"integer": max(1, schema.get("minimum", 1)), "number": 1, "boolean": False, "null": None}.get(
        str(kind), "text"
    )


def assert_nothing_leaked(reply: httpx.Response, sent: str, neighbour: Neighbour) -> None:
    """No text and no id of the neighbour in what came back, but what the stranger had sent."""
    said = reply.text + json.dumps(dict(reply.headers))
    for part in json.dumps(sent)[1:-1].split('"'):
        if part:
            said = said.replace(part, "")
    for value in neighbour.things.values():
        for one in value:
            if one in sent:
                said = said.replace(one, "")
    leaked = [secret for secret in neighbour.secrets if secret in said]
    assert not leaked, f"{reply.request.method} {reply.request.url}: {leaked} in {reply.text[:500]}"


async def test_a_stranger_finds_nothing_of_a_neighbour_on_any_route(tmp_path: Path) -> None:
    async with a_street(tmp_path) as street:
        client, neighbour = street.program.client, street.neighbour
        before = await inventory(street)
        asked = 0
        for method, path in routes_of(street.program):
            if (method, path) in {*PUBLIC, LOGOUT} or path in PUBLIC_PATHS or "emergency" in path:
                continue
            for address in filled(path, neighbour):
                for body in bodies_for(street.program, method, path, neighbour):
                    reply = await client.request(method, address, json=body, headers=street.stranger)
                    asked += 1
                    assert reply.status_code < 500, (method, address, reply.text)
                    if "{" in path:
                        assert reply.status_code in {403, 404, 409, 422}, (
                            method,
                            address,
                            reply.status_code,
                            reply.text,
                        )
                        if method == "GET":
                            assert reply.status_code in {403, 404}, (method, address, reply.text)
                    assert_nothing_leaked(reply, f"{address} {json.dumps(body)}", neighbour)
        assert asked > 60
        assert await inventory(street) == before


async def test_a_strangers_searches_and_filters_find_nothing(tmp_path: Path) -> None:
    async with a_street(tmp_path) as street:
        document = street.program.face.application.openapi()
        for path, item in document["paths"].items():
            if "get" not in item or "{" in path or path in PUBLIC_PATHS or "emergency" in path:
                continue
            for parameter in item["get"].get("parameters", ()):
                if parameter["in"] != "query" or parameter["name"] in {"cursor", "limit", "format"}:
                    continue
                for value in (MARK, *street.neighbour.secrets[2:]):
                    reply = await street.program.client.get(
                        path, params={parameter["name"]: value}, headers=street.stranger
                    )
                    assert reply.status_code < 500, (path, parameter["name"], reply.text)
                    assert_nothing_leaked(reply, value, street.neighbour)


async def test_cursors_of_a_neighbour_open_nothing(tmp_path: Path) -> None:
    async with a_street(tmp_path) as street:
        client = street.program.client
        tried = 0
        for method, path in routes_of(street.program):
            if method != "GET" or "{" in path:
                continue
            own = await client.get(path, params={"limit": 1}, headers=street.owner)
            cursor = (
                own.json().get("next_cursor")
                if own.status_code == 200 and "json" in own.headers["content-type"]
                else None
            )
            if cursor:
                tried += 1
                reply = await client.get(path, params={"limit": 1, "cursor": cursor}, headers=street.stranger)
                assert_nothing_leaked(reply, cursor, street.neighbour)
        assert tried > 0


async def test_nobody_is_let_in_without_credentials(tmp_path: Path) -> None:
    async with a_street(tmp_path) as street:
        for method, path in routes_of(street.program):
            if (method, path) in PUBLIC or path in PUBLIC_PATHS:
                continue
            for address in filled(path, street.neighbour)[:1]:
                body = bodies_for(street.program, method, path, street.neighbour)[0]
                for headers in ({}, {"Authorization": "Bearer eyJhbGciOiJub25lIn0.e30."}, {"X-API-Key": "nrv_0_guess"}):
                    reply = await street.program.client.request(method, address, json=body, headers=headers)
                    assert reply.status_code == 401, (method, address, reply.status_code, reply.text)
                    assert reply.json()["kind"] == "unauthenticated"


async def test_a_route_needs_the_permission_it_says(tmp_path: Path) -> None:
    """A machine's role holds almost nothing: what it may not do is refused as forbidden, and by name."""
    permissions = permissions_of(MANIFESTS)
    async with a_street(tmp_path) as street:
        client = street.program.client
        made = await ok(client.post("/api/keys", json={"name": "ml", "roles": ["ml_service"]}, headers=street.owner))
        key = {"X-API-Key": made["secret"]}
        refused = 0
        for method, path in routes_of(street.program):
            if method == "GET" or (method, path) in PUBLIC or path.startswith("/api/auth"):
                continue
            address = filled(path, street.neighbour)[0]
            body = bodies_for(street.program, method, path, street.neighbour)[0]
            reply = await client.request(method, address, json=body, headers=key)
            # Tasks are what such a role is for.
            own = {200, 202, 409} if path.startswith("/api/tasks") else set()
            assert reply.status_code in {403, 404, 422, *own}, (method, address, reply.status_code, reply.text)
            if reply.status_code == 403:
                refused += 1
                assert reply.json()["permission"] in permissions
                assert "ml_service" not in permissions[reply.json()["permission"]]
        assert refused > 5


async def inventory(street: Street) -> object:
    """What the neighbour has, to be compared."""
    client, headers = street.program.client, street.owner
    paths = (
        "/api/products",
        "/api/locations",
        "/api/stock/levels",
        "/api/stock/holds",
        "/api/sales",
        "/api/users",
        "/api/keys",
        "/api/ledger/entries?limit=500",
    )
    answers = [(await ok(client.get(path, headers=headers)))["items"] for path in paths]
    return [[{k: v for k, v in item.items() if k != "last_login_at"} for item in items] for items in answers]


async def test_a_leak_would_be_seen(tmp_path: Path) -> None:
    async with a_street(tmp_path) as street:
        for path in ("/api/products", "/api/users", "/api/stock/levels"):
            reply = await street.program.client.get(path, headers=street.owner)
            with pytest.raises(AssertionError, match="ZQXNEIGHBOUR"):
                assert_nothing_leaked(reply, path, street.neighbour)

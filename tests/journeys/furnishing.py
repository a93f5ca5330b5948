"""What a shop has outside itself, made over HTTP, and what no route makes."""

from functools import partial
from typing import Any

import httpx

from nervio.db import dead_letters
from nervio.events.sales import SALE_RECORDED
from nervio.kernel.ids import new_id
from nervio.modules.identity import api as identity
from nervio.modules.jobs import api as jobs
from nervio.modules.jobs.contracts import EnqueueJob
from nervio.ports.bus import DeadLetter, Event
from tests.runtime.program import Program


async def furnish_dead_letter(program: Program, slug: str, mark: str) -> dict[str, list[str]]:
    """An event that a handler gave up."""
    app = program.app
    tenant = await identity.find_tenant(app.database, slug)
    assert tenant is not None
    event = Event(new_id(), SALE_RECORDED, tenant.id, "k", 1, 0, app.clock.now(), {"number": f"{mark} letter"})
    letter = DeadLetter(event, "safety.look_sooner", f"ValueError: {mark}", 5, 2.0)
    await app.database.bookkeep("handlers", partial(dead_letters.keep, letter=letter, now=app.clock.now()))
    kept = await app.database.read(partial(dead_letters.list_letters, tenant_id=tenant.id))
    return {"letter_id": [one.id for one in kept]}


async def furnish_outside(client: httpx.AsyncClient, owner: dict[str, str], mark: str) -> dict[str, list[str]]:
    """An account, a campaign and an order to it; a destination and an alert."""

    async def post(path: str, body: object) -> Any:
        reply = await client.post(path, json=body, headers=owner)
        assert reply.status_code == 200, reply.text
        return reply.json()

    secret = {"url": "https://neighbour.example/orders", "signing_secret": f"{mark} secret"}
    account = {"name": f"{mark} account", "platform": "webhook", "fields": secret}
    connection = await post("/api/safety/connections", account)
    campaign = await post(
        "/api/safety/campaigns",
        {
            "connection_id": connection["id"],
            "external_id": f"{mark}-C",
            "name": f"{mark} campaign",
            "daily_budget_minor": 100,
            "currency": "ARS",
            "product_ids": [],
        },
    )
    ordered = await post("/api/safety/actions/pause", {"reason": f"{mark} pause"})
    place_of_alerts = {"name": f"{mark} hook", "kind": "webhook", "fields": secret}
    destination = await post("/api/safety/alert-destinations", place_of_alerts)
    alert = await post(f"/api/safety/alert-destinations/{destination['id']}/test", None)
    return {
        "connection_id": [connection["id"]],
        "campaign_id": [campaign["id"]],
        "action_id": [ordered["actions"][0]["id"]],
        "destination_id": [destination["id"]],
        "alert_id": [alert["id"]],
    }


async def furnish_job(program: Program, slug: str, mark: str) -> dict[str, list[str]]:
    """A background job that waits, since nobody knows its kind."""
    tenant = await identity.find_tenant(program.app.database, slug)
    assert tenant is not None
    queued = await jobs.enqueue_job(program.app.system_ctx(tenant.id), EnqueueJob("retired.job", f"{mark} job"))
    return {"job_id": [queued.id]}


async def furnish_task(client: httpx.AsyncClient, owner: dict[str, str], mark: str) -> dict[str, list[str]]:
    """A task that waits."""
    task = {"kind": "chat", "payload": {"messages": [{"role": "user", "content": f"{mark} question"}]}}
    reply = await client.post("/api/tasks", json=task, headers=owner)
    assert reply.status_code == 202, reply.text
    return {"task_id": [reply.json()["id"]]}

"""Background jobs over HTTP and in the console, and the import of a large file as one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from nervio.db.jobs import Job
from nervio.kernel.ids import new_id
from nervio.modules.catalog import api as catalog
from nervio.modules.catalog.contracts import ProductInput
from nervio.modules.console import importing
from nervio.modules.console.importing import pack, unpack
from nervio.modules.console.rooms.imports.saving import MOST_AT_ONCE
from nervio.modules.console.shell import Pages
from nervio.modules.jobs import api as jobs
from nervio.modules.jobs.contracts import EnqueueJob, JobState
from nervio.modules.safety import api as safety
from nervio.modules.safety.contracts.halts import Scope
from tests.modules.console import samples
from tests.modules.console.job_running import at_work, until_ended
from tests.modules.console.job_samples import job as a_job_page
from tests.modules.console.serving import Shop, a_shop, another_shop
from tests.modules.console.test_importing import confirm, send
from tests.modules.jobs.working import Workshop

ROOM = "/console/jobs"


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with a_shop(tmp_path) as furnished:
        yield furnished


async def test_a_job_is_followed_cancelled_and_gone_on_with(shop: Shop) -> None:
    workshop = Workshop()
    shop.program.app.jobs = (Job("check.wait", workshop.wait), Job("check.count", workshop.count))
    shop.program.face.open()
    empty = await shop.visitor.get(ROOM)
    assert "There have been none yet" in empty.text
    queued = await jobs.enqueue_job(shop.ctx, EnqueueJob("check.wait", {"<b>": 1}))
    page = await shop.visitor.get(f"{ROOM}/{queued.id}")
    assert "waits for its turn" in page.text and "&lt;b&gt;" in page.text and "data-again" in page.text
    async with at_work(shop):
        async with asyncio.timeout(10):
            while not workshop.begun:  # noqa: ASYNC110 (the runner begins it)
                await asyncio.sleep(0.01)
        assert "Under way" in (await shop.visitor.get(ROOM)).text
        cancelled = await shop.visitor.post(f"{ROOM}/{queued.id}/cancel", f"{ROOM}/{queued.id}")
        assert "Cancelled" in cancelled.text and "data-again" not in cancelled.text
        workshop.gate.set()
        again = await shop.visitor.post(f"{ROOM}/{queued.id}/retry", f"{ROOM}/{queued.id}")
        assert again.status_code == 200
        assert (await until_ended(shop, queued.id)).result == "waited"
    late = await shop.visitor.post(f"{ROOM}/{queued.id}/cancel", f"{ROOM}/{queued.id}")
    assert late.status_code == 409 and "has ended" in late.text


async def test_why_a_job_waits_is_told(shop: Shop) -> None:
    queued = await jobs.enqueue_job(shop.ctx, EnqueueJob("retired.job"))
    imported = await jobs.enqueue_job(shop.ctx, EnqueueJob("console.import_products", {"rows": 0, "packed": ""}))
    headers = await shop.program.login()

    async def wait_of(job_id: str) -> Any:
        return (await shop.program.client.get(f"/api/jobs/{job_id}", headers=headers)).json()["wait"]

    assert "does not know how" in (await shop.visitor.get(f"{ROOM}/{queued.id}")).text
    assert [await wait_of(job.id) for job in (queued, imported)] == ["unknown", "turn"]
    await safety.freeze(shop.ctx, "proof", scope=Scope.TENANT, level="reduce_only", module="catalog")
    await shop.program.app.halt_watch.refresh()
    async with asyncio.timeout(5):
        while await wait_of(imported.id) != "stopped":  # noqa: ASYNC110 (the watch sees it)
            await asyncio.sleep(0.05)
    assert await wait_of(queued.id) == "unknown"


async def test_the_api_lists_shows_cancels_and_retries(shop: Shop) -> None:
    client, headers = shop.program.client, await shop.program.login()
    ids = [(await jobs.enqueue_job(shop.ctx, EnqueueJob("retired.job", n))).id for n in range(3)]
    listed = (await client.get("/api/jobs?limit=2", headers=headers)).json()
    assert [job["id"] for job in listed["items"]] == ids[:0:-1]
    rest = (await client.get(f"/api/jobs?limit=2&cursor={listed['next_cursor']}", headers=headers)).json()
    assert [(job["id"], job["payload"]) for job in rest["items"]] == [(ids[0], None)]
    assert (await client.get(f"/api/jobs/{ids[2]}", headers=headers)).json()["payload"] == 2
    table = (await client.get("/api/jobs?format=csv&state=waiting", headers=headers)).text.splitlines()
    assert len(table) == 4 and "unknown" in table[1]
    path = f"/api/jobs/{ids[0]}"
    assert (await client.post(f"{path}/cancel", headers=headers)).json() == {"id": ids[0], "state": "cancelled"}
    assert (await client.post(f"{path}/retry", headers=headers)).json() == {"id": ids[0], "state": "waiting"}
    assert (await client.post(f"{path}/retry", headers=headers)).json()["code"] == "work_state"
    assert (await client.get(f"/api/jobs/{new_id()}", headers=headers)).json()["code"] == "job_not_found"
    assert (await client.get("/api/jobs?state=odd", headers=headers)).status_code == 422


async def test_a_cashier_and_a_neighbour_see_no_job(shop: Shop) -> None:
    theirs = await jobs.enqueue_job(await another_shop(shop), EnqueueJob("retired.job", "their secret"))
    assert (await shop.visitor.get(f"{ROOM}/{theirs.id}")).status_code == 404
    for move in ("cancel", "retry"):
        assert (await shop.visitor.post(f"{ROOM}/{theirs.id}/{move}", ROOM)).status_code == 404
    assert theirs.id not in (await shop.visitor.get(ROOM)).text
    cashier = await shop.as_role("cashier")
    assert (await cashier.get(ROOM)).status_code == 403


async def test_a_large_file_is_saved_by_a_job_and_a_refused_row_keeps_no_other_back(shop: Shop) -> None:
    await catalog.save_products(shop.ctx, [ProductInput("TAKEN", "Taken", 1, "ARS", barcodes=("7790000000017",))])
    count = MOST_AT_ONCE + 1
    lines = [f"P-{n};Producto {n};10;" for n in range(count)]
    preview = await send(shop.visitor, "SKU;Nombre;Precio;Código de barras\n" + "\n".join(lines))
    page = await confirm(shop.visitor, preview)
    assert page.url.path.startswith(f"{ROOM}/") and "Import products" in page.text
    job_id = page.url.path.rpartition("/")[2]
    again = await confirm(shop.visitor, preview)
    assert again.url.path == page.url.path, "confirmed twice, it is the same job"
    async with at_work(shop):
        job = await until_ended(shop, job_id)
    assert (job.state, job.result) == (JobState.DONE, {"saved": count, "refused": 0, "told": {}})
    assert (job.done, job.total) == (count, count)
    assert await catalog.count_products(shop.ctx) == count + 2


async def test_rows_that_the_store_refuses_are_left_out_and_told(shop: Shop) -> None:
    good = [ProductInput(f"P-{n}", "P", 1, "ARS") for n in range(450)]
    await catalog.save_products(shop.ctx, [ProductInput("OWNER", "O", 1, "ARS", barcodes=("7790387000021",))])
    bad = ProductInput("BAD", "B", 1, "ARS", barcodes=("7790387000021",))
    ((asked, _),) = pack([*good[:210], bad, *good[210:]], "draft")
    queued = await jobs.enqueue_job(shop.ctx, asked)
    async with at_work(shop):
        job = await until_ended(shop, queued.id)
    assert job.state is JobState.DONE, job.error
    assert (job.result["saved"], job.result["refused"], list(job.result["told"])) == (450, 1, ["BAD"])


def test_a_file_too_large_for_one_payload_is_several_jobs_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "LARGEST_PACK", 50_000)
    products = [ProductInput(f"SKU-{new_id()}", f"Producto {new_id()}", n, "ARS") for n in range(6_000)]
    packed = pack(products, "draft")
    assert len(packed) > 1 and len({key for _, key in packed}) == len(packed)
    assert all(len(job.payload["packed"]) <= 50_000 for job, _ in packed)
    assert [product for job, _ in packed for product in unpack(job.payload)] == products


@pytest.mark.parametrize("language", ["es", "en"])
@pytest.mark.parametrize(
    ("state", "reason"),
    [("waiting", "unknown"), ("waiting", "stopped"), ("waiting", "pause"), ("waiting", "turn"), ("running", ""),
     ("done", ""), ("failed", ""), ("cancelled", "")],
)  # fmt: skip
def test_every_state_of_a_job_has_its_page(state: str, reason: str, language: str) -> None:
    pages = Pages()
    frame = samples.page_shell("job", language)
    html = pages.render("job", frame, a_job_page(pages.texts[language], state, reason))
    assert ("/retry" in html) == (state in ("failed", "cancelled"))
    assert ("/cancel" in html) == (state in ("waiting", "running"))

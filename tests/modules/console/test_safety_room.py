"""The stop panel as people use it: a part for a time, a thaw that two agree on, drills; and every page says so in time."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from nervio.modules.console.rooms.dashboard.stream import Stream
from nervio.modules.safety import api as safety
from nervio.modules.safety.contracts.halts import Frozen, Scope
from tests.modules.console.serving import Shop, a_shop

REASON = "wrong prices on shelf four"


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with a_shop(tmp_path) as furnished:
        yield furnished


async def test_a_part_is_stopped_for_a_time_shown_on_every_page_and_thawed(shop: Shop) -> None:
    visitor = shop.visitor
    page = await visitor.post(
        "/console/safety/stop",
        "/console/safety",
        scope="tenant",
        level="read_only",
        module="sales",
        location=shop.location_id,
        reason=REASON,
        **{"for": "600"},
    )
    assert page.status_code == 200
    assert "Sales · Salón" in page.text and REASON in page.text
    assert "data-until" in page.text
    for path in ("/console", "/console/stock", "/console/journal", "/console/safety/drills"):
        text = (await visitor.get(path)).text
        assert "banner-stop" in text and REASON in text, path
        assert 'data-dialog="stop-dialog"' in text, "a part is stopped; all of it can still be"
    halt = (await safety.list_halts(shop.ctx, active=True))[0]
    page = await visitor.post(
        f"/console/safety/halts/{halt.id}/thaw", "/console/safety", note="mended", stages="policy"
    )
    assert "Next stage in" in page.text
    await visitor.post(f"/console/safety/halts/{halt.id}/thaw", "/console/safety", note="mended", stages="none")
    page = await visitor.get("/console/safety")
    assert "Nothing is stopped" in page.text
    assert "banner-stop" not in page.text


@pytest.mark.parametrize("path", ["/console/safety/halts/{}/thaw", "/console/stopped/{}/resume"])
async def test_one_card_ends_one_stop_and_not_the_other_of_the_same_scope(shop: Shop, path: str) -> None:
    stops = [
        await safety.freeze(
            shop.ctx, reason, scope=Scope.TENANT, module="sales", level="read_only", for_seconds=seconds
        )
        for reason, seconds in (("a rule's", 1800), ("a person's", None))
    ]
    short, latched = (stop.halt.id for stop in stops if isinstance(stop, Frozen))
    await shop.visitor.post(path.format(short), "/console/safety", note="mended", stages="none")
    assert [halt.id for halt in await safety.list_halts(shop.ctx, active=True)] == [latched]


async def test_the_panel_opens_while_everything_is_stopped_and_a_second_person_confirms(shop: Shop) -> None:
    policy = {"two_person_thaw": "yes", "thaw_stage_seconds": "0", "thaw_jitter_seconds": "0", "confirm_minutes": "15"}
    saved = await shop.visitor.post(
        "/console/safety/policy", "/console/safety", scope="tenant", default_level="all", **policy
    )
    assert saved.status_code == 200
    await shop.visitor.post("/console/safety/stop", "/console/safety", scope="tenant", reason=REASON)
    assert (await shop.visitor.client.get("/console/stock")).status_code == 503
    halt = (await safety.list_halts(shop.ctx, active=True))[0]
    asked = await shop.visitor.post(f"/console/safety/halts/{halt.id}/thaw", "/console/safety", note="mended")
    assert "somebody else has to confirm" in asked.text
    request = re.search(r"/console/safety/requests/([\w-]+)/confirm", asked.text)
    assert request is not None
    path = f"/console/safety/requests/{request[1]}/confirm"
    mine = await shop.visitor.post(path, "/console/safety", note="me too")
    assert mine.status_code == 422
    assert "Somebody else" in mine.text
    await safety.unfreeze(shop.ctx, "so that a person can be added", scope=Scope.INSTALLATION)


@pytest.mark.parametrize("length", ["²", "soon", "0.5"])
async def test_a_length_that_is_no_number_stops_nothing_and_is_told_on_the_panel(shop: Shop, length: str) -> None:
    given = {"scope": "tenant", "reason": REASON, "for": length}
    page = await shop.visitor.post("/console/safety/stop", "/console/safety", **given)
    assert page.status_code == 422
    assert await safety.list_halts(shop.ctx, active=True) == []


async def test_a_wrong_policy_is_told_on_the_panel(shop: Shop) -> None:
    wrong = {"thaw_stage_seconds": "soon", "thaw_jitter_seconds": "0", "confirm_minutes": "15", "default_level": "all"}
    page = await shop.visitor.post("/console/safety/policy", "/console/safety", scope="tenant", **wrong)
    assert page.status_code == 422
    assert "out of range" in page.text


async def test_a_form_asks_for_what_was_changed_in_it_and_for_nothing_else(shop: Shop) -> None:
    await safety.save_policy(shop.ctx, Scope.TENANT, two_person_thaw=True, confirm_within_seconds=90)
    await safety.freeze(shop.ctx, REASON, scope=Scope.TENANT, module="sales")
    form = {"thaw_stage_seconds": "10", "thaw_jitter_seconds": "5", "confirm_minutes": "1", "default_level": "all"}
    await shop.visitor.post("/console/safety/policy", "/console/safety", scope="tenant", two_person_thaw="no", **form)
    (request,) = await safety.list_requests(shop.ctx)
    assert request.changes == {"two_person_thaw": False}


async def test_a_drill_is_run_from_the_calendar_and_turns_green(shop: Shop) -> None:
    page = await shop.visitor.get("/console/safety/drills")
    assert page.text.count("Never tried") == 10
    page = await shop.visitor.post("/console/safety/drills", "/console/safety/drills", scope="tenant", module="sales")
    assert page.text.count("Never tried") == 9
    assert "Held" in page.text
    page = await shop.visitor.post("/console/safety/drills", "/console/safety/drills", scope="tenant", module="sails")
    assert page.status_code == 422


async def test_a_stream_tells_of_a_partial_stop_within_two_seconds(shop: Shop) -> None:
    """What makes every open page load its banner again."""

    class Frame:
        """As much of a request as a stream needs."""

        request = type("Request", (), {"app": shop.program.face.application.api, "cookies": {}})()
        ctx = shop.ctx

    stream = Stream(Frame()).events()  # type: ignore[arg-type]
    assert '"frozen": false' in await anext(stream)
    began = time.monotonic()
    await safety.freeze(shop.ctx, REASON, scope=Scope.TENANT, module="sales")
    assert '"frozen": true' in await anext(stream)
    assert time.monotonic() - began < 2

"""The campaign dialog: what is typed into it, in the currency that the platform bills in."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from nervio.db.vault import Vault, new_key
from nervio.modules.safety.api import actions
from nervio.modules.safety.contracts.actions import SaveCampaign
from tests.modules.console.serving import Shop, a_shop

ROOM = "/console/safety/actions"


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with a_shop(tmp_path) as furnished:
        yield furnished


@pytest.mark.parametrize(
    ("currency", "budget", "shown", "typed", "after"),
    [
        ("USD", 1_050, r"10[.,]50", "12,50", 1_250),
        ("CLP", 15_000, "15000", "15.001", 15_001),
        ("ARS", 100, r"1[.,]00", "2", 200),
    ],
)
async def test_a_campaign_keeps_the_currency_it_is_billed_in(
    shop: Shop, currency: str, budget: int, shown: str, typed: str, after: int
) -> None:
    fields = {"url": "https://ads.example/orders", "status_url": "", "signing_secret": "a signing secret"}
    connection = await actions.save_connection(shop.ctx, Vault(new_key()), "Agency", "webhook", fields)
    campaign = await actions.save_campaign(
        shop.ctx, SaveCampaign(None, connection.id, "C-1", "Soap", budget, currency, ())
    )
    page = await shop.visitor.get(f"{ROOM}?open=campaign&edit={campaign.id}")
    assert re.search(rf'id="campaign-budget"[^>]*value="{shown}"|value="{shown}"[^>]*id="campaign-budget"', page.text)
    given = {"id": campaign.id, "connection_id": connection.id, "external_id": "C-1", "name": "Soap, renamed"}
    saved = await shop.visitor.post(f"{ROOM}/campaigns", ROOM, daily_budget=typed, active="yes", products="", **given)
    assert saved.status_code == 200
    found = await actions.get_campaign(shop.ctx, campaign.id)
    assert (found.name, found.currency, found.daily_budget) == ("Soap, renamed", currency, after)


async def test_a_new_campaign_is_in_the_currency_of_the_shop(shop: Shop) -> None:
    fields = {"url": "https://ads.example/orders", "status_url": "", "signing_secret": "a signing secret"}
    connection = await actions.save_connection(shop.ctx, Vault(new_key()), "Agency", "webhook", fields)
    given = {"connection_id": connection.id, "external_id": "C-1", "name": "Soap", "active": "yes", "products": ""}
    await shop.visitor.post(f"{ROOM}/campaigns", ROOM, daily_budget="12,50", **given)
    (found,) = await actions.list_campaigns(shop.ctx)
    assert (found.currency, found.daily_budget) == ("ARS", 1_250)

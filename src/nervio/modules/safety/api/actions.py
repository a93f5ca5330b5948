"""External actions: pausing and resuming campaigns, and what is known of it.

Booking is all that happens here. Sending, reading back and escalating is the worker's (`usecases.sending`), in whichever
process has the role `jobs`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy import Connection as DatabaseConnection

from nervio.db.context import Ctx
from nervio.db.vault import Vault
from nervio.kernel.errors import invalid, not_found
from nervio.kernel.ids import is_id
from nervio.kernel.time import Instant
from nervio.modules.safety.api.emergency import PAUSE, execute_emergency_stop
from nervio.modules.safety.contracts.actions import (
    CONNECTION_FIELDS,
    DEADLINE_SECONDS,
    ActionKind,
    ActionRecord,
    ActionState,
    Booked,
    Campaign,
    Connection,
    Delete,
    Deleted,
    Platform,
    ProductSpend,
    SaveCampaign,
    SaveConnection,
)
from nervio.modules.safety.contracts.alerts import Alert, AlertRaised, RaiseAlert, Severity
from nervio.modules.safety.domain.actions import (
    Policy,
    check_campaign,
    check_name,
    split_fields,
)
from nervio.modules.safety.domain.alerts import check_alert
from nervio.modules.safety.store import actions as store
from nervio.modules.safety.store import campaigns
from nervio.modules.safety.usecases.alerting import RAISE, WINDOW_SECONDS
from nervio.modules.safety.usecases.booking import BOOK_PAUSE, BOOK_RESUME, make_order
from nervio.modules.safety.usecases.connecting import SAVE_CAMPAIGN, SAVE_CONNECTION
from nervio.modules.safety.usecases.deleting import DELETE_CAMPAIGN, DELETE_CONNECTION
from nervio.modules.safety.usecases.sending import CONNECTION_SECRETS, ActionWorker, open_account, read_campaign
from nervio.ports.actions import OpenPlatform, Reading

READ = "safety.read"
RESUME = "safety.resume_campaigns"
MANAGE = "safety.manage_campaigns"
LONGEST_PAGE = 500


async def pause_campaigns(
    ctx: Ctx,
    *,
    products: Sequence[str] | None,
    reason: str,
    cause: str,
    key: str | None,
    campaigns: Sequence[str] | None = None,
    deadline_seconds: int = DEADLINE_SECONDS,
) -> list[ActionRecord]:
    """Books a pause for every campaign in use that advertises one of the products (ids), for the campaigns named, or, with
    neither, for all of the tenant's. Works during a stop. Returns the orders that now stand, in state `intent` or further.

    A campaign whose pause is under way already gets no second one. `cause` holds the campaign until the same cause resumes
    it, so it must be stable: the id of the rule with what it tripped on. An order that is not confirmed within
    `deadline_seconds` is escalated. Raises `forbidden`, `invalid`.
    """
    ctx.require(PAUSE)
    body = make_order(ActionKind.PAUSE, products, campaigns, reason, cause, deadline_seconds)
    booked: Booked = await ctx.submit(BOOK_PAUSE, body, key)
    return list(booked.actions)


async def resume_campaigns(
    ctx: Ctx,
    *,
    products: Sequence[str] | None,
    reason: str,
    cause: str,
    key: str | None,
    campaigns: Sequence[str] | None = None,
    deadline_seconds: int = DEADLINE_SECONDS,
) -> list[ActionRecord]:
    """Books a resume like `pause_campaigns`, refused as `halted` while a stop covers the tenant.

    Lets go of this cause's hold; a campaign that another cause holds as well stays paused and is not in the answer. A
    person's resume (`manual`) lets go of all of them.
    """
    ctx.require(RESUME)
    body = make_order(ActionKind.RESUME, products, campaigns, reason, cause, deadline_seconds)
    booked: Booked = await ctx.submit(BOOK_RESUME, body, key)
    return list(booked.actions)


async def list_actions(
    ctx: Ctx,
    *,
    states: Sequence[ActionState] | None = None,
    before: tuple[Instant, str] | None = None,
    limit: int = 50,
) -> list[ActionRecord]:
    """Orders, the newest first; `before` is (created_at, id) of the last one seen."""
    ctx.require(READ)
    wanted = None if states is None else [state.value for state in states]
    most = min(limit, LONGEST_PAGE + 1)
    return await ctx.read(lambda c: store.list_actions(c, states=wanted, before=before, limit=most))


async def list_unconfirmed(ctx: Ctx, limit: int = LONGEST_PAGE) -> list[ActionRecord]:
    """Pauses whose campaigns may still be spending, the escalated ones first."""
    ctx.require(READ)
    return await ctx.read(lambda c: store.list_unconfirmed(c, min(limit, LONGEST_PAGE)))


async def get_action(ctx: Ctx, action_id: str) -> ActionRecord:
    """One order. Raises `not_found`."""
    ctx.require(READ)
    if not is_id(action_id):
        raise not_found("action", action_id)
    found = await ctx.read(lambda c: store.find_actions(c, [action_id]))
    if not found:
        raise not_found("action", action_id)
    return found[0]


def actions_in_flight(connection: DatabaseConnection, tenant_id: str | None, now: Instant) -> list[ActionRecord]:
    """Orders whose request may be on its way at this moment, for the acknowledgement of a stop: of one tenant, or of all.

    Inside the transaction of a freeze this list is whole: whatever is not in it needs a claim that the stop now decides
    about.
    """
    return store.list_in_flight(connection, tenant_id, now)


async def read_spend(ctx: Ctx) -> list[ProductSpend]:
    """What ads may cost a day, per product that has any running; the figure behind "spend on ads without stock"."""
    return await ctx.read(campaigns.read_spend)


async def list_connections(ctx: Ctx) -> list[Connection]:
    """The tenant's accounts by name; secrets are told by name only."""
    ctx.require(READ)
    return await ctx.read(campaigns.list_connections)


async def list_campaigns(ctx: Ctx, *, after: tuple[str, str] | None = None, limit: int = 50) -> list[Campaign]:
    """The tenant's campaigns by name; `after` is (name, id) of the last one seen."""
    ctx.require(READ)
    return await ctx.read(lambda c: campaigns.list_campaigns(c, after, min(limit, LONGEST_PAGE + 1)))


async def get_campaign(ctx: Ctx, campaign_id: str) -> Campaign:
    """One campaign. Raises `not_found`."""
    ctx.require(READ)
    if not is_id(campaign_id):
        raise not_found("campaign", campaign_id)
    found = await ctx.read(lambda c: campaigns.list_campaigns(c, None, 1, campaign_id))
    if not found:
        raise not_found("campaign", campaign_id)
    return found[0]


async def save_connection(
    ctx: Ctx,
    vault: Vault,
    name: str,
    platform: str,
    fields: Mapping[str, str],
    *,
    connection_id: str | None = None,
    active: bool = True,
    key: str | None = None,
) -> Connection:
    """Adds an account, or changes one; empty secrets keep those that are there. Raises `invalid`, `conflict`, `not_found`."""
    ctx.require(MANAGE)
    if platform not in {one.value for one in Platform}:
        raise invalid("invalid_choice", f"platform must be one of {', '.join(Platform)}.", field="platform")
    if connection_id is not None and not is_id(connection_id):
        raise not_found("connection", connection_id)
    wanted = Platform(platform)
    settings, given = split_fields(CONNECTION_FIELDS[wanted], fields, is_new=connection_id is None)
    secrets = given
    if connection_id is not None and given:
        found = await ctx.read(lambda c: campaigns.find_sealed(c, connection_id))
        if found is None:
            raise not_found("connection", connection_id)
        # Where all are given anew the old ones are not opened: they may have been sealed with a key that is lost.
        if not {field.name for field in CONNECTION_FIELDS[wanted] if field.secret} <= given.keys():
            secrets = {**vault.open(ctx.tenant_id, CONNECTION_SECRETS, found[2]), **given}
    sealed = vault.seal(ctx.tenant_id, CONNECTION_SECRETS, secrets) if given or connection_id is None else None
    body = SaveConnection(connection_id, check_name(name), wanted, settings, sealed, tuple(sorted(secrets)), active)
    saved = await ctx.submit(SAVE_CONNECTION, body, key)
    return next(one for one in await ctx.read(campaigns.list_connections) if one.id == saved.id)


async def save_campaign(ctx: Ctx, campaign: SaveCampaign, key: str | None = None) -> Campaign:
    """Adds a campaign with its products, or changes one. Raises `invalid`, `conflict`, `not_found`."""
    ctx.require(MANAGE)
    saved = await ctx.submit(SAVE_CAMPAIGN, check_campaign(campaign), key)
    found = await ctx.read(lambda c: campaigns.list_campaigns(c, None, 1, saved.id))
    return found[0]


async def delete_connection(ctx: Ctx, connection_id: str, key: str | None = None) -> Deleted:
    """Deletes an account and its secrets for good; what was ordered on it stays in the history. Raises `not_found`, `conflict`
    (`connection_in_use` while it has campaigns)."""
    ctx.require(MANAGE)
    if not is_id(connection_id):
        raise not_found("connection", connection_id)
    return await ctx.submit(DELETE_CONNECTION, Delete(connection_id), key)


async def delete_campaign(ctx: Ctx, campaign_id: str, key: str | None = None) -> Deleted:
    """Deletes a campaign here; on its platform nothing changes, and Nervio cannot pause it any more. Its orders stay in the
    history under its name. Raises `not_found`, `conflict` (`orders_under_way`)."""
    ctx.require(MANAGE)
    if not is_id(campaign_id):
        raise not_found("campaign", campaign_id)
    return await ctx.submit(DELETE_CAMPAIGN, Delete(campaign_id), key)


async def check_connection(ctx: Ctx, vault: Vault, platforms: OpenPlatform, campaign_id: str) -> Reading:
    """Reads one campaign from its platform now, so that somebody sees whether the connection works. Changes nothing."""
    ctx.require(MANAGE)
    campaign = await get_campaign(replace(ctx, permissions=None), campaign_id)
    kind, account = await open_account(ctx, vault, campaign.connection_id)
    return await read_campaign(platforms, kind, account, campaign.external_id)


async def trigger_critical_failure(
    ctx: Ctx, *, code: str, title: str, body: str, key: str, dedup_key: str | None = None, link: str = "/console/stop"
) -> AlertRaised:
    """Raises a critical alert and publishes `critical_failure.v1`, both in one transaction; works during a stop."""
    alert = Alert(Severity.CRITICAL, code, title, body, dedup_key or code, link)
    order = RaiseAlert(check_alert(alert), WINDOW_SECONDS, is_critical_failure=True)
    return await ctx.submit(RAISE, order, key)


__all__ = [
    "BOOK_PAUSE",
    "BOOK_RESUME",
    "CONNECTION_SECRETS",
    "DEADLINE_SECONDS",
    "DELETE_CAMPAIGN",
    "DELETE_CONNECTION",
    "LONGEST_PAGE",
    "MANAGE",
    "PAUSE",
    "READ",
    "RESUME",
    "SAVE_CAMPAIGN",
    "SAVE_CONNECTION",
    "ActionWorker",
    "Policy",
    "actions_in_flight",
    "check_connection",
    "delete_campaign",
    "delete_connection",
    "execute_emergency_stop",
    "get_action",
    "get_campaign",
    "list_actions",
    "list_campaigns",
    "list_connections",
    "list_unconfirmed",
    "pause_campaigns",
    "read_spend",
    "resume_campaigns",
    "save_campaign",
    "save_connection",
    "trigger_critical_failure",
]

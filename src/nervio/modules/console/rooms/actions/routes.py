"""What Nervio does outside: unconfirmed orders first, campaigns and their accounts, alerts and where they go."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from nervio.kernel.errors import NervioError, invalid
from nervio.kernel.money import format_amount
from nervio.kernel.time import Instant, to_datetime
from nervio.modules.catalog import api as catalog
from nervio.modules.console.answers import page_router
from nervio.modules.console.requests import Frame, name_of, open_frame, redirect, text_of
from nervio.modules.console.typed import read_money, type_money
from nervio.modules.safety.api import actions as api
from nervio.modules.safety.api import alerts
from nervio.modules.safety.contracts.actions import (
    CONNECTION_FIELDS,
    MANUAL,
    ActionRecord,
    ActionState,
    Campaign,
    Field,
    Platform,
    SaveCampaign,
)
from nervio.modules.safety.contracts.alerts import DESTINATION_FIELDS, AlertRecord, DestinationKind, Severity

ACTIONS = "/console/safety/actions"
SHOWN = 50
MOST_CAMPAIGNS = 500
IN_FLIGHT = (ActionState.INTENT, ActionState.SENT)
OVER = (ActionState.CONFIRMED, ActionState.FAILED, ActionState.SUPERSEDED)

router = page_router()


@router.get(ACTIONS)
async def show_actions(request: Request) -> Response:
    """Everything that is asked of the world outside, what is not known to be done at the top."""
    return await _page(await open_frame(request, api.READ))


@router.post(ACTIONS + "/pause")
async def pause(request: Request) -> Response:
    """Pauses one campaign, or all."""
    return await _order(await open_frame(request, api.PAUSE), "pause")


@router.post(ACTIONS + "/resume")
async def resume(request: Request) -> Response:
    """Lets one campaign run again, or all."""
    return await _order(await open_frame(request, api.RESUME), "resume")


@router.post(ACTIONS + "/connections")
async def save_connection(request: Request) -> Response:
    """Adds an account, or changes one. A secret that is left empty stays."""
    frame = await open_frame(request, api.MANAGE)
    form = await frame.form()
    platform, connection_id = text_of(form, "platform", 40), text_of(form, "id", 40) or None
    known = CONNECTION_FIELDS[Platform(platform)] if platform in set(Platform) else ()
    return await _saved(
        frame,
        f"connection-{platform}",
        api.save_connection(
            frame.ctx,
            request.app.state.vault,
            text_of(form, "name"),
            platform,
            _fields(form, known),
            connection_id=connection_id,
            active=text_of(form, "active") != "no",
        ),
    )


@router.post(ACTIONS + "/campaigns")
async def save_campaign(request: Request) -> Response:
    """Adds a campaign, or changes one."""
    frame = await open_frame(request, api.MANAGE)
    form = await frame.form()

    async def save() -> object:
        campaign_id, currency = text_of(form, "id", 40) or None, frame.tenant.currency
        if campaign_id is not None:
            # The platform bills in what the campaign was set up with, whatever the shop sells in.
            currency = (await api.get_campaign(frame.ctx, campaign_id)).currency
        budget = read_money(text_of(form, "daily_budget", 40), replace(frame.formats, currency=currency))
        if budget is None:
            raise invalid("invalid_value", "daily_budget must be an amount.", field="daily_budget")
        products = await _products_named(frame, text_of(form, "products", 20_000))
        given = SaveCampaign(
            campaign_id,
            text_of(form, "connection_id", 40),
            text_of(form, "external_id", 200),
            text_of(form, "name", 200),
            budget,
            currency,
            products,
            text_of(form, "active") != "no",
        )
        return await api.save_campaign(frame.ctx, given)

    return await _saved(frame, "campaign", save())


@router.post(ACTIONS + "/campaigns/{campaign_id}/check")
async def check_campaign(request: Request, campaign_id: str) -> Response:
    """Reads a campaign from its platform, to see whether the account works."""
    frame = await open_frame(request, api.MANAGE)
    await frame.form()
    try:
        state = request.app.state
        reading = await api.check_connection(frame.ctx, state.vault, state.platforms, campaign_id)
    except NervioError as error:
        return await _page(frame, errors={"general": frame.explain(error)})
    return await _page(frame, checked={"status": reading.status.value, "words": reading.words[:300]})


@router.post(ACTIONS + "/alerts/{alert_id}/acknowledge")
async def acknowledge(request: Request, alert_id: str) -> Response:
    """Says that an alert was seen."""
    frame = await open_frame(request, alerts.ACKNOWLEDGE_ALERTS)
    await frame.form()
    return await _saved(frame, "", alerts.acknowledge_alert(frame.ctx, alert_id))


@router.post(ACTIONS + "/destinations")
async def save_destination(request: Request) -> Response:
    """Adds a destination of alerts, or changes one. A secret that is left empty stays."""
    frame = await open_frame(request, alerts.MANAGE_ALERTS)
    form = await frame.form()
    kind, destination_id = text_of(form, "kind", 40), text_of(form, "id", 40) or None
    known = DESTINATION_FIELDS[DestinationKind(kind)] if kind in set(DestinationKind) else ()
    return await _saved(
        frame,
        f"destination-{kind}",
        alerts.save_destination(
            frame.ctx,
            request.app.state.vault,
            text_of(form, "name"),
            kind,
            _fields(form, known),
            destination_id=destination_id,
            least_severity=text_of(form, "least_severity", 40),
            active=text_of(form, "active") != "no",
        ),
    )


@router.post(ACTIONS + "/destinations/{destination_id}/test")
async def try_destination(request: Request, destination_id: str) -> Response:
    """Sends a TestAlert there."""
    frame = await open_frame(request, alerts.MANAGE_ALERTS)
    await frame.form()
    return await _saved(frame, "", alerts.try_destination(frame.ctx, destination_id))


@router.post(ACTIONS + "/connections/{connection_id}/delete")
async def delete_connection(request: Request, connection_id: str) -> Response:
    """Deletes an account."""
    frame = await open_frame(request, api.MANAGE)
    await frame.form()
    return await _saved(frame, "", api.delete_connection(frame.ctx, connection_id))


@router.post(ACTIONS + "/campaigns/{campaign_id}/delete")
async def delete_campaign(request: Request, campaign_id: str) -> Response:
    """Deletes a campaign, here alone."""
    frame = await open_frame(request, api.MANAGE)
    await frame.form()
    return await _saved(frame, "", api.delete_campaign(frame.ctx, campaign_id))


@router.post(ACTIONS + "/destinations/{destination_id}/delete")
async def delete_destination(request: Request, destination_id: str) -> Response:
    """Deletes a destination of alerts."""
    frame = await open_frame(request, alerts.MANAGE_ALERTS)
    await frame.form()
    return await _saved(frame, "", alerts.delete_destination(frame.ctx, destination_id))


async def _order(frame: Frame, kind: str) -> Response:
    form = await frame.form()
    campaign_id = text_of(form, "campaign_id", 40)
    act: Callable[..., Awaitable[object]] = api.pause_campaigns if kind == "pause" else api.resume_campaigns
    ordered = act(
        frame.ctx,
        products=None,
        campaigns=[campaign_id] if campaign_id else None,
        reason=text_of(form, "reason", 500),
        cause=MANUAL,
        key=None,
        deadline_seconds=frame.request.app.state.settings.actions.escalate_seconds,
    )
    return await _saved(frame, kind, ordered)


async def _saved(frame: Frame, dialog: str, work: Awaitable[object]) -> Response:
    """Back to the page, or the page with its dialog open and what was wrong."""
    try:
        await work
    except NervioError as error:
        field = str(error.data.get("field", "general")).partition("[")[0]
        shown = {"product_ids": "products"}.get(field, field)
        return await _page(frame, opened=dialog, errors={shown: frame.explain(error)})
    return redirect(ACTIONS)


def _fields(form: FormData, known: tuple[Field, ...]) -> dict[str, str]:
    return {field.name: text_of(form, field.name, 4000) for field in known}


async def _products_named(frame: Frame, text: str) -> tuple[str, ...]:
    """The ids of products by SKU, one a line or with commas between them."""
    skus = [part.strip() for line in text.splitlines() for part in line.split(",") if part.strip()]
    found = await catalog.list_products_by_sku(frame.ctx, skus)
    for sku in skus:
        if sku not in found:
            raise invalid("product_not_found", f"There is no product {sku!r} here.", field="products")
    return tuple(found[sku].id for sku in skus)


async def _page(
    frame: Frame,
    *,
    opened: str = "",
    errors: Mapping[str, str] | None = None,
    checked: Mapping[str, str] | None = None,
) -> Response:
    now, people = frame.ctx.clock.now(), await frame.people()
    unconfirmed = await api.list_unconfirmed(frame.ctx)
    shown = {action.id for action in unconfirmed}
    in_flight = await api.list_actions(frame.ctx, states=IN_FLIGHT, limit=SHOWN)
    history = await api.list_actions(frame.ctx, states=OVER, limit=SHOWN)
    campaigns = await api.list_campaigns(frame.ctx, limit=MOST_CAMPAIGNS)
    ids = sorted({product_id for campaign in campaigns for product_id in campaign.product_ids})
    products = await frame.ctx.read(lambda c: catalog.read_products(c, ids))
    may_manage_alerts = frame.may(alerts.MANAGE_ALERTS)
    at_risk = [action for action in unconfirmed if action.currency == frame.tenant.currency]
    context: dict[str, Any] = {
        "unconfirmed": [_action(frame, action, now, people) for action in unconfirmed],
        "at_risk": frame.formats.money(sum(action.spend_at_risk(now) for action in at_risk)),
        "per_hour": frame.formats.money(sum(action.spend_per_hour for action in at_risk)),
        "in_flight": [_action(frame, one, now, people) for one in in_flight if one.id not in shown],
        "history": [_action(frame, one, now, people) for one in history if one.id not in shown],
        "connections": await api.list_connections(frame.ctx),
        "campaigns": [
            _campaign(frame, campaign, {key: one.sku for key, one in products.items()}) for campaign in campaigns
        ],
        "platforms": [(platform.value, CONNECTION_FIELDS[platform]) for platform in Platform],
        "alerts": [_alert(frame, one, people) for one in await alerts.list_alerts(frame.ctx, limit=SHOWN)],
        "destinations": await alerts.list_destinations(frame.ctx) if may_manage_alerts else [],
        "kinds": [(kind.value, DESTINATION_FIELDS[kind]) for kind in DestinationKind] if may_manage_alerts else [],
        "severities": [severity.value for severity in Severity],
        "may": {
            "pause": frame.may(api.PAUSE),
            "resume": frame.may(api.RESUME),
            "manage": frame.may(api.MANAGE),
            "acknowledge": frame.may(alerts.ACKNOWLEDGE_ALERTS),
            "alerts": may_manage_alerts,
        },
        "checked": dict(checked or {}),
        "open": opened or _asked_to_open(frame),
        "editing": frame.query("edit", 40),
        "errors": dict(errors or {}),
    }
    return frame.page("actions", context, 422 if errors else 200)


def _asked_to_open(frame: Frame) -> str:
    """The dialog that a link asks for: to change something that is there."""
    return frame.query("open", 60)


def _action(frame: Frame, action: ActionRecord, now: Instant, people: Mapping[str, str]) -> dict[str, Any]:
    return {
        "id": action.id,
        "campaign": action.campaign_name,
        "campaign_id": action.campaign_id,
        "platform": action.platform,
        "kind": action.kind.value,
        "state": action.state.value,
        "reason": action.reason,
        "by": name_of(people, action.requested_by),
        "at": to_datetime(action.created_at),
        "words": action.words,
        "sends": action.sends,
        "spend": _amount(frame, action.spend_at_risk(now), action.currency),
        "per_hour": _amount(frame, action.spend_per_hour, action.currency),
        "seconds": action.seconds_to_confirm(),
    }


def _campaign(frame: Frame, campaign: Campaign, skus: Mapping[str, str]) -> dict[str, Any]:
    return {
        "id": campaign.id,
        "name": campaign.name,
        "external_id": campaign.external_id,
        "connection": campaign.connection_name,
        "connection_id": campaign.connection_id,
        "platform": campaign.platform.value,
        "budget": _amount(frame, campaign.daily_budget, campaign.currency),
        "budget_plain": type_money(campaign.daily_budget, replace(frame.formats, currency=campaign.currency)),
        "status": campaign.status,
        "products": ", ".join(skus.get(product_id, product_id[:8]) for product_id in campaign.product_ids),
        "active": campaign.active,
    }


def _alert(frame: Frame, alert: AlertRecord, people: Mapping[str, str]) -> dict[str, Any]:
    title, body = alerts.text_of(alert, frame.shell.language)
    return {
        "id": alert.id,
        "severity": alert.severity.value,
        "title": title,
        "body": body,
        "link": alert.link,
        "count": alert.count,
        "at": to_datetime(alert.last_at),
        "seen_by": name_of(people, alert.acknowledged_by) if alert.acknowledged_by else "",
        "sent": alert.sent,
        "waiting": alert.waiting,
        "failed": alert.failed,
    }


def _amount(frame: Frame, minor: int, currency: str) -> str:
    if currency == frame.tenant.currency:
        return frame.formats.money(minor)
    return f"{format_amount(minor, currency)} {currency}"

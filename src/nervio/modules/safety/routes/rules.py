"""The rules that watch a shop, over HTTP."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from fastapi import APIRouter, Query

from nervio.db.context import Ctx
from nervio.kernel.errors import NervioError
from nervio.modules.identity import api as identity
from nervio.modules.safety.api import rules as api
from nervio.modules.safety.schemas.rules import RuleReply, RuleRequest, RulesReply, StandingReply, TripReply
from nervio.web.access import needs
from nervio.web.lists import page_of, position_of
from nervio.web.pages import Page
from nervio.web.request import CurrentCtx, Cursor, IdempotencyKey, Limit

router = APIRouter(prefix="/api/safety/rules", tags=["safety"])

Language = Annotated[
    Literal["es", "en"] | None, Query(description="The language of the sentences; the shop's own when left out.")
]


@router.get("", summary="Rules and how they stand", **needs(api.READ_RULES))
async def list_rules(ctx: CurrentCtx, language: Language = None) -> RulesReply:
    """Every rule there is, as the shop has it set, with what it tripped on last."""
    spoken, currency = await _words(ctx, language)
    found = await api.list_rules(ctx)
    return RulesReply(items=[StandingReply.told(each, spoken, currency) for each in found])


@router.put("", summary="Change a rule", **needs(api.WRITE_RULES))
async def change_rule(ctx: CurrentCtx, body: RuleRequest, key: IdempotencyKey) -> RuleReply:
    """Changes the settings given and leaves the others. What the rule had tripped on is let go, and it looks at everything
    anew. Passes a stop: a rule that stopped the shop by mistake is switched off before the shop goes on."""
    try:
        return RuleReply.of(await api.change_rule(ctx, body.rule, dict(body.settings), key))
    except NervioError as error:
        name = error.data.get("field")
        if name is not None and name != "rule":
            error.data["field"] = f"settings.{name}"
        raise


@router.get("/trips", summary="What rules tripped on", **needs(api.READ_RULES))
async def list_trips(
    ctx: CurrentCtx,
    limit: Limit = 50,
    cursor: Cursor = None,
    language: Language = None,
    rule: Annotated[str | None, Query(description="Only this rule's.", max_length=60)] = None,
    tripped: Annotated[
        bool | None, Query(description="Only those that still stand, or only those that cleared.")
    ] = None,
) -> Page[TripReply]:
    """The newest first, in shadow too."""
    before = position_of(cursor, "int", "id")
    spoken, currency = await _words(ctx, language)
    found = await api.list_trips(ctx, rule=rule, tripped=tripped, before=before, limit=limit + 1)
    return page_of(
        found, limit, lambda trip: TripReply.of(trip, spoken, currency), lambda trip: (trip.tripped_at, trip.id)
    )


async def _words(ctx: Ctx, language: str | None) -> tuple[str, str]:
    """The language and the currency to tell of figures in."""
    tenant = await identity.get_current_tenant(replace(ctx, permissions=None))
    return language or tenant.language, tenant.currency

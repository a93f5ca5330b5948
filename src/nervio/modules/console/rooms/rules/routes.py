"""The rules that watch the shop, the tripped ones first; each with a page on which it is set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from nervio.kernel.errors import Kind, NervioError, invalid, not_found
from nervio.kernel.time import to_datetime
from nervio.modules.console.answers import page_router
from nervio.modules.console.requests import Frame, name_of, open_frame, redirect, text_of
from nervio.modules.console.rooms.rules.fields import draw, read_typed
from nervio.modules.safety.api import rules as api
from nervio.modules.safety.contracts.rules import Mode, Rule, Standing, Trip
from nervio.web.lists import position_of
from nervio.web.pages import encode_cursor

RULES = "/console/safety/rules"
TRIPS_A_PAGE = 50

router = page_router()


@router.get(RULES)
async def show_rules(request: Request) -> Response:
    """Every rule and how it stands, then what they tripped on."""
    frame = await open_frame(request, api.READ_RULES)
    standing = sorted(await api.list_rules(frame.ctx), key=_urgency)
    trips, older = await _history(frame, None)
    context = {
        "rules": [_drawn(frame, each) for each in standing],
        "trips": trips,
        "older": older,
        "tripped": sum(each.tripped for each in standing),
    }
    return frame.page("rules", context)


@router.get(RULES + "/{name}")
async def show_rule(request: Request, name: str) -> Response:
    """One rule: its settings with what they mean, and what it tripped on."""
    frame = await open_frame(request, api.READ_RULES)
    return await _rule_page(frame, await _find(frame, name))


@router.post(RULES + "/{name}")
async def save_rule(request: Request, name: str) -> Response:
    """Saves what was typed; what is wrong with it stands at its field."""
    frame = await open_frame(request, api.WRITE_RULES)
    form = await frame.form()
    rule = await _find(frame, name)
    typed = {setting: text_of(form, setting, 40) for setting in api.list_settings(rule.settings)}
    values, errors = read_typed(frame, rule, typed)
    if not errors:
        try:
            await api.change_rule(frame.ctx, name, values)
        except NervioError as error:
            if error.kind is not Kind.INVALID:
                raise
            errors = {str(error.data.get("field", "")): frame.explain(error)}
        else:
            return redirect(RULES)
    return await _rule_page(frame, rule, typed, errors)


@router.post(RULES + "/{name}/mode")
async def set_mode(request: Request, name: str) -> Response:
    """Switches a rule on, off, or into the shadow."""
    frame = await open_frame(request, api.WRITE_RULES)
    form = await frame.form()
    mode = text_of(form, "mode", 20)
    if mode not in list(Mode):
        raise invalid("rule_setting_invalid", "mode must be off, shadow or on.", field="mode")
    await _find(frame, name)
    await api.change_rule(frame.ctx, name, {"mode": mode})
    return redirect(RULES)


async def _find(frame: Frame, name: str) -> Rule:
    try:
        return await api.get_rule(frame.ctx, name)
    except NervioError as error:
        if error.kind is Kind.NOT_FOUND:
            raise not_found("page", name) from error
        raise


async def _rule_page(
    frame: Frame, rule: Rule, typed: Mapping[str, str] | None = None, errors: Mapping[str, str] | None = None
) -> Response:
    trips, older = await _history(frame, rule.name)
    people = await frame.people()
    context: dict[str, Any] = {
        "name": rule.name,
        "fields": draw(frame, rule, typed, errors or {}),
        "general": (errors or {}).get("", ""),
        "may_write": frame.may(api.WRITE_RULES),
        "changed_by": "" if rule.changed_by is None else name_of(people, rule.changed_by),
        "changed_at": None if rule.changed_at is None else to_datetime(rule.changed_at),
        "largest": api.describe(rule.name).largest.value,
        "trips": trips,
        "older": older,
    }
    return frame.page("rule", context, 422 if errors else 200)


async def _history(frame: Frame, rule: str | None) -> tuple[list[dict[str, Any]], str]:
    """Rows of a page of trips, and the address of the next; empty on the last."""
    before = position_of(frame.query("before", 200) or None, "int", "id")
    found = await api.list_trips(frame.ctx, rule=rule, before=before, limit=TRIPS_A_PAGE + 1)
    people = await frame.people()
    rows = [_row(frame, people, trip) for trip in found[:TRIPS_A_PAGE]]
    if len(found) <= TRIPS_A_PAGE:
        return rows, ""
    last = found[TRIPS_A_PAGE - 1]
    path = RULES if rule is None else f"{RULES}/{rule}"
    return rows, f"{path}?before={encode_cursor(last.tripped_at, last.id)}"


def _row(frame: Frame, people: Mapping[str, str], trip: Trip) -> dict[str, Any]:
    by_itself = trip.cleared_by is not None and trip.cleared_by.startswith("rule:")
    return {
        "rule": trip.rule,
        "sentence": _sentence(frame, trip),
        "is_shadow": trip.mode is Mode.SHADOW,
        "action": trip.action.value,
        "reach": trip.reach.value,
        "outcome": trip.outcome,
        "at": to_datetime(trip.tripped_at),
        "cleared_at": None if trip.cleared_at is None else to_datetime(trip.cleared_at),
        "cleared_by": "" if by_itself or trip.cleared_by is None else name_of(people, trip.cleared_by),
    }


def _drawn(frame: Frame, standing: Standing) -> dict[str, Any]:
    rule, kind = standing.rule, api.describe(standing.rule.name)
    last = standing.last
    return {
        "name": rule.name,
        "mode": rule.settings.mode.value,
        "action": rule.settings.action.value,
        "tripped": standing.tripped,
        "of_late": standing.trips_of_late,
        "in_shadow": standing.shadow_trips_of_late,
        "trips_at": _figure(frame, getattr(rule.settings, kind.trip), kind.unit),
        "clears_at": _figure(frame, getattr(rule.settings, kind.clear), kind.unit),
        "danger": kind.danger.value,
        "last": "" if last is None else _sentence(frame, last),
        "last_at": None if last is None else to_datetime(last.tripped_at),
        "path": f"{RULES}/{rule.name}",
    }


def _urgency(standing: Standing) -> tuple[bool, int, int]:
    """Tripped ones first, those that act before those in shadow, then as they come."""
    order: Sequence[str] = list(api.KINDS)
    modes = (Mode.ON, Mode.SHADOW, Mode.OFF)
    mode = modes.index(standing.rule.settings.mode)
    return standing.tripped == 0, mode, order.index(standing.rule.name)


def _sentence(frame: Frame, trip: Trip) -> str:
    return api.say_why(trip, frame.shell.language, frame.formats.currency)


def _figure(frame: Frame, value: int, unit: str) -> str:
    return api.format_figure(value, unit, frame.formats.currency, frame.shell.language)

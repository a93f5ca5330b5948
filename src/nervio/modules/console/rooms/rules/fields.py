"""The settings of a rule as fields of a form: percentages and money are typed as people write them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nervio.modules.console.requests import Frame
from nervio.modules.console.typed import read_figure, read_money, type_money
from nervio.modules.safety.api import rules as api
from nervio.modules.safety.contracts.halts import LEVELS
from nervio.modules.safety.contracts.rules import STOPPED_BY_RULE, Action, Bound, Mode, Reach, Rule
from nervio.ports.probes import About

BP_DIGITS = 2
"""100 basis points are one per cent, which is what people type."""

_WINDOWS = ("window", "baseline")


def draw(frame: Frame, rule: Rule, typed: Mapping[str, str] | None, errors: Mapping[str, str]) -> list[dict[str, Any]]:
    """The fields in the order of the form. `label` and `hint` are keys of texts; a hint's gaps are `least` and `most`."""
    kind, bounds = api.describe(rule.name), api.list_bounds(rule.name)
    found = []
    for name, value in api.list_settings(rule.settings).items():
        field: dict[str, Any] = {"name": name, "error": errors.get(name, ""), "choices": []}
        if name in bounds:
            bound = bounds[name]
            field["value"] = _type(frame, int(value), bound)
            field["label"] = _label(name, kind.trip, kind.clear, kind.danger.value)
            field["unit"] = bound.unit
            field["least"], field["most"] = (_figure(frame, edge, bound) for edge in (bound.least, bound.most))
        else:
            field["value"] = value
            field["choices"] = _choices(rule, name)
            field["label"] = name
        if typed is not None:
            field["value"] = typed.get(name, field["value"])
        found.append(field)
    # What makes it trip comes before how patient it is, and that before what a stop looks like.
    return sorted(found, key=lambda field: _rank(field["name"], field["label"]))


def read_typed(frame: Frame, rule: Rule, typed: Mapping[str, str]) -> tuple[dict[str, int | str], dict[str, str]]:
    """(values, errors by field) of what was typed. What was not sent stays as it is."""
    bounds = api.list_bounds(rule.name)
    values: dict[str, int | str] = {}
    errors: dict[str, str] = {}
    for name, text in typed.items():
        if name not in bounds:
            if text:
                values[name] = text
            continue
        value = _read(frame, text, bounds[name])
        if value is None:
            errors[name] = frame.t("problem.rule_not_a_number")
        else:
            values[name] = value
    return values, errors


def _label(name: str, trip: str, clear: str, danger: str) -> str:
    if name == trip:
        return f"trip_{danger}"
    if name == clear:
        return f"clear_{danger}"
    return next((window for window in _WINDOWS if name.startswith(f"{window}_")), name)


def _rank(name: str, label: str) -> int:
    order = ("mode", "trip_", "clear_", "window", "baseline", "min_samples", "hold", "cooldown", "action", "freeze")
    return next((n for n, begins in enumerate(order) if label.startswith(begins) or name == begins), len(order))


def _choices(rule: Rule, name: str) -> list[str]:
    """What a setting may be, as far as the rule allows it."""
    kind = api.describe(rule.name)
    has_product = kind.about in (About.PRODUCT, About.LEVEL)
    has_location = kind.about in (About.LOCATION, About.LEVEL)
    match name:
        case "mode":
            return [mode.value for mode in Mode]
        case "action":
            may_freeze = kind.largest.size >= Reach.MODULE.size
            allowed = {Action.ALERT: True, Action.PAUSE_CAMPAIGNS: has_product, Action.FREEZE: may_freeze}
            return [action.value for action, is_allowed in allowed.items() if is_allowed]
        case "freeze_reach":
            reaches = (Reach.MODULE, *((Reach.LOCATION,) if has_location else ()), Reach.TENANT)
            return [reach.value for reach in reaches if reach.size <= max(kind.largest.size, Reach.MODULE.size)]
        case "freeze_module":
            return list(STOPPED_BY_RULE)
        case _:
            return list(LEVELS)


def _type(frame: Frame, value: int, bound: Bound) -> str:
    if bound.unit == "minor":
        return type_money(value, frame.formats)
    if bound.unit != "bp":
        return str(value)
    whole, rest = divmod(abs(value), 10**BP_DIGITS)
    mark = frame.formats.number(0, "0")[1]
    fraction = f"{mark}{rest:02d}".rstrip("0") if rest else ""
    return f"{'-' if value < 0 else ''}{whole}{fraction}"


def _read(frame: Frame, text: str, bound: Bound) -> int | None:
    if bound.unit == "minor":
        return read_money(text, frame.formats)
    mark = frame.formats.number(0, "0")[1]
    return read_figure(text, BP_DIGITS if bound.unit == "bp" else 0, mark)


def _figure(frame: Frame, value: int, bound: Bound) -> str:
    return api.format_figure(value, bound.unit, frame.formats.currency, frame.shell.language)

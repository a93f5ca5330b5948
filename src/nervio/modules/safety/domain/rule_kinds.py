"""The rules there are, in one literal table, in the order in which screens show them."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from nervio.kernel.errors import NervioError, invalid, not_found
from nervio.modules.safety.contracts.rules import (
    AdsWithoutStock,
    Conduct,
    CriticalStock,
    Discounts,
    ErrorRate,
    LedgerChain,
    LedgerSeal,
    MarginFall,
    NegativeMargin,
    Reach,
    Refunds,
    RunningOut,
    StockInvariant,
)
from nervio.modules.safety.domain.rules import Danger, RuleKind, bounds_of, check_settings
from nervio.ports.probes import About

CRITICAL_STOCK = "critical_stock"

_LOW, _HIGH = Danger.LOW, Danger.HIGH

KINDS: Mapping[str, RuleKind] = {
    kind.name: kind
    for kind in (
        RuleKind(
            CRITICAL_STOCK, "stock.critical", About.LEVEL, CriticalStock, _LOW, Reach.LOCATION,
            "trip_percent", "clear_percent", "percent",
        ),
        RuleKind(
            "running_out", "sales.days_left", About.PRODUCT, RunningOut, _LOW, Reach.CAMPAIGNS,
            "lead_time_days", "clear_days", "days",
        ),
        RuleKind(
            "negative_margin", "sales.margin", About.PRODUCT, NegativeMargin, _LOW, Reach.MODULE,
            "trip_margin_bp", "clear_margin_bp", "bp", tells_costs=True,
        ),
        RuleKind(
            "margin_fall", "sales.margin_fall", About.TENANT, MarginFall, _HIGH, Reach.TENANT,
            "trip_fall_bp", "clear_fall_bp", "bp", tells_costs=True,
        ),
        RuleKind(
            "refunds", "sales.refunds", About.LOCATION, Refunds, _HIGH, Reach.LOCATION,
            "trip_excess_bp", "clear_excess_bp", "bp",
        ),
        RuleKind(
            "discounts", "sales.discounts", About.LOCATION, Discounts, _HIGH, Reach.LOCATION,
            "trip_share_bp", "clear_share_bp", "bp",
        ),
        RuleKind(
            "ads_without_stock", "ads.spend_without_stock", About.PRODUCT, AdsWithoutStock, _HIGH, Reach.CAMPAIGNS,
            "trip_spend_minor", "clear_spend_minor", "minor",
        ),
        RuleKind(
            "stock_invariant", "stock.findings", About.TENANT, StockInvariant, _HIGH, Reach.TENANT,
            "trip_findings_count", "clear_findings_count", "count",
        ),
        RuleKind(
            "ledger_seal", "ledger.seal_wait", About.TENANT, LedgerSeal, _HIGH, Reach.TENANT,
            "trip_wait_seconds", "clear_wait_seconds", "seconds",
        ),
        RuleKind(
            "ledger_chain", "ledger.chain", About.TENANT, LedgerChain, _HIGH, Reach.TENANT,
            "trip_findings_count", "clear_findings_count", "count",
        ),
        RuleKind(
            "error_rate", "http.error_rate", About.TENANT, ErrorRate, _HIGH, Reach.TENANT,
            "trip_share_bp", "clear_share_bp", "bp",
        ),
    )
}  # fmt: skip
"""Every rule by its name."""

_SECONDS = {"minutes": 60, "hours": 3_600, "days": 86_400}


def kind_of(name: str) -> RuleKind:
    """The rule of that name. Raises `not_found`."""
    kind = KINDS.get(name)
    if kind is None:
        raise not_found("rule", name, field="rule")
    return kind


def window_of(settings: Conduct, name: str) -> int:
    """The seconds of the settings' `window` or `baseline`, whatever unit it is set in; 0 where there is none."""
    for unit, seconds in _SECONDS.items():
        value = getattr(settings, f"{name}_{unit}", None)
        if value is not None:
            return int(value) * seconds
    return 0


def decode_settings(kind: RuleKind, stored: str) -> Conduct:
    """Settings as they were stored. A setting that is new since has its default, one that is gone is left out; what no longer
    fits falls back to the defaults, since a rule that cannot be read must not take the others down."""
    try:
        settings: Conduct = msgspec.json.decode(stored, type=kind.settings)
        check_settings(kind, settings)
    except (msgspec.DecodeError, NervioError):
        return kind.settings()
    return settings


def encode_settings(settings: Conduct) -> str:
    """Settings as they are stored: JSON, every field."""
    return msgspec.json.encode(settings).decode()


def to_mapping(settings: Conduct) -> dict[str, int | str]:
    """Settings as plain names and values."""
    found: dict[str, int | str] = msgspec.to_builtins(settings)
    return found


def changed_settings(kind: RuleKind, current: Conduct, given: Mapping[str, object]) -> Conduct:
    """The current settings with the given ones in their place, checked. Raises `invalid` naming the setting."""
    known, bounds = to_mapping(current), bounds_of(kind.settings)
    for name, value in given.items():
        if name not in known:
            raise invalid("rule_setting_unknown", f"The rule {kind.name!r} has no setting {name!r}.", field=name)
        is_number = isinstance(value, int) and not isinstance(value, bool)
        if name in bounds and not is_number:
            raise invalid("rule_not_a_number", f"{name} must be a whole number.", field=name)
        try:
            one = msgspec.convert({name: value}, kind.settings)
        except msgspec.ValidationError as error:
            raise invalid("rule_setting_invalid", f"{name}: {error}", field=name) from None
        known[name] = to_mapping(one)[name]
    return check_settings(kind, msgspec.convert(known, kind.settings))

"""Alerts: raising them, seeing them, and saying where they go."""

from __future__ import annotations

from collections.abc import Mapping

from nervio.db.context import Ctx
from nervio.db.vault import Vault
from nervio.kernel.errors import invalid, not_found
from nervio.kernel.ids import is_id, new_id
from nervio.kernel.time import Instant
from nervio.modules.safety.contracts.actions import Delete, Deleted
from nervio.modules.safety.contracts.alerts import (
    DESTINATION_FIELDS,
    AcknowledgeAlert,
    Alert,
    AlertRaised,
    AlertRecord,
    AlertSettled,
    Destination,
    DestinationKind,
    RaiseAlert,
    SaveDestination,
    Severity,
)
from nervio.modules.safety.domain.actions import check_name, split_fields
from nervio.modules.safety.domain.alerts import TEST_ALERT, check_alert, words_of
from nervio.modules.safety.store import alerts as store
from nervio.modules.safety.usecases.alerting import ACKNOWLEDGE, RAISE, SAVE_DESTINATION, WINDOW_SECONDS
from nervio.modules.safety.usecases.deleting import DELETE_DESTINATION
from nervio.modules.safety.usecases.delivering import DESTINATION_SECRETS, AlertWorker

READ = "safety.read"
ACKNOWLEDGE_ALERTS = "safety.acknowledge_alerts"
MANAGE_ALERTS = "safety.manage_alerts"
LONGEST_PAGE = 500


async def raise_alert(ctx: Ctx, alert: Alert, key: str) -> AlertRaised:
    """Stores an alert for the tenant and sends it to every destination that wants its severity; works during a stop.

    The same `dedup_key` within an hour counts up and is sent again only when the severity rises. The same `key` is the
    same call. For the program itself: no permission is asked. Raises `invalid`.
    """
    return await ctx.submit(RAISE, RaiseAlert(check_alert(alert), WINDOW_SECONDS), key)


async def try_destination(ctx: Ctx, destination_id: str | None, key: str | None = None) -> AlertRaised:
    """Sends a TestAlert to one destination, or to all that are active; its delivery shows whether it arrived."""
    ctx.require(MANAGE_ALERTS)
    if destination_id is not None and not is_id(destination_id):
        raise not_found("destination", destination_id)
    alert = Alert(Severity.CRITICAL, TEST_ALERT, "", "", f"test:{new_id()}", "/console/safety/actions")
    # A trial never counts up: each is an alert of its own. Its key is drawn, so only a caller's own key repeats it.
    if key is not None:
        alert = Alert(Severity.CRITICAL, TEST_ALERT, "", "", f"test:{key}", "/console/safety/actions")
    return await ctx.submit(RAISE, RaiseAlert(alert, 1, destination_id), key)


async def acknowledge_alert(ctx: Ctx, alert_id: str, key: str | None = None) -> AlertSettled:
    """Writes down that the caller has seen an alert. The first one stays. Raises `not_found`."""
    ctx.require(ACKNOWLEDGE_ALERTS)
    if not is_id(alert_id):
        raise not_found("alert", alert_id)
    return await ctx.submit(ACKNOWLEDGE, AcknowledgeAlert(alert_id), key)


async def list_alerts(
    ctx: Ctx, *, acknowledged: bool | None = None, before: tuple[Instant, str] | None = None, limit: int = 50
) -> list[AlertRecord]:
    """Alerts, the last raised first; `before` is (last_at, id) of the last one seen."""
    ctx.require(READ)
    most = min(limit, LONGEST_PAGE + 1)
    return await ctx.read(lambda c: store.list_alerts(c, acknowledged=acknowledged, before=before, limit=most))


async def get_alert(ctx: Ctx, alert_id: str) -> AlertRecord:
    """One alert. Raises `not_found`."""
    ctx.require(READ)
    if not is_id(alert_id):
        raise not_found("alert", alert_id)
    found = await ctx.read(lambda c: store.find_alerts(c, [alert_id]))
    if not found:
        raise not_found("alert", alert_id)
    return found[0]


async def list_destinations(ctx: Ctx) -> list[Destination]:
    """Where alerts go, by name; secrets are told by name only."""
    ctx.require(MANAGE_ALERTS)
    return await ctx.read(store.list_destinations)


async def save_destination(
    ctx: Ctx,
    vault: Vault,
    name: str,
    kind: str,
    fields: Mapping[str, str],
    *,
    destination_id: str | None = None,
    least_severity: str = Severity.WARNING.value,
    active: bool = True,
    key: str | None = None,
) -> Destination:
    """Adds a destination, or changes one; empty secrets keep those that are there. Raises `invalid`, `conflict`."""
    ctx.require(MANAGE_ALERTS)
    if kind not in {one.value for one in DestinationKind}:
        raise invalid("invalid_choice", f"kind must be one of {', '.join(DestinationKind)}.", field="kind")
    if least_severity not in {one.value for one in Severity}:
        raise invalid("invalid_choice", f"least_severity must be one of {', '.join(Severity)}.", field="least_severity")
    if destination_id is not None and not is_id(destination_id):
        raise not_found("destination", destination_id)
    wanted = DestinationKind(kind)
    settings, given = split_fields(DESTINATION_FIELDS[wanted], fields, is_new=destination_id is None)
    _check_settings(wanted, settings)
    secrets, found = given, None
    if destination_id is not None:
        found = await ctx.read(lambda c: store.find_sealed(c, destination_id))
        if found is None:
            raise not_found("destination", destination_id)
        _check_password_goes_on(found[1], settings, given)
    # Where all are given anew the old ones are not opened: they may have been sealed with a key that is lost.
    whole = {field.name for field in DESTINATION_FIELDS[wanted] if field.secret} <= given.keys()
    if found is not None and given and not whole:
        secrets = {**vault.open(ctx.tenant_id, DESTINATION_SECRETS, found[2]), **given}
    sealed = vault.seal(ctx.tenant_id, DESTINATION_SECRETS, secrets) if given or destination_id is None else None
    body = SaveDestination(
        destination_id,
        check_name(name),
        wanted,
        settings,
        sealed,
        tuple(sorted(secrets)),
        Severity(least_severity),
        active,
    )
    saved = await ctx.submit(SAVE_DESTINATION, body, key)
    return next(one for one in await ctx.read(store.list_destinations) if one.id == saved.id)


async def delete_destination(ctx: Ctx, destination_id: str, key: str | None = None) -> Deleted:
    """Deletes a destination and its secrets for good; what was still to be sent there is not. Raises `not_found`."""
    ctx.require(MANAGE_ALERTS)
    if not is_id(destination_id):
        raise not_found("destination", destination_id)
    return await ctx.submit(DELETE_DESTINATION, Delete(destination_id), key)


def _check_password_goes_on(former: Mapping[str, str], settings: Mapping[str, str], given: Mapping[str, str]) -> None:
    """A stored password is told to nobody but the server it was given for: who names another one gives it anew."""
    changed = [name for name in ("host", "port", "security", "username") if former.get(name) != settings.get(name)]
    if former.get("username") and settings.get("username") and changed and "password" not in given:
        raise invalid(
            "password_needed",
            f"Give the password again: {', '.join(changed)} changed.",
            field="password",
            changed=changed,
        )


def text_of(alert: AlertRecord, language: str) -> tuple[str, str]:
    """(title, body) of an alert in a language, as far as Nervio has words of its own for it."""
    return words_of(alert.code, alert.title, alert.body, alert.figures, language)


def _check_settings(kind: DestinationKind, settings: Mapping[str, str]) -> None:
    if kind is not DestinationKind.EMAIL:
        return
    port = settings.get("port", "")
    if not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65_535):
        raise invalid("invalid_value", "port must be a number from 1 to 65535.", field="port")
    if settings.get("security") not in {"starttls", "tls"}:
        raise invalid("invalid_choice", "security must be starttls or tls.", field="security")
    for field in ("sender", "recipients"):
        for address in settings.get(field, "").split(","):
            if address.count("@") != 1 or " " in address.strip():
                raise invalid("invalid_value", f"{field} must be e-mail addresses.", field=field)


__all__ = [
    "ACKNOWLEDGE",
    "ACKNOWLEDGE_ALERTS",
    "DELETE_DESTINATION",
    "DESTINATION_SECRETS",
    "LONGEST_PAGE",
    "MANAGE_ALERTS",
    "RAISE",
    "READ",
    "SAVE_DESTINATION",
    "AlertWorker",
    "acknowledge_alert",
    "delete_destination",
    "get_alert",
    "list_alerts",
    "list_destinations",
    "raise_alert",
    "save_destination",
    "text_of",
    "try_destination",
]

"""Rules of identity on plain values: what an email, a password, a role and a tenant must look like."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
import zoneinfo
from collections.abc import Sequence

from nervio.kernel.errors import Kind, NervioError, invalid
from nervio.kernel.money import check_currency
from nervio.modules.identity.contracts import NewTenant, Role

SHORTEST_PASSWORD = 10
LONGEST_PASSWORD = 200
LONGEST_EMAIL = 254
"""RFC 5321, section 4.5.3.1.3, less the angle brackets."""
LONGEST_NAME = 200
LANGUAGES = ("es", "en")

_EMAIL = re.compile(
    r"[^\s@\x00-\x1f\x7f\"(),:;<>\[\\\]]{1,64}@[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*"
)
_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,48}[a-z0-9])?")


def check_email(email: str, field: str) -> str:
    """The email as it is stored and compared: composed, lower case. Raises `invalid`."""
    folded = unicodedata.normalize("NFC", email.strip()).lower()
    if len(folded) > LONGEST_EMAIL or not folded.isprintable() or _EMAIL.fullmatch(folded) is None:
        raise invalid("invalid_email", f"{field} must be an email such as ana@example.com.", field=field)
    return folded


def check_password(password: str, email: str, field: str) -> None:
    """Refuses a password that is too short, the user's own email, or not text. Composition rules are left out on purpose:
    they make people choose worse ones (NIST SP 800-63B, section 5.1.1.2)."""
    check_password_form(password, field)
    if len(password) < SHORTEST_PASSWORD:
        raise invalid("password_too_short", f"{field} must have at least {SHORTEST_PASSWORD} characters.", field=field)
    if password.strip().casefold() == email.casefold():
        raise invalid("password_is_email", f"{field} must not be the email; choose something else.", field=field)
    if len(set(password)) < 3:
        raise invalid(
            "password_too_simple", f"{field} repeats the same characters; choose something else.", field=field
        )


def check_password_form(password: str, field: str) -> None:
    """Refuses what cannot be anybody's password, before it costs a hash."""
    if len(password) > LONGEST_PASSWORD:
        raise invalid("password_too_long", f"{field} must have at most {LONGEST_PASSWORD} characters.", field=field)
    # Lone surrogates come out of JSON escapes and cannot be encoded.
    if "\x00" in password or any("\ud800" <= c <= "\udfff" for c in password):
        raise invalid("invalid_password", f"{field} holds a character that is not text; leave it out.", field=field)


def check_name(name: str, field: str) -> str:
    """A name people read, without the spaces around it."""
    trimmed = name.strip()
    if not trimmed or len(trimmed) > LONGEST_NAME or not trimmed.isprintable():
        raise invalid("invalid_name", f"{field} must be 1 to {LONGEST_NAME} printable characters.", field=field)
    return trimmed


def check_roles(roles: Sequence[str], field: str) -> tuple[str, ...]:
    """The roles, sorted and each once. Raises `invalid` naming the unknown one."""
    known = [role.value for role in Role]
    for n, role in enumerate(roles):
        if role not in known:
            path = f"{field}[{n}]"
            raise invalid("unknown_role", f"{path} must be one of {', '.join(known)}.", field=path, allowed=known)
    if not roles:
        raise invalid("no_roles", f"{field} must name at least one role.", field=field, allowed=known)
    return tuple(sorted(set(roles)))


def check_slug(slug: str, field: str) -> str:
    """A tenant's short name, as it stands in addresses and at login."""
    if _SLUG.fullmatch(slug) is None:
        raise invalid(
            "invalid_slug",
            f"{field} must be 1 to 50 small letters, digits and hyphens, such as mini-market.",
            field=field,
        )
    return slug


def check_tenant(tenant: NewTenant) -> NewTenant:
    """The tenant with its texts in stored form. Raises `invalid` naming the field."""
    check_currency(tenant.currency, "currency")
    check_time_zone(tenant.time_zone, "time_zone")
    if tenant.language not in LANGUAGES:
        raise invalid(
            "unknown_language", f"language must be one of {', '.join(LANGUAGES)}.", field="language", allowed=LANGUAGES
        )
    email = None if tenant.admin_email is None else check_email(tenant.admin_email, "admin_email")
    if email is None and tenant.admin_name is not None:
        raise invalid("admin_email_missing", "admin_name needs an admin_email beside it.", field="admin_email")
    return NewTenant(
        slug=check_slug(tenant.slug, "slug"),
        name=check_name(tenant.name, "name"),
        currency=tenant.currency,
        time_zone=tenant.time_zone,
        language=tenant.language,
        admin_email=email,
        admin_name=None if email is None else check_name(tenant.admin_name or email, "admin_name"),
    )


def check_time_zone(name: str, field: str) -> str:
    """A zone of the IANA database."""
    if name not in zoneinfo.available_timezones():
        raise invalid(
            "unknown_time_zone",
            f"{field} must be a zone of the IANA database, such as America/Argentina/Buenos_Aires.",
            field=field,
        )
    return name


def network_of(address: str) -> str:
    """What login attempts are counted by: an IPv4 address, or the /64 an IPv6 address is in, since whoever has one
    of its addresses has them all."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((int(parsed), 64), strict=False))
    return str(parsed)


def login_failed() -> NervioError:
    """One answer for an unknown email, a wrong password, a deactivated user and an email that several tenants know:
    whoever asks must not learn which it was."""
    return NervioError(
        Kind.UNAUTHENTICATED,
        "login_failed",
        "Email or password is wrong. If this email is known to more than one business, name the tenant as well.",
    )


def not_authenticated(code: str, message: str) -> NervioError:
    """The credentials sent with the request are not good (any more)."""
    return NervioError(Kind.UNAUTHENTICATED, code, message)


def session_ended() -> NervioError:
    """The session was closed, ran out, or belonged to a password or a user that is no more."""
    return not_authenticated("session_ended", "This session has ended; log in again.")

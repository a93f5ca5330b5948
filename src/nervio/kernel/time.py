"""Instants as whole microseconds since 1970-01-01T00:00:00Z.

One integer sorts, compares, hashes and travels the same on every database and in the sealed journal; screens and the
HTTP interface turn it into a date.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from nervio.kernel.errors import invalid

Instant = int

SECOND = 1_000_000
DAY = 86_400 * SECOND

LATEST = 253_402_300_799_999_999
"""The last microsecond of the year 9999, where calendars of computers end."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def from_datetime(moment: datetime) -> Instant:
    """The instant of an aware datetime. Raises ValueError on a naive one: its zone would be a guess."""
    if moment.tzinfo is None:
        raise ValueError("a datetime without a time zone names no instant")
    return (moment - _EPOCH) // _MICROSECOND


def to_datetime(instant: Instant) -> datetime:
    """The instant as an aware datetime in UTC."""
    return _EPOCH + timedelta(microseconds=instant)


def to_iso(instant: Instant) -> str:
    """RFC 3339 in UTC, microseconds always written, `Z` at the end."""
    return to_datetime(instant).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_iso(text: str, field: str) -> Instant:
    """The instant written in RFC 3339; `field` is named in the error."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise invalid(
            "invalid_time", f"{field} must be a time with its zone, such as 2026-03-01T10:00:00Z.", field=field
        )
    return check_instant(from_datetime(moment), field)


def check_instant(instant: Instant, field: str) -> Instant:
    """The instant itself if it lies between 1970 and 9999, which every column and every calendar can hold."""
    if not 0 <= instant <= LATEST:
        raise invalid("time_out_of_range", f"{field} must lie between 1970 and 9999.", field=field)
    return instant


def parse_date(text: str, field: str) -> str:
    """A calendar date checked and kept as `YYYY-MM-DD`; `field` is named in the error."""
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise invalid("invalid_date", f"{field} must be a date such as 2026-03-01.", field=field) from None

"""The one error type that is allowed to leave a use case.

An error carries a *kind* (what the caller can do about it) and data (what was wrong, field by field). Which HTTP
status or retry policy a kind means is decided once, in the runtime. Any other exception is a bug and is not caught.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What a caller can do about an error."""

    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    TOO_MANY = "too_many"
    HALTED = "halted"
    UNAVAILABLE = "unavailable"


# Answers of these kinds belong to the request itself and are remembered under its idempotency key. The others describe
# the moment (stopped, overloaded, store gone): the same request may well succeed a second later.
REMEMBERED_KINDS = frozenset({Kind.INVALID, Kind.FORBIDDEN, Kind.NOT_FOUND, Kind.CONFLICT})


class NervioError(Exception):
    """A refusal with a kind, a stable machine-readable code, a sentence that says how to mend it, and data."""

    def __init__(self, kind: Kind, code: str, message: str, **data: Any) -> None:
        super().__init__(message)
        self.kind = kind
        self.code = code
        self.message = message
        self.data = data

    def __repr__(self) -> str:
        return f"NervioError({self.kind.value}, {self.code}, {self.message!r}, {self.data!r})"


def invalid(code: str, message: str, *, field: str, **data: Any) -> NervioError:
    """The request itself is wrong; `field` is the path of the offending field, `message` names the fix."""
    return NervioError(Kind.INVALID, code, message, field=field, **data)


def not_found(what: str, reference: str, *, field: str | None = None) -> NervioError:
    """There is no such thing for this tenant (another tenant's thing looks exactly the same)."""
    data: dict[str, Any] = {"reference": reference}
    if field is not None:
        data["field"] = field
    return NervioError(Kind.NOT_FOUND, f"{what}_not_found", f"There is no {what} {reference!r} here.", **data)


def conflict(code: str, message: str, **data: Any) -> NervioError:
    """The request is well formed but the state of things does not allow it."""
    return NervioError(Kind.CONFLICT, code, message, **data)


def forbidden(permission: str) -> NervioError:
    """The caller is known but lacks a permission."""
    return NervioError(Kind.FORBIDDEN, "forbidden", f"This needs the permission {permission!r}.", permission=permission)

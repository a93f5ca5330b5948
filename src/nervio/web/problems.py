"""Refusals as problem details (RFC 9457): their shape, and what each kind of error means in HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from nervio.kernel.errors import Kind, NervioError

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:nervio:problem:"

STATUS: Mapping[Kind, int] = {
    Kind.INVALID: 422,
    Kind.UNAUTHENTICATED: 401,
    Kind.FORBIDDEN: 403,
    Kind.NOT_FOUND: 404,
    Kind.CONFLICT: 409,
    Kind.TOO_MANY: 429,
    Kind.HALTED: 503,
    Kind.UNAVAILABLE: 503,
}

TITLES: Mapping[Kind, str] = {
    Kind.INVALID: "The request is not valid",
    Kind.UNAUTHENTICATED: "Log in first",
    Kind.FORBIDDEN: "A permission is missing",
    Kind.NOT_FOUND: "There is no such thing",
    Kind.CONFLICT: "The state of things does not allow it",
    Kind.TOO_MANY: "Too many requests",
    Kind.HALTED: "Stopped by a person on duty",
    Kind.UNAVAILABLE: "Not available just now",
}


class Problem(BaseModel):
    """Problem details. Data of the problem (shortages, limits, ids) stands beside these fields."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:nervio:problem:invalid_quantity",
                    "title": "The request is not valid",
                    "status": 422,
                    "detail": "lines[0].quantity_milli must be more than zero.",
                    "kind": "invalid",
                    "code": "invalid_quantity",
                    "field": "lines[0].quantity_milli",
                }
            ]
        },
    )

    type: str = Field(description="`urn:nervio:problem:` and the code.")
    title: str = Field(description="What this kind of problem is.")
    status: int = Field(description="The HTTP status again.")
    detail: str = Field(description="What is wrong here and how to mend it.")
    kind: str = Field(description="What the caller can do about it: " + ", ".join(Kind) + ".")
    code: str = Field(description="Stable and machine-readable.")
    field: str | None = Field(None, description="Path of the field that is wrong, such as lines[0].quantity_milli.")


def problem_of(error: NervioError) -> dict[str, Any]:
    """A refusal that is part of an answer (one document of many), in the members of problem details."""
    return {
        **error.data,
        "type": TYPE_PREFIX + error.code,
        "title": TITLES[error.kind],
        "status": STATUS[error.kind],
        "detail": error.message,
        "kind": error.kind.value,
        "code": error.code,
    }


def refusals(*kinds: Kind) -> dict[int | str, dict[str, Any]]:
    """What `responses=` of a route takes: those every route may answer with, and the kinds given."""
    every = (Kind.INVALID, Kind.UNAUTHENTICATED, Kind.FORBIDDEN, Kind.UNAVAILABLE)
    return {
        STATUS[kind]: {"model": Problem, "description": TITLES[kind], "content": {MEDIA_TYPE: {}}}
        for kind in (*every, *kinds)
    }


def invalid_request(faults: Sequence[Mapping[str, Any]]) -> NervioError:
    """What pydantic found wrong, every fault with its field."""
    told = [{"field": _field(fault["loc"]), "message": _message(fault)} for fault in faults]
    first = told[0] if told else {"field": "body", "message": "is not valid"}
    more = f" (and {len(told) - 1} more)" if len(told) > 1 else ""
    return NervioError(
        Kind.INVALID,
        "invalid_request",
        f"{first['field']}: {first['message']}{more}",
        field=first["field"],
        errors=told,
    )


def _field(location: Sequence[str | int]) -> str:
    """`("body", "lines", 0, "sku")` → `lines[0].sku`."""
    parts = list(location)
    if parts and parts[0] in {"body", "query", "path", "header", "cookie"} and len(parts) > 1:
        parts = parts[1:]
    text = ""
    for part in parts:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text or "body"


def _message(fault: Mapping[str, Any]) -> str:
    if fault["type"] == "missing":
        return "is required; add it"
    if fault["type"] == "extra_forbidden":
        return "is not known here; leave it out"
    if fault["type"] == "json_invalid":
        return f"is not valid JSON ({fault.get('ctx', {}).get('error', 'cannot be parsed')})"
    return str(fault["msg"]).removeprefix("Value error, ")

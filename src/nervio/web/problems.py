"""Refusals as problem details (RFC 9457): their shape, and what each kind of error means in HTTP."""

from __future__ import annotations

from collections.abc import Mapping
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

"""Errors as problem details (RFC 9457): the one place where kinds of errors become HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from nervio.kernel.errors import Kind, NervioError
from nervio.web.problems import MEDIA_TYPE, STATUS, TITLES, TYPE_PREFIX, invalid_request

RETRY_SECONDS: Mapping[Kind, int] = {Kind.TOO_MANY: 1, Kind.HALTED: 5, Kind.UNAVAILABLE: 2}
"""How long a client is told to wait where the error itself does not say."""

_TITLES: Mapping[str, str] = {
    **{kind.value: title for kind, title in TITLES.items()},
    "method_not_allowed": "This address does not take that method",
    "too_large": "The request is too large",
    "unexpected": "Something broke on our side",
    "error": "The request was refused",
}
_TITLES_ES: Mapping[str, str] = {
    "invalid": "La solicitud no es válida",
    "unauthenticated": "Primero iniciá sesión",
    "forbidden": "Falta un permiso",
    "not_found": "Eso no existe",
    "conflict": "El estado actual no lo permite",
    "too_many": "Demasiadas solicitudes",
    "halted": "Detenido por una persona de guardia",
    "unavailable": "No disponible por el momento",
    "method_not_allowed": "Esta dirección no acepta ese método",
    "too_large": "La solicitud es demasiado grande",
    "unexpected": "Algo falló de nuestro lado",
    "error": "La solicitud fue rechazada",
}

_KIND_OF_STATUS: Mapping[int, str] = {
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    413: "too_large",
    422: "invalid",
    429: "too_many",
    500: "unexpected",
    503: "unavailable",
}


class RefusedBody(HTTPException):
    """A body that is refused while it is read. FastAPI turns any other exception at that place into a 400."""

    def __init__(self, status: int, members: Mapping[str, Any]) -> None:
        super().__init__(status)
        self.members = members


def problem_of(error: NervioError) -> tuple[int, dict[str, Any], dict[str, str]]:
    """(status, members of the problem, headers) of an error."""
    members = {"kind": error.kind.value, "code": error.code, "detail": error.message, **_plain(error.data)}
    headers: dict[str, str] = {}
    seconds = error.data.get("retry_after_seconds", RETRY_SECONDS.get(error.kind))
    if seconds is not None:
        headers["Retry-After"] = str(max(1, round(seconds)))
    if error.kind is Kind.UNAUTHENTICATED:
        headers["WWW-Authenticate"] = 'Bearer realm="nervio"'
    return STATUS[error.kind], members, headers


def respond(
    scope: Scope, status: int, members: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> Response:
    """The response for a problem. `members` holds kind, code and detail; the rest of the frame is added here."""
    kind = str(members["kind"])
    body = {
        "type": TYPE_PREFIX + str(members["code"]),
        "title": (_TITLES_ES if prefers_spanish(scope) else _TITLES)[kind],
        "status": status,
        **members,
        "instance": scope.get("path", ""),
        "request_id": scope.get("state", {}).get("request_id"),
    }
    return Response(orjson.dumps(body, default=str), status, headers=headers, media_type=MEDIA_TYPE)


def respond_error(scope: Scope, error: NervioError) -> Response:
    """The response for an error of ours."""
    if error.kind is Kind.HALTED:
        scope.setdefault("state", {})["halted"] = True  # no fault of ours; the figures leave it out
    return respond(scope, *problem_of(error))


def respond_unexpected(scope: Scope) -> Response:
    """The response for a bug: nothing of it leaves, but the id under which it stands in the log."""
    members = {
        "kind": "unexpected",
        "code": "unexpected",
        "detail": "This is a fault of the program; it is logged under the request id.",
    }
    return respond(scope, 500, members)


async def handle_bug(request: Request, _error: Exception) -> Response:
    """FastAPI's handler for everything else."""
    return respond_unexpected(request.scope)


async def handle_error(request: Request, error: Exception) -> Response:
    """FastAPI's handler for NervioError."""
    assert isinstance(error, NervioError)
    return respond_error(request.scope, error)


async def handle_http_error(request: Request, error: Exception) -> Response:
    """FastAPI's handler for what its own routing refuses: unknown addresses, wrong methods, unreadable bodies."""
    assert isinstance(error, HTTPException)
    if isinstance(error, RefusedBody):
        return respond(request.scope, error.status_code, error.members, {"Connection": "close"})
    kind = _KIND_OF_STATUS.get(error.status_code, "error")
    if error.status_code == 400:
        # FastAPI could not even read the body.
        return respond_error(
            request.scope, NervioError(Kind.INVALID, "unreadable_body", str(error.detail), field="body")
        )
    details = {
        404: f"There is nothing at {request.url.path}.",
        405: f"{request.url.path} does not take {request.method}.",
    }
    members = {"kind": kind, "code": kind, "detail": details.get(error.status_code, str(error.detail))}
    return respond(request.scope, error.status_code, members, error.headers)


async def handle_validation(request: Request, error: Exception) -> Response:
    """FastAPI's handler for requests that do not fit their schema: every fault with its field."""
    assert isinstance(error, RequestValidationError)
    return respond_error(request.scope, invalid_request(error.errors()))


def prefers_spanish(scope: Scope) -> bool:
    """Whether Accept-Language puts Spanish before English."""
    header = next((value for name, value in scope.get("headers", ()) if name == b"accept-language"), b"")
    best, chosen = 0.0, "en"
    for part in header.decode("latin-1").split(","):
        tag, _, parameters = part.strip().partition(";")
        language = tag.partition("-")[0].lower()
        try:
            quality = float(parameters.strip().removeprefix("q=")) if parameters else 1.0
        except ValueError:
            quality = 0.0
        if language in {"es", "en"} and quality > best:
            best, chosen = quality, language
    return chosen == "es"


def _plain(data: Mapping[str, Any]) -> dict[str, Any]:
    """The error's data without names that belong to the frame."""
    return {key: value for key, value in data.items() if key not in {"type", "title", "status", "detail", "instance"}}

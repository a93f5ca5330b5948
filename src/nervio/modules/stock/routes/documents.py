"""Stock documents over HTTP: the hot route that books one or many in one request."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from nervio.db.context import Ctx
from nervio.kernel.errors import Kind, NervioError, invalid
from nervio.modules.stock import api
from nervio.modules.stock.contracts import StockDocument, StockRecorded
from nervio.modules.stock.metrics import DOCUMENTS, count_shortages
from nervio.modules.stock.schemas.documents import (
    CHOICES,
    REQUEST_NAMES,
    BodyShape,
    DocumentBody,
    DocumentsAnswer,
    DocumentsBody,
    Recorded,
    Refused,
    recorded,
    to_document,
)
from nervio.web.bodies import decode, in_terms_of
from nervio.web.manifest import HotRoute
from nervio.web.operations import operation, schema_of
from nervio.web.problems import problem_of
from nervio.web.request import check_key, context_of, idempotency_key_of

_shape = msgspec.json.Decoder(BodyShape)
_one = msgspec.json.Decoder(DocumentBody)
_many = msgspec.json.Decoder(DocumentsBody)
_encode = msgspec.json.Encoder().encode

# Refusals that describe the moment, not a document: when nothing was booked they are the answer to the whole request.
_OF_THE_MOMENT = frozenset({Kind.HALTED, Kind.UNAVAILABLE, Kind.TOO_MANY})


async def record_documents(request: Request) -> Response:
    """Books the document or documents of the body; see `MOVEMENTS` for what it takes and answers."""
    ctx = context_of(request)
    ctx.require("stock.write")
    key = idempotency_key_of(request)
    raw = await request.body()
    if decode(_shape, raw).documents is msgspec.UNSET:
        answer: Recorded | DocumentsAnswer = await _record_one(ctx, decode(_one, raw, CHOICES), key)
        status = 201
    else:
        answer = await _record_many(ctx, decode(_many, raw, CHOICES).documents, key)
        status = 200
    return Response(_encode(answer), status, media_type="application/json")


async def _record_one(ctx: Ctx, body: DocumentBody, key: str | None) -> Recorded:
    if key is not None and body.idempotency_key not in {None, key}:
        path = "idempotency_key"
        raise invalid("two_idempotency_keys", f"{path} differs from the Idempotency-Key header; send one.", field=path)
    verdict = (await _verdicts(ctx, [body], [body.idempotency_key or key]))[0]
    if isinstance(verdict, NervioError):
        raise verdict
    return recorded(verdict)


async def _record_many(ctx: Ctx, bodies: list[DocumentBody], key: str | None) -> DocumentsAnswer:
    keys = [body.idempotency_key or (None if key is None else f"{key}#{n}") for n, body in enumerate(bodies)]
    verdicts = await _verdicts(ctx, bodies, keys)
    if all(isinstance(verdict, NervioError) and verdict.kind in _OF_THE_MOMENT for verdict in verdicts):
        assert isinstance(verdicts[0], NervioError)
        raise verdicts[0]
    return DocumentsAnswer([Refused(problem_of(v)) if isinstance(v, NervioError) else recorded(v) for v in verdicts])


async def _verdicts(ctx: Ctx, bodies: list[DocumentBody], keys: list[str | None]) -> list[StockRecorded | NervioError]:
    """What became of each document, in order. Raises what is neither booked nor refused: a bug."""
    verdicts: list[StockRecorded | NervioError | None] = []
    items: list[tuple[str, StockDocument, str | None]] = []
    for body, key in zip(bodies, keys, strict=True):
        try:
            items.append((body.kind, to_document(body), check_key(key)))
            verdicts.append(None)
        except NervioError as refusal:
            verdicts.append(refusal)
    outcomes = iter(await api.record_documents(ctx, items))
    answers: list[StockRecorded | NervioError] = []
    for body, verdict in zip(bodies, verdicts, strict=True):
        outcome = next(outcomes) if verdict is None else verdict
        if isinstance(outcome, StockRecorded):
            DOCUMENTS.labels(body.kind, "recorded").inc()
            answers.append(outcome)
        elif isinstance(outcome, NervioError):
            DOCUMENTS.labels(body.kind, "refused").inc()
            count_shortages(outcome.data.get("shortages"))
            answers.append(in_terms_of(outcome, REQUEST_NAMES))
        else:
            raise outcome
    return answers


_LINE = {"sku": "YER-500", "quantity_milli": 12000}
_EXAMPLES: dict[str, Any] = {
    "one": {"kind": "receipt", "location": "CENTRO", "lines": [_LINE], "reference": "R-0001"},
    "many": {
        "documents": [
            {
                "kind": "receipt",
                "location": "DEPOSITO",
                "lines": [{"sku": "LEC-1L", "quantity_milli": 24000, "lot": "L7", "expires_on": "2026-09-30"}],
                "reference": "R-0002",
                "idempotency_key": "R-0002",
            },
            {"kind": "transfer", "location": "DEPOSITO", "to_location": "CENTRO", "lines": [_LINE]},
            {
                "kind": "adjustment",
                "location": "CENTRO",
                "lines": [{"sku": "YER-500", "quantity_milli": -1000}],
                "reason": "Broken bag",
            },
        ]
    },
}

MOVEMENTS = HotRoute(
    path="/api/stock/movements",
    method="POST",
    endpoint=record_documents,
    openapi=operation(
        operation_id="record_stock_documents",
        tag="stock",
        summary="Book stock documents",
        description=(
            "Books receipts, issues, transfers, adjustments and counts.\n\n"
            '`{"documents": [...]}` books up to 1,000, each all or nothing and with a verdict of its own, answered in '
            "their order with 200. A document as the body itself is answered with 201 or with its problem. Quantities are "
            "milli-units (1000 are one unit); adjustments are signed, a count says what is there. Each document may have "
            "its own `idempotency_key`; with the header alone, the documents of a list are told apart by their place."
        ),
        permission="stock.write",
        body={"oneOf": [schema_of(DocumentBody), schema_of(DocumentsBody)]},
        examples=_EXAMPLES,
        answers={
            200: ("The verdict on each document, in order.", schema_of(DocumentsAnswer)),
            201: ("The one document is booked.", schema_of(Recorded)),
        },
        refusals=(Kind.NOT_FOUND, Kind.CONFLICT),
    ),
)

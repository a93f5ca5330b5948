"""Stock documents, as the hot route takes and answers them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from nervio.kernel.quantity import LARGEST
from nervio.kernel.time import parse_date
from nervio.modules.stock.contracts import LevelAfter, StockDocument, StockLine, StockRecorded
from nervio.web.bodies import instant_of

REQUEST_NAMES = {
    "quantity": "quantity_milli",
    "requested": "requested_milli",
    "available": "available_milli",
    "expired": "expired_milli",
    "critical_level": "critical_level_milli",
}
"""Fields the use cases name otherwise than requests and answers do."""

DocumentKind = Literal["receipt", "issue", "transfer", "adjustment", "count"]
CHOICES = {"kind": "receipt, issue, transfer, adjustment, count"}
MOST_DOCUMENTS = 1000

_NO_NUL = {"pattern": "^[^\\x00]*$"}
_Code = Annotated[str, msgspec.Meta(min_length=1, max_length=64, extra_json_schema=_NO_NUL)]
_Text = Annotated[str, msgspec.Meta(max_length=200, extra_json_schema=_NO_NUL)]
_Lot = Annotated[str, msgspec.Meta(max_length=64, extra_json_schema=_NO_NUL)]
_Reason = Annotated[str, msgspec.Meta(max_length=1000, extra_json_schema=_NO_NUL)]
_Quantity = Annotated[int, msgspec.Meta(ge=-LARGEST, le=LARGEST, description="Milli-units; 1000 are one unit.")]
_Date = Annotated[str, msgspec.Meta(max_length=10, extra_json_schema={"format": "date"})]
_Time = Annotated[str, msgspec.Meta(max_length=40, extra_json_schema={"format": "date-time"})]
_Key = Annotated[str, msgspec.Meta(min_length=1, max_length=200, extra_json_schema=_NO_NUL)]


class DocumentLine(msgspec.Struct, forbid_unknown_fields=True, frozen=True, gc=False):
    """A line of a document. Lots are named to receive and to count products kept by lot."""

    sku: _Code
    quantity_milli: _Quantity
    lot: _Lot = ""
    expires_on: _Date | None = None


class DocumentBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A stock document. Only adjustments may have negative quantities, only counts zero."""

    kind: DocumentKind
    location: _Code
    lines: Annotated[list[DocumentLine], msgspec.Meta(min_length=1, max_length=2000)]
    reference: _Text = ""
    reason: _Reason = ""
    to_location: _Code | None = None
    effective_at: _Time | None = None
    idempotency_key: _Key | None = None


class DocumentsBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Documents, each with a verdict of its own."""

    documents: Annotated[list[DocumentBody], msgspec.Meta(min_length=1, max_length=MOST_DOCUMENTS)]


class BodyShape(msgspec.Struct, frozen=True):
    """Tells the two forms of a body apart without decoding it."""

    documents: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class LevelAfterOut(msgspec.Struct, frozen=True):
    """A level as the document left it; `quantity_milli` is what the document moved, signed."""

    product_id: str
    sku: str
    location_id: str
    quantity_milli: int
    on_hand_milli: int
    reserved_milli: int
    available_milli: int


class Recorded(msgspec.Struct, frozen=True, tag_field="status", tag="recorded"):
    """A document that is in the journal. `broken_holds`: promises that a count found no units for."""

    document_id: str
    reference: str
    levels: list[LevelAfterOut]
    broken_holds: list[str]


class Refused(msgspec.Struct, frozen=True, tag_field="status", tag="refused"):
    """A document of which nothing was booked; `problem` is what a single document would have been answered with, fields
    named within the document."""

    problem: dict[str, Any]


class DocumentsAnswer(msgspec.Struct, frozen=True):
    """Verdicts in the order of the documents."""

    results: list[Recorded | Refused]


def level_after(level: LevelAfter) -> LevelAfterOut:
    """The answer for a level after a document."""
    return LevelAfterOut(
        level.product_id,
        level.sku,
        level.location_id,
        level.quantity,
        level.on_hand,
        level.reserved,
        level.on_hand - level.reserved,
    )


def recorded(document: StockRecorded) -> Recorded:
    """The answer for a document."""
    return Recorded(
        document.document_id,
        document.reference,
        [level_after(level) for level in document.levels],
        list(document.broken_holds),
    )


def to_document(body: DocumentBody) -> StockDocument:
    """The document as the use case takes it. Raises `invalid` for a date or time that is none."""
    return StockDocument(
        location=body.location,
        lines=tuple(
            StockLine(
                line.sku,
                line.quantity_milli,
                line.lot,
                None if line.expires_on is None else parse_date(line.expires_on, f"lines[{n}].expires_on"),
            )
            for n, line in enumerate(body.lines)
        ),
        reference=body.reference,
        reason=body.reason,
        to_location=body.to_location,
        effective_at=instant_of(body.effective_at, "effective_at"),
    )

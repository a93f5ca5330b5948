"""Types of the fields that requests and answers of all modules are made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from nervio.kernel.money import LARGEST as LARGEST_AMOUNT
from nervio.kernel.quantity import LARGEST as LARGEST_QUANTITY

NO_NUL = r"^[^\x00]*$"
"""Every text but one with the NUL character, which PostgreSQL cannot store."""

ID_PATTERN = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"

Code = Annotated[str, Field(min_length=1, max_length=64, pattern=NO_NUL)]
"""A SKU, a barcode, a location's code, or an id."""

ShortText = Annotated[str, Field(max_length=200, pattern=NO_NUL)]
LongText = Annotated[str, Field(max_length=1000, pattern=NO_NUL)]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217, such as ARS.")]
IdText = Annotated[str, Field(pattern=ID_PATTERN, description="An id: a UUID in lower case.")]

Amount = Annotated[int, Field(ge=-LARGEST_AMOUNT, le=LARGEST_AMOUNT)]
"""Minor units of a currency."""

Price = Annotated[int, Field(ge=0, le=LARGEST_AMOUNT)]
Paid = Annotated[int, Field(ge=1, le=LARGEST_AMOUNT)]
PositiveQuantity = Annotated[int, Field(ge=1, le=LARGEST_QUANTITY)]
"""Milli-units: 1000 are one unit."""

Moment = Annotated[str, Field(max_length=40, pattern=NO_NUL, json_schema_extra={"format": "date-time"})]
"""RFC 3339 with a zone; answers are in UTC with `Z`."""

Day = Annotated[str, Field(max_length=10, pattern=NO_NUL, json_schema_extra={"format": "date"})]


class RequestBody(BaseModel):
    """A body: unknown fields and types that only look right are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)

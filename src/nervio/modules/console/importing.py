"""Products of a large file as jobs: packed into their payloads, several where one would be too large."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Sequence
from typing import Any

import msgspec

from nervio.modules.catalog.contracts import ProductInput
from nervio.modules.jobs.contracts import EnqueueJob, JobPriority

IMPORT_JOB = "console.import_products"
LARGEST_PACK = 2_000_000
"""Bytes of a payload; some two hundred thousand products."""

_decoder = msgspec.json.Decoder(list[ProductInput])


def pack(products: Sequence[ProductInput], draft_id: str) -> list[tuple[EnqueueJob, str]]:
    """Jobs (with idempotency keys) that save all of them, in order. Confirmed twice, they are the same jobs."""
    written = msgspec.json.encode(products)
    packed = base64.b64encode(zlib.compress(written)).decode()
    if len(packed) > LARGEST_PACK and len(products) > 1:
        half = len(products) // 2
        return pack(products[:half], draft_id) + pack(products[half:], draft_id)
    job = EnqueueJob(IMPORT_JOB, {"rows": len(products), "packed": packed}, JobPriority.LOW)
    return [(job, f"import-{draft_id}-{hashlib.sha256(written).hexdigest()}")]


def unpack(payload: Any) -> list[ProductInput]:
    """The products of a job."""
    return _decoder.decode(zlib.decompress(base64.b64decode(payload["packed"])))

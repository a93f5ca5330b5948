"""Signatures of what Nervio sends to webhooks, so that the receiver can tell it from anybody else's.

    signed text   timestamp + "." + body        (bytes; the timestamp in decimal seconds since 1970, UTC)
    signature     "v1=" + HMAC-SHA256(secret, signed text) in lower-case hexadecimal

The receiver computes the same, compares in constant time, refuses a timestamp more than five minutes from its own clock, and
keeps the idempotency keys it has seen: a request that is played back to it is old, or known.
"""

from __future__ import annotations

import hashlib
import hmac

TIMESTAMP_HEADER = "X-Nervio-Timestamp"
SIGNATURE_HEADER = "X-Nervio-Signature"
KEY_HEADER = "Idempotency-Key"
WINDOW_SECONDS = 300


def signature_of(secret: str, timestamp: int, body: bytes) -> str:
    """The signature of a body at a time."""
    text = str(timestamp).encode() + b"." + body
    return "v1=" + hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()


def headers_for(secret: str, timestamp: int, body: bytes, key: str) -> dict[str, str]:
    """What goes with a signed body."""
    return {
        "Content-Type": "application/json",
        KEY_HEADER: key,
        TIMESTAMP_HEADER: str(timestamp),
        SIGNATURE_HEADER: signature_of(secret, timestamp, body),
    }


def is_genuine(secret: str, timestamp: str, signature: str, body: bytes, now: int) -> bool:
    """What a receiver asks: made with the secret, and not long ago."""
    if not (timestamp.isascii() and timestamp.isdigit()) or abs(now - int(timestamp)) > WINDOW_SECONDS:
        return False
    return hmac.compare_digest(signature_of(secret, int(timestamp), body).encode(), signature.encode())

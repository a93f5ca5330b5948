"""Secrets at rest: sealed with a key that is not in the database.

AES-SIV (RFC 5297): authenticated, and deterministic, so that a request sent again under its idempotency key is the same
request. What is sealed for one tenant or purpose does not open for another: both are part of what is authenticated. Whoever
has the database alone learns of two sealed values of one tenant and purpose only whether they are equal.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from nervio.kernel.errors import Kind, NervioError

KEY_BYTES = 64
_VERSION = b"\x01"


def new_key() -> str:
    """A fresh key, as the text in which it is kept."""
    return base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)).decode()


class Vault:
    """Seals and opens small sets of named secrets."""

    def __init__(self, key: str) -> None:
        raw = base64.urlsafe_b64decode(key.encode())
        if len(raw) != KEY_BYTES:
            raise ValueError(f"the key of the vault must be {KEY_BYTES} bytes in URL-safe base64")
        self._cipher = AESSIV(raw)

    def seal(self, tenant_id: str, purpose: str, values: Mapping[str, str]) -> bytes:
        """The secrets as bytes for the database."""
        text = json.dumps(dict(values), sort_keys=True, separators=(",", ":")).encode()
        return _VERSION + self._cipher.encrypt(text, _context(tenant_id, purpose))

    def open(self, tenant_id: str, purpose: str, sealed: bytes) -> dict[str, str]:
        """The secrets again. Raises `unavailable` where they were sealed with another key or for somebody else."""
        if not sealed:
            return {}
        try:
            if sealed[:1] != _VERSION:
                raise InvalidTag
            opened: dict[str, str] = json.loads(self._cipher.decrypt(sealed[1:], _context(tenant_id, purpose)))
        except InvalidTag:
            raise NervioError(
                Kind.UNAVAILABLE,
                "secrets_sealed",
                "These secrets were sealed with another key than that of NERVIO_SECRETS__VAULT_KEY, or of keys/vault.key in the "
                "data directory; bring that key back, or enter all of them again.",
            ) from None
        return opened


def _context(tenant_id: str, purpose: str) -> list[bytes]:
    return [tenant_id.encode(), purpose.encode()]

"""Tokens and secrets: signed JWTs (HS256, RFC 7519), random tokens, and their hashes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from functools import lru_cache

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from nervio.kernel.errors import invalid
from nervio.kernel.time import SECOND, Instant
from nervio.modules.identity.domain import not_authenticated

ALGORITHM = "HS256"
SHORTEST_KEY_BYTES = 32
"""As long as the hash (RFC 7518, section 3.2)."""
LONGEST_TOKEN = 4096
MOST_REMEMBERED = 4096

KEY_MARK = "nrv_"
"""What every API key begins with, so that scanners for leaked secrets can find one."""

# Crockford's base 32: 32 letters that people do not mistake for each other.
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says. Only `session_id` and `expires_at` are relied on; rights are looked up at every request."""

    tenant_id: str
    user_id: str
    session_id: str
    expires_at: Instant


class Tokens:
    """Signs and checks JWTs with one key."""

    def __init__(self, key: str | bytes) -> None:
        raw = key.encode() if isinstance(key, str) else key
        if len(raw) < SHORTEST_KEY_BYTES:
            raise invalid(
                "weak_jwt_key",
                f"JWT_SECRET_KEY must have at least {SHORTEST_KEY_BYTES} bytes; make one with `openssl rand -base64 48`.",
                field="JWT_SECRET_KEY",
            )
        self._raw = raw
        self._key = OctKey.import_key(raw)
        # The signature of a token never changes, so a good one is remembered. Whether its session still stands is not.
        self._verify = lru_cache(MOST_REMEMBERED)(self._verify_signature)

    def sign(self, claims: Claims, roles: list[str], issued_at: Instant) -> str:
        """The token. `roles` is there for the client's eyes only."""
        return jwt.encode(
            {"alg": ALGORITHM},
            {
                "sub": claims.user_id,
                "tid": claims.tenant_id,
                "roles": roles,
                "iat": issued_at // SECOND,
                "exp": claims.expires_at // SECOND,
                "jti": claims.session_id,
            },
            self._key,
            algorithms=[ALGORITHM],
        )

    def verify(self, token: str, now: Instant) -> Claims:
        """What the token says. Raises `unauthenticated` for one that is not ours or has expired."""
        claims = self._verify(token)
        if claims.expires_at <= now:
            raise not_authenticated("token_expired", "This token has expired; log in again.")
        return claims

    def draw(self, *parts: object, key: str | None) -> bytes:
        """64 secret bytes: random, or, under an idempotency key, the same ones for the same request.

        A lost answer can then be given again although only the secret's hash was stored.
        """
        if key is None:
            return secrets.token_bytes(64)
        text = msgspec.json.encode(["nervio-draw", key, *parts])
        return hmac.digest(self._raw, text, hashlib.sha512)

    def _verify_signature(self, token: str) -> Claims:
        broken = not_authenticated("invalid_token", "This token was not issued here or was changed; log in again.")
        if len(token) > LONGEST_TOKEN or not token.isascii():
            raise broken
        try:
            claims = jwt.decode(token, self._key, algorithms=[ALGORITHM]).claims
        except (JoseError, ValueError):
            raise broken from None
        tenant_id, user_id, session_id = claims.get("tid"), claims.get("sub"), claims.get("jti")
        expires = claims.get("exp")
        if not isinstance(tenant_id, str) or not isinstance(user_id, str) or not isinstance(session_id, str):
            raise broken
        if type(expires) is not int:
            raise broken
        return Claims(tenant_id, user_id, session_id, expires * SECOND)


def new_session_token() -> str:
    """256 random bits for a cookie."""
    return secrets.token_urlsafe(32)


def hash_secret(secret: str) -> str:
    """SHA-256 in hexadecimal. Enough for secrets of 256 random bits; passwords go through Argon2id."""
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


def api_key_of(drawn: bytes) -> tuple[str, str]:
    """(prefix that is shown, the whole key) made of drawn bytes; 256 bits of it are secret."""
    prefix = KEY_MARK + drawn[:4].hex()
    secret = base64.urlsafe_b64encode(drawn[4:36]).decode().rstrip("=")
    return prefix, f"{prefix}_{secret}"


def password_of(drawn: bytes) -> str:
    """A password of 100 bits that can be read out over the telephone."""
    letters = [_ALPHABET[byte % 32] for byte in drawn[:20]]
    return "-".join("".join(letters[n : n + 5]) for n in range(0, 20, 5))

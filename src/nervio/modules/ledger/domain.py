"""Pure rules of the journal: the canonical form of an entry, its digest, and the chain of seals.

The canonical form is a JSON array without white space, in UTF-8, of strings, integers and null only; an auditor can
rebuild it from the exported data in any language (docs/ledger-format.md). SHA-256 throughout; signatures are Ed25519
(RFC 8032).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import msgspec

from nervio.kernel.time import Instant
from nervio.modules.ledger.contracts import Posting, SealedHead

GENESIS = bytes(32)
"""What the first block gives as its predecessor."""

CURRENCY_LENGTH = 3
"""Assets of this length are currencies; all others are product ids."""

# Byte for byte what Python's own json writes with ensure_ascii=False and the tightest separators, at a seventh of the
# time: this runs once an entry on the path of every sale.
_encode = msgspec.json.Encoder().encode


def entry_digest(
    tenant_id: str,
    entry_id: str,
    n: int,
    kind: str,
    document_id: str,
    reference: str,
    actor_id: str,
    effective_at: Instant,
    recorded_at: Instant,
    details: str | None,
    postings: Sequence[Posting],
) -> bytes:
    """SHA-256 of the entry's canonical form: every stored field except the commit, whose digest names the entry's."""
    fields = (
        tenant_id,
        entry_id,
        n,
        kind,
        document_id,
        reference,
        actor_id,
        effective_at,
        recorded_at,
        details,
        postings,
    )
    return hashlib.sha256(_encode(fields)).digest()


def commit_lines(commits: Iterable[tuple[int, int | None, str, bytes]]) -> bytes:
    """The lines by which a block covers commits given as (position, seq, id, digest)."""
    return "".join(
        [f"{position}|{seq}|{commit_id}|{digest.hex()}\n" for position, seq, commit_id, digest in commits]
    ).encode()


class BlockHash:
    """SHA-256 over a block's place in the chain and the lines of the commits in it, fed bit by bit."""

    def __init__(self, height: int, previous: bytes, from_position: int, to_position: int) -> None:
        self._digest = hashlib.sha256(f"{height}|{previous.hex()}|{from_position}|{to_position}\n".encode())

    def add(self, lines: bytes) -> None:
        """Takes in more `commit_lines`."""
        self._digest.update(lines)

    def value(self) -> bytes:
        """The hash of what was added so far."""
        return self._digest.digest()


def signed_text(height: int, to_position: int, block: bytes, sealed_at: Instant) -> bytes:
    """The bytes a head's signature covers."""
    return f"nervio-head|{height}|{to_position}|{block.hex()}|{sealed_at}".encode()


def head_line(head: SealedHead) -> bytes:
    """A head as one line of JSON."""
    return msgspec.json.encode(head) + b"\n"


def parse_head(line: bytes) -> SealedHead:
    """The head a line stands for. Raises ValueError for anything else."""
    head = msgspec.json.decode(line, type=SealedHead)
    if len(bytes.fromhex(head.hash)) != hashlib.sha256().digest_size:
        raise ValueError("hash must have 32 bytes")
    return head

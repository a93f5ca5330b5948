"""What an entry's digest covers, byte by byte: an auditor must be able to rebuild it anywhere."""

import hashlib
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from nervio.modules.ledger.domain import BlockHash, commit_lines, entry_digest
from tests.modules.ledger.journals import a_signer

# Whatever a store can hold: no lone surrogates, which are no characters and have no UTF-8.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
NUMBERS = st.integers(-(2**63), 2**63 - 1)
POSTINGS = st.lists(st.tuples(TEXTS, TEXTS, TEXTS, TEXTS, NUMBERS), max_size=4)
ENTRIES = st.tuples(TEXTS, TEXTS, NUMBERS, TEXTS, TEXTS, TEXTS, TEXTS, NUMBERS, NUMBERS, st.none() | TEXTS, POSTINGS)


def rebuilt(entry: tuple[Any, ...]) -> bytes:
    """The digest with nothing but the standard library, as docs/ledger-format.md describes it."""
    return hashlib.sha256(json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode()).digest()


@given(ENTRIES)
def test_the_form_is_plain_json(entry: tuple[Any, ...]) -> None:
    assert entry_digest(*entry) == rebuilt(entry)


@given(ENTRIES, ENTRIES)
def test_two_entries_share_a_digest_only_when_they_are_the_same(one: tuple[Any, ...], other: tuple[Any, ...]) -> None:
    assert (entry_digest(*one) == entry_digest(*other)) == (one == other)


def test_no_details_are_not_empty_details() -> None:
    fields = ("t", "e", 0, "sale", "d", "r", "a", 1, 1)
    assert entry_digest(*fields, None, []) != entry_digest(*fields, "", [])


def test_a_form_is_known_for_ever() -> None:
    """Sealed data must stay verifiable: this digest may never change."""
    postings = [("cash", "sales", "ARS", "", 125000), ("sold", "stock:L", "P", 'ñandú "7"\n', 1000)]
    digest = entry_digest("T", "E", 3, "sale", "D", "T-1", "ana", 1, 2, '{"x":1}', postings)
    assert digest.hex() == "159417f2c02abc5fc919ddc521040dc59468ed24fdaa06b49c0f5e4d88a01f8f"


def test_a_block_hash_is_the_hash_of_its_text() -> None:
    hashing = BlockHash(2, bytes(32), 5, 6)
    hashing.add(commit_lines([(5, 7, "a", b"\x01")]))
    hashing.add(commit_lines([(6, None, "b", b"\x02")]))
    text = f"2|{'00' * 32}|5|6\n5|7|a|01\n6|None|b|02\n"
    assert hashing.value() == hashlib.sha256(text.encode()).digest()


def test_a_signer_keeps_its_key() -> None:
    assert len(a_signer().public_key) == 32
    assert a_signer().public_key != a_signer().public_key

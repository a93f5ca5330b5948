"""The export stands for itself, and tells what differs from it."""

import asyncio
import hashlib
import json
import random
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Engine, text

from nervio.db.sqlite import create_sqlite_engine
from nervio.modules.ledger import api as ledger
from tests.modules.ledger.journals import Journal, a_sealed_journal
from tests.modules.ledger.tampering import cut_off_the_tail, forge_keeping_the_signatures, places_of

Lines = list[bytes]


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Journal:
    return asyncio.run(a_sealed_journal(tmp_path_factory.mktemp("journal"), blocks=4))


@pytest.fixture(scope="module")
def engine(journal: Journal) -> Iterator[Engine]:
    engine = create_sqlite_engine(journal.path, writer=True)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def full(engine: Engine) -> Lines:
    with engine.connect() as connection:
        return list(ledger.export(connection, rows=True))


def test_an_accountant_can_verify_it_with_the_standard_library_and_ed25519(full: Lines) -> None:
    """Every step that docs/ledger-format.md describes, and nothing of ours."""
    records = [json.loads(line) for line in full]
    start, end = records[0], records[-1]
    assert (start["format"], start["version"], start["rows"]) == ("nervio-ledger", 1, True)
    assert end["lines"] == len(full) - 1
    assert end["sha256"] == hashlib.sha256(b"".join(full[:-1])).hexdigest()
    commits = [record for record in records if record["type"] == "commit"]
    assert [commit["position"] for commit in commits] == list(range(1, start["to_position"] + 1))
    for commit in commits:
        digests = b""
        for n, (*fields, digest) in enumerate(commit["entries"]):
            canonical = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
            assert hashlib.sha256(canonical).hexdigest() == digest
            assert fields[2] == n
            digests += bytes.fromhex(digest)
        head = f"{commit['id']}|{commit['recorded_at']}|{len(commit['entries'])}|".encode()
        assert hashlib.sha256(head + digests).hexdigest() == commit["digest"]
    previous, position = "00" * 32, 0
    blocks = [record for record in records if record["type"] == "block"]
    for height, block in enumerate(blocks, 1):
        assert (block["height"], block["previous"], block["from_position"]) == (height, previous, position + 1)
        position = block["to_position"]
        content = f"{height}|{previous}|{block['from_position']}|{position}\n" + "".join(
            f"{c['position']}|{c['seq']}|{c['id']}|{c['digest']}\n"
            for c in commits[block["from_position"] - 1 : position]
        )
        previous = hashlib.sha256(content.encode()).hexdigest()
        assert previous == block["hash"]
        signed = f"nervio-head|{height}|{position}|{previous}|{block['sealed_at']}"
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(block["public_key"]))
        key.verify(bytes.fromhex(block["signature"]), signed.encode())
    assert len(blocks) == 4


def test_it_agrees_with_the_data_it_came_from(engine: Engine, full: Lines, journal: Journal) -> None:
    with engine.connect() as connection:
        heads_only = list(ledger.export(connection, rows=False))
        for lines in (full, heads_only):
            result = ledger.verify_export(connection, lines, [journal.signer.public_key])
            assert result.findings == ()
            assert (result.heads, result.blocks) == (4, 4)
    assert len(heads_only) == 6


def test_it_locates_an_entry_that_was_forged_with_all_hashes_put_right(engine: Engine, full: Lines) -> None:
    with engine.connect() as connection:
        forge_keeping_the_signatures(connection, random.Random(3))
        result = ledger.verify_export(connection, full)
        connection.rollback()
    codes = {finding.code for finding in result.findings}
    assert {"commit_differs", "entry_differs", "head_differs"} <= codes
    assert sum(finding.code == "entry_differs" for finding in result.findings) == 1


def test_it_names_what_is_gone(engine: Engine, full: Lines) -> None:
    with engine.connect() as connection:
        row = connection.execute(text("SELECT * FROM commits ORDER BY position DESC LIMIT 1")).mappings().one()
        places = places_of("commits", row)
        cut_off_the_tail(connection, random.Random(1))
        result = ledger.verify_export(connection, full)
        connection.rollback()
    assert any(finding.code == "commit_missing" and finding.where in places for finding in result.findings)
    assert any(finding.code == "truncated" for finding in result.findings)


@pytest.mark.parametrize("kept", [0, 1, 3, 10, -1])
def test_an_export_that_was_cut_short_says_so(engine: Engine, full: Lines, kept: int) -> None:
    with engine.connect() as connection:
        result = ledger.verify_export(connection, full[:kept])
    assert any(finding.code == "export_unreadable" for finding in result.findings)


def test_an_export_that_was_changed_says_so(engine: Engine, full: Lines) -> None:
    changed = [line.replace(b'"sale"', b'"Sale"') for line in full]
    assert changed != full
    with engine.connect() as connection:
        result = ledger.verify_export(connection, changed)
    assert any(finding.code == "export_changed" for finding in result.findings)

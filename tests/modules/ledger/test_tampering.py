"""More than a thousand random ways to change a sealed journal behind its back: each is found, and found in its place."""

import asyncio
import random
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import IntegrityError

from nervio.db.sqlite import create_sqlite_engine
from nervio.modules.ledger import api as ledger
from tests.modules.ledger.journals import Journal, a_sealed_journal, a_signer
from tests.modules.ledger.tampering import WAYS, Places, cut_off_the_tail, forge


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Journal:
    return asyncio.run(a_sealed_journal(tmp_path_factory.mktemp("journal")))


@pytest.fixture(scope="module")
def engine(journal: Journal) -> Iterator[Engine]:
    engine = create_sqlite_engine(journal.path, writer=True)
    with engine.connect() as connection:
        # Somebody who tampers with the file is not held back by its constraints.
        connection.exec_driver_sql("PRAGMA ignore_check_constraints = ON")
    yield engine
    engine.dispose()


def test_there_are_more_than_a_thousand() -> None:
    assert sum(count for _, count in WAYS) >= 1000


def test_an_untouched_journal_is_verified(journal: Journal, engine: Engine) -> None:
    with engine.connect() as connection:
        result = ledger.verify(connection, journal.heads, [journal.signer.public_key])
    assert result.findings == ()
    assert result.verified
    assert (result.blocks, result.heads, result.unsealed_commits) == (12, 12, 0)
    assert result.entries > 100


@pytest.mark.parametrize(("way", "count"), WAYS, ids=[way.__name__ for way, _ in WAYS])
def test_tampering_is_found_and_located(
    journal: Journal,
    engine: Engine,
    way: Callable[[Connection, random.Random], Places],
    count: int,
) -> None:
    done, seed = 0, 0
    while done < count:
        seed += 1
        with engine.connect() as connection:
            try:
                places = way(connection, random.Random(f"{way.__name__}-{seed}"))
            except IntegrityError:
                continue  # the change hit a key that is taken: SQLite itself refused it
            result = ledger.verify(connection, journal.heads)
            connection.rollback()
        assert not result.verified, f"seed {seed}: nothing was found"
        named = [f"{finding.where}: {finding.message}" for finding in result.findings]
        assert any(place in name for place in places for name in named), f"seed {seed}: {places} not in {named[:10]}"
        done += 1


def test_a_forger_without_the_key_is_found_without_saved_heads_too(journal: Journal, engine: Engine) -> None:
    with engine.connect() as connection:
        places = forge(connection, random.Random(1), a_signer())
        result = ledger.verify(connection, (), [journal.signer.public_key])
        connection.rollback()
    assert any(finding.code == "block_key" and finding.where in places for finding in result.findings)


def test_a_lost_tail_does_not_show_without_a_saved_head(journal: Journal, engine: Engine) -> None:
    """Why heads are saved outside the database: the result says how many it had to compare with."""
    with engine.connect() as connection:
        cut_off_the_tail(connection, random.Random(1))
        result = ledger.verify(connection)
        connection.rollback()
    assert (result.verified, result.heads) == (True, 0)


def test_findings_stay_within_bounds(journal: Journal, engine: Engine) -> None:
    with engine.connect() as connection:
        connection.execute(text("UPDATE journal_entries SET reference = reference || 'x'"))
        connection.execute(text("UPDATE journal_postings SET n = n + 1000"))
        result = ledger.verify(connection, journal.heads)
        connection.rollback()
    assert result.found >= len(result.findings) > 100

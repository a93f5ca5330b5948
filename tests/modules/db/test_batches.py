"""Commands that share a commit get verdicts of their own, once."""

import asyncio
from collections.abc import Iterator

import pytest
from sqlalchemy.exc import IntegrityError

from nervio.db.postgresql import PostgreSQLDatabase
from nervio.kernel.errors import Kind, NervioError, not_found
from tests.builders import Store, a_postgres_store
from tests.modules.db.deeds import Done, Put, ended_well, mood, names, put


@pytest.fixture(autouse=True)
def calm() -> Iterator[None]:
    yield
    mood.before = lambda _: None


async def test_a_row_the_database_refuses_fails_its_own_command_only(store: Store) -> None:
    await store.database.submit(put("taken"))
    wanted = [put("taken" if n == 5 else f"n{n:02}", key=f"k{n}") for n in range(12)]
    outcomes = await store.database.submit_all(wanted)
    assert isinstance(outcomes[5], IntegrityError)
    assert len(ended_well(outcomes)) == 11
    assert await store.database.read(names) == sorted(["taken", *(f"n{n:02}" for n in range(12) if n != 5)])


async def test_two_culprits_in_one_batch_are_both_found(store: Store) -> None:
    await store.database.submit_all([put("taken"), put("gone")])
    outcomes = await store.database.submit_all([put(name) for name in ("a", "taken", "b", "c", "gone", "d")])
    assert [type(outcome) for outcome in outcomes] == [Done, IntegrityError, Done, Done, IntegrityError, Done]
    assert await store.database.read(names) == ["a", "b", "c", "d", "gone", "taken"]


async def test_a_bug_is_the_verdict_of_one_command(store: Store) -> None:
    outcomes = await store.database.submit_all([put("a"), put("crash"), put("refuse"), put("b")])
    assert [type(outcome) for outcome in outcomes] == [Done, ZeroDivisionError, NervioError, Done]
    assert await store.database.read(names) == ["a", "b"]
    with pytest.raises(ZeroDivisionError):
        await store.database.submit(put("crash"))


async def test_a_refusal_is_remembered_and_a_crash_is_not(store: Store) -> None:
    def refuse(body: Put) -> None:
        raise not_found("shelf", body.name, field="name") if body.name == "a" else ZeroDivisionError

    mood.before = refuse
    first = await store.database.submit_all([put("a", key="ka"), put("b", key="kb")])
    mood.before = lambda _: None
    second = await store.database.submit_all([put("a", key="ka"), put("b", key="kb")])
    for outcome in (first[0], second[0]):
        assert isinstance(outcome, NervioError)
        assert (outcome.kind, outcome.code) == (Kind.NOT_FOUND, "shelf_not_found")
        assert outcome.data == {"reference": "a", "field": "name"}
    assert isinstance(first[1], ZeroDivisionError)
    assert second[1] == Done("b", 0)
    assert await store.database.read(names) == ["b"]


@pytest.mark.parametrize("kind", [Kind.TOO_MANY, Kind.HALTED, Kind.UNAVAILABLE])
async def test_what_describes_the_moment_is_not_remembered(store: Store, kind: Kind) -> None:
    def refuse(_body: Put) -> None:
        raise NervioError(kind, "not_now", "Not now.")

    mood.before = refuse
    with pytest.raises(NervioError, match="Not now"):
        await store.database.submit(put("a", key="k"))
    mood.before = lambda _: None
    assert await store.database.submit(put("a", key="k")) == Done("a", 0)


async def test_twins_of_one_batch_share_one_answer_and_another_body_is_a_conflict(store: Store) -> None:
    outcomes = await store.database.submit_all(
        [put("a", 1, key="k"), put("a", 1, key="k"), put("a", 2, key="k"), put("b", key="j")]
    )
    assert outcomes[0] == outcomes[1] == Done("a", 1)
    assert isinstance(outcomes[2], NervioError)
    assert outcomes[2].code == "idempotency_key_reused"
    assert outcomes[3] == Done("b", 0)
    again = await store.database.submit_all([put("a", 2, key="k"), put("a", 1, key="k")])
    assert isinstance(again[0], NervioError)
    assert again[1] == Done("a", 1)
    assert await store.database.read(names) == ["a", "b"]


async def test_a_twin_of_a_crash_crashes_too_and_neither_is_remembered(store: Store) -> None:
    outcomes = await store.database.submit_all([put("crash", key="k"), put("crash", key="k")])
    assert [type(outcome) for outcome in outcomes] == [ZeroDivisionError, ZeroDivisionError]


async def test_a_culprit_takes_no_key_with_it(store: Store) -> None:
    """The neighbours of a poisoned command are run again in halves; their keys must be theirs once and stay."""
    await store.database.submit(put("taken"))
    wanted = [put(name, key=f"k-{name}") for name in ("a", "b", "taken", "c")]
    first = await store.database.submit_all(wanted)
    second = await store.database.submit_all([put(name, key=f"k-{name}") for name in ("a", "b", "taken", "c")])
    assert ended_well(first) == ended_well(second) == ["a", "b", "c"]
    assert isinstance(second[2], IntegrityError), "what the database refused is nobody's remembered answer"


@pytest.mark.services("postgres")
async def test_processes_that_get_the_same_keys_at_once_write_once(postgres_url: str) -> None:
    async with a_postgres_store(postgres_url) as store:
        others = [PostgreSQLDatabase(store.address, store.clock, 1000) for _ in range(3)]
        for other in others:
            await other.start()
        try:
            for round_ in range(8):
                answers = await asyncio.gather(
                    *(
                        database.submit_all([put(f"{round_}-{n}", n, key=f"k{round_}-{n}") for n in order])
                        for database, order in zip(others, (range(30), range(29, -1, -1), range(0, 30, 2)), strict=True)
                    )
                )
                for outcomes in answers:
                    assert len(ended_well(outcomes)) == len(outcomes)
        finally:
            for other in others:
                await other.close()
        assert len(await store.database.read(names)) == 8 * 30

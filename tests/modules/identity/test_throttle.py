"""How often a login may be tried: for all processes together, and never so that others are locked out."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import select

from nervio.kernel.errors import Kind, NervioError
from nervio.modules.identity.models import login_windows
from tests.modules.identity.house import PASSWORD, House, process_of

HOUR = 3600


async def refused(work: object) -> NervioError:
    """The refusal of an awaitable that must be refused."""
    with pytest.raises(NervioError) as caught:
        await work  # type: ignore[misc]
    return caught.value


async def test_guessing_one_password_is_slowed_down(house: House) -> None:
    user = await house.a_user(house.root)
    authenticator = process_of(house, login_attempts_per_email=3, login_window_seconds=60)
    for _ in range(3):
        assert (await refused(authenticator.log_in(user.email, "wrong password"))).code == "login_failed"
    refusal = await refused(authenticator.log_in(user.email, PASSWORD))
    assert (refusal.kind, refusal.code) == (Kind.TOO_MANY, "too_many_logins")
    assert 1 <= refusal.data["retry_after_seconds"] <= 60
    with pytest.raises(NervioError, match="try again"):
        await authenticator.log_in(user.email.upper(), PASSWORD)
    authenticator.close()


async def test_many_guesses_at_once_do_not_slip_through(house: House) -> None:
    user = await house.a_user(house.root)
    authenticator = process_of(house, login_attempts_per_email=3)
    tries = [authenticator.log_in(user.email, "wrong password") for _ in range(12)]
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    codes = [outcome.code for outcome in outcomes if isinstance(outcome, NervioError)]
    assert (codes.count("login_failed"), codes.count("too_many_logins")) == (3, 9)
    authenticator.close()


async def test_trying_many_emails_from_one_address_is_slowed_down(house: House) -> None:
    user = await house.a_user(house.root)
    authenticator = process_of(house, login_attempts_per_address=2)
    for n in range(2):
        await refused(authenticator.log_in(f"user{n}@nowhere.test", PASSWORD, None, "192.0.2.1"))
    refusal = await refused(authenticator.log_in(user.email, PASSWORD, None, "192.0.2.1"))
    assert refusal.kind is Kind.TOO_MANY
    assert (await authenticator.log_in(user.email, PASSWORD, None, "192.0.2.2")).principal.actor_id == user.id
    authenticator.close()


async def test_who_knows_the_password_is_not_slowed_down(house: House) -> None:
    user = await house.a_user(house.root)
    authenticator = process_of(house, login_attempts_per_email=2)
    for _ in range(4):
        await authenticator.log_in(user.email, PASSWORD)
    authenticator.close()


async def windows_of(house: House) -> dict[str, tuple[str, int]]:
    """Everything the throttle remembers."""
    rows = await house.database.read(lambda c: c.execute(select(login_windows)).all())
    return {row.name: (row.attempts, row.expires_at) for row in rows}


async def test_several_processes_count_together(house: House) -> None:
    user = await house.a_user(house.root)
    one, other = (process_of(house, login_attempts_per_email=3, login_window_seconds=60) for _ in range(2))
    for process in (one, other, one):
        assert (await refused(process.log_in(user.email, "wrong password"))).code == "login_failed"
    started_later = process_of(house, login_attempts_per_email=3, login_window_seconds=60)
    for process in (one, other, started_later):
        assert (await refused(process.log_in(user.email, PASSWORD))).code == "too_many_logins"
    house.clock.advance(60)
    assert (await other.log_in(user.email, PASSWORD)).principal.actor_id == user.id
    for process in (one, other, started_later):
        process.close()


async def test_many_guesses_at_once_at_several_processes_do_not_slip_through(house: House) -> None:
    user = await house.a_user(house.root)
    processes = [process_of(house, login_attempts_per_email=5, login_attempts_per_address=7) for _ in range(4)]
    # The windows are there already: to make a row and to change one are two different races.
    await refused(processes[0].log_in(user.email, "wrong", None, "192.0.2.1"))
    tries = [process.log_in(user.email, "wrong", None, "192.0.2.1") for _ in range(4) for process in processes]
    tries += [process.log_in(f"n{n}@x.test", "wrong", None, "192.0.2.1") for n in range(2) for process in processes]
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    codes = [outcome.code if isinstance(outcome, NervioError) else repr(outcome) for outcome in outcomes]
    assert (codes.count("login_failed"), codes.count("too_many_logins")) == (6, 18)
    assert codes[:16].count("login_failed") <= 4
    for process in processes:
        process.close()


async def test_nobody_can_lock_people_out_of_the_place_where_they_work(house: House) -> None:
    user = await house.a_user(house.root)
    authenticator = process_of(house, login_attempts_per_email=3)
    at_work, on_the_road = "192.0.2.1", "203.0.113.9"
    await authenticator.log_in(user.email, PASSWORD, None, at_work)
    for n in range(3):
        await refused(authenticator.log_in(user.email, "wrong password", None, f"198.51.100.{n}"))
    # Guessing from one more address is no further guess, and the person has to wait as well where nobody knows them.
    for address in ("198.51.100.77", on_the_road):
        assert (await refused(authenticator.log_in(user.email, PASSWORD, None, address))).code == "too_many_logins"
    assert (await authenticator.log_in(user.email, PASSWORD, None, at_work)).principal.actor_id == user.id
    # That was no way around it either: the guesser's window is as full as before.
    assert (await refused(authenticator.log_in(user.email, PASSWORD, None, "198.51.100.1"))).code == "too_many_logins"
    # At work they have as many tries as anybody.
    for _ in range(3):
        assert (await refused(authenticator.log_in(user.email, "wrong", None, at_work))).code == "login_failed"
    assert (await refused(authenticator.log_in(user.email, PASSWORD, None, at_work))).code == "too_many_logins"
    # Who is known at an address is known there alone.
    other = await house.a_user(house.root)
    for n in range(3):
        await refused(authenticator.log_in(other.email, "wrong password", None, f"198.51.100.{n}"))
    assert (await refused(authenticator.log_in(other.email, PASSWORD, None, at_work))).code == "too_many_logins"
    authenticator.close()


async def test_an_address_is_forgotten_when_nobody_came_from_it_for_long(house: House) -> None:
    user = await house.a_user(house.root)
    authenticator = process_of(house, login_attempts_per_email=2)
    await authenticator.log_in(user.email, PASSWORD, None, "192.0.2.1")
    house.clock.advance(91 * 24 * HOUR)
    for n in range(2):
        await refused(authenticator.log_in(user.email, "wrong password", None, f"198.51.100.{n}"))
    refusal = await refused(authenticator.log_in(user.email, PASSWORD, None, "192.0.2.1"))
    assert refusal.code == "too_many_logins"
    authenticator.close()


async def test_a_refused_attempt_writes_nothing(house: House) -> None:
    user = await house.a_user(house.root)
    authenticator = process_of(house, login_attempts_per_email=2, login_attempts_per_address=4)
    for n in range(2):
        await refused(authenticator.log_in(user.email, "wrong password", None, "198.51.100.1"))
        await refused(authenticator.log_in(f"nobody{n}@x.test", "wrong password", None, "198.51.100.1"))
    before = await windows_of(house)
    for n in range(40):
        from_everywhere = authenticator.log_in(user.email, PASSWORD, None, f"203.0.113.{n}")
        at_everybody = authenticator.log_in(f"somebody{n}@x.test", PASSWORD, None, "198.51.100.1")
        for attempt in (from_everywhere, at_everybody):
            assert (await refused(attempt)).code == "too_many_logins"
    assert await windows_of(house) == before
    authenticator.close()


async def test_windows_that_have_passed_are_forgotten(house: House) -> None:
    authenticator = process_of(house, login_window_seconds=60)
    for n in range(20):
        await refused(authenticator.log_in(f"user{n}@nowhere.test", PASSWORD, None, f"198.51.100.{n}"))
    flooded = await windows_of(house)
    assert len(flooded) >= 40
    assert not any("nowhere" in name or "198" in name for name in flooded)
    house.clock.advance(61)
    await refused(authenticator.log_in("late@nowhere.test", PASSWORD))
    assert len(await windows_of(house)) == 1
    authenticator.close()

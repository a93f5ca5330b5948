"""What takes two people, and the policy that says so."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from nervio.db.sqlite import SQLiteDatabase
from nervio.kernel.ids import NIL
from nervio.modules.safety import api as safety
from nervio.modules.safety.contracts.halts import ExitCode, PolicySaved, Scope, Settled, Thawed
from tests.builders import QUEUE_CAPACITY, Store, a_store
from tests.modules.safety.stops import a_policy, frozen, journal, person, refusal_of, thawed, writing


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with a_store(tmp_path) as opened:
        yield opened


async def test_two_people_thaw_where_the_policy_says_so(store: Store) -> None:
    await a_policy(store, two_person_thaw=True, thaw_stage_seconds=0)
    await safety.freeze(store.ctx, "fire", scope=Scope.TENANT)
    ann, bob = person(store, "ann"), person(store, "bob", "admin")
    asked = await thawed(safety.unfreeze(ann, "out", scope=Scope.TENANT))
    assert asked.cleared == ()
    request = asked.requested[0]
    assert (await thawed(safety.unfreeze(bob, "really", scope=Scope.TENANT))).requested == (request,), (
        "asking is no yes"
    )
    assert not await writing(store)
    assert await refusal_of(safety.settle(ann, request.id, "me", confirms=True)) == "second_person_required"
    key = replace(bob, is_person=False, actor_id="a key")
    assert await refusal_of(safety.settle(key, request.id, "me", confirms=True)) == "person_required"
    cashier = person(store, "cat", "cashier")
    assert await refusal_of(safety.settle(cashier, request.id, "me", confirms=True)) == "forbidden"
    assert not await writing(store)
    settled = await safety.settle(bob, request.id, "checked", confirms=True)
    assert isinstance(settled, Settled)
    assert len(settled.cleared) == 1
    assert await writing(store)
    assert await refusal_of(safety.settle(bob, request.id, "again", confirms=True)) == "request_settled"
    assert len(await journal(store, "thaw_requested")) == len(await journal(store, "thaw_confirmed")) == 1


async def test_a_key_cannot_be_the_first_person_either(store: Store) -> None:
    await a_policy(store, two_person_thaw=True)
    await safety.freeze(store.ctx, "fire", scope=Scope.TENANT)
    key = replace(person(store, "key"), is_person=False)
    assert await refusal_of(safety.unfreeze(key, "out", scope=Scope.TENANT)) == "person_required"


async def test_nobody_confirms_for_a_neighbour(store: Store) -> None:
    other = await store.another_tenant()
    await a_policy(store, two_person_thaw=True)
    await safety.freeze(store.ctx, "fire", scope=Scope.TENANT)
    request = (await thawed(safety.unfreeze(person(store, "ann"), "out", scope=Scope.TENANT))).requested[0]
    stranger = person(other, "zoe", "admin")
    assert await refusal_of(safety.settle(stranger, request.id, "me", confirms=True)) == "request_not_found"
    assert await safety.list_requests(stranger) == []


async def test_a_request_is_refused_taken_back_or_lapses(store: Store) -> None:
    await a_policy(store, two_person_thaw=True, confirm_within_seconds=60)
    await safety.freeze(store.ctx, "fire", scope=Scope.TENANT)
    ann, bob = person(store, "ann"), person(store, "bob")
    first = (await thawed(safety.unfreeze(ann, "out", scope=Scope.TENANT))).requested[0]
    await safety.settle(ann, first.id, "too early", confirms=False)
    second = (await thawed(safety.unfreeze(ann, "out", scope=Scope.TENANT))).requested[0]
    assert second.id != first.id
    store.clock.advance(60)
    assert await refusal_of(safety.settle(bob, second.id, "late", confirms=True)) == "request_lapsed"
    await safety.advance(store.ctx)
    assert sorted(str(each.outcome) for each in await safety.list_requests(ann)) == ["lapsed", "refused"]
    assert not await writing(store)


async def test_a_confirmation_thaws_what_was_there_when_it_was_asked_for(store: Store) -> None:
    await a_policy(store, two_person_thaw=True, thaw_stage_seconds=0)
    await safety.freeze(store.ctx, "fire", scope=Scope.TENANT, for_seconds=600)
    request = (await thawed(safety.unfreeze(person(store, "ann"), "out", scope=Scope.TENANT))).requested[0]
    later = await frozen(safety.freeze(store.ctx, "fire again", scope=Scope.TENANT))
    await safety.settle(person(store, "bob"), request.id, "checked", confirms=True)
    assert [halt.id for halt in await safety.list_halts(store.ctx, active=True)] == [later.halt.id]


async def test_a_second_person_confirms_the_one_stop_that_was_named_and_no_other(store: Store) -> None:
    await a_policy(store, two_person_thaw=True, thaw_stage_seconds=0)
    short = await frozen(safety.freeze(store.ctx, "a rule's", scope=Scope.TENANT, for_seconds=1800))
    latched = await frozen(safety.freeze(store.ctx, "fire", scope=Scope.TENANT))
    asked = await thawed(safety.unfreeze(person(store, "ann"), "out", halt_id=short.halt.id))
    assert asked.requested[0].halt_ids == (short.halt.id,)
    await safety.settle(person(store, "bob"), asked.requested[0].id, "checked", confirms=True)
    assert [halt.id for halt in await safety.list_halts(store.ctx, active=True)] == [latched.halt.id]


async def test_the_rule_of_two_is_turned_off_by_two_while_something_is_stopped(store: Store) -> None:
    await a_policy(store, two_person_thaw=True)
    await safety.freeze(store.ctx, "fire", scope=Scope.TENANT)
    ann = person(store, "ann", "admin")
    saved = await safety.save_policy(ann, Scope.TENANT, two_person_thaw=False)
    assert isinstance(saved, PolicySaved)
    assert saved.policy.two_person_thaw
    assert saved.requested is not None
    assert await refusal_of(safety.settle(ann, saved.requested.id, "me", confirms=True)) == "second_person_required"
    await safety.settle(person(store, "bob"), saved.requested.id, "agreed", confirms=True)
    assert not (await safety.get_policy(ann)).two_person_thaw
    assert len(await journal(store, "safety_policy")) == 2


async def test_two_who_change_different_fields_both_get_their_way(store: Store) -> None:
    ann, bob = person(store, "ann"), person(store, "bob")
    await asyncio.gather(
        safety.save_policy(ann, Scope.TENANT, thaw_stage_seconds=20),
        safety.save_policy(bob, Scope.TENANT, default_level="read_only"),
    )
    policy = await safety.get_policy(ann)
    assert (policy.thaw_stage_seconds, policy.default_level) == (20, "read_only")


async def test_what_a_second_person_confirms_leaves_alone_what_others_changed_meanwhile(store: Store) -> None:
    await a_policy(store, two_person_thaw=True, confirm_within_seconds=60)
    await safety.freeze(store.ctx, "fire", scope=Scope.TENANT)
    ann = person(store, "ann", "admin")
    saved = await safety.save_policy(ann, Scope.TENANT, two_person_thaw=False, thaw_jitter_seconds=7)
    assert isinstance(saved, PolicySaved) and saved.requested is not None
    await safety.save_policy(ann, Scope.TENANT, default_level="read_only", thaw_stage_seconds=30)
    settled = await safety.settle(person(store, "bob"), saved.requested.id, "agreed", confirms=True)
    assert isinstance(settled, Settled)
    policy = await safety.get_policy(ann)
    assert settled.policy == policy
    assert (policy.two_person_thaw, policy.thaw_jitter_seconds) == (False, 7)
    assert (policy.default_level, policy.thaw_stage_seconds, policy.confirm_within_seconds) == ("read_only", 30, 60)


async def test_an_installation_has_a_policy_of_its_own(store: Store) -> None:
    await a_policy(store, Scope.INSTALLATION, two_person_thaw=True)
    admin = person(store, "bob", "admin")
    assert await refusal_of(safety.save_policy(admin, Scope.INSTALLATION, two_person_thaw=False)) == "forbidden"
    await safety.freeze(store.ctx, "fire")
    await safety.freeze(store.ctx, "fire", scope=Scope.TENANT)
    answer = await thawed(safety.unfreeze(person(store, "ann"), "out"))
    assert [halt.tenant_id for halt in answer.cleared] == [store.ctx.tenant_id], "the shop's own policy is untouched"
    assert [request.scope for request in answer.requested] == [Scope.INSTALLATION]


async def test_the_machine_itself_follows_the_policy_unless_the_glass_is_broken(store: Store) -> None:
    await a_policy(store, Scope.INSTALLATION, two_person_thaw=True)
    await safety.freeze(store.ctx, "fire")

    def outside() -> SQLiteDatabase:
        return SQLiteDatabase(Path(store.address), store.clock, QUEUE_CAPACITY)

    asked = await asyncio.to_thread(safety.resume_now, outside(), "out", "root@linux")
    assert isinstance(asked, Thawed)
    assert len(asked.requested) == 1
    assert safety.exit_code(asked) is ExitCode.PENDING
    assert not await writing(store)
    broken = await asyncio.to_thread(safety.resume_now, outside(), "nobody else alive", "root@linux", break_glass=True)
    assert isinstance(broken, Thawed)
    assert len(broken.overridden) == 2
    assert "two people" in broken.overridden[0]
    assert await writing(store)
    assert [entry["overridden"] for entry in await journal(store, "halt_break_glass", NIL)] == [list(broken.overridden)]


async def test_a_policy_gives_the_level_and_keeps_its_figures_in_bounds(store: Store) -> None:
    await a_policy(store, default_level="read_only")
    assert (await frozen(safety.freeze(store.ctx, "fire", scope=Scope.TENANT))).halt.level == "read_only"
    for given in ({"thaw_stage_seconds": -1}, {"thaw_jitter_seconds": 9999}, {"confirm_within_seconds": 1}):
        assert await refusal_of(safety.save_policy(store.ctx, Scope.TENANT, **given)) == "invalid_policy"
    assert await refusal_of(safety.save_policy(store.ctx, Scope.TENANT, default_level="some")) == "invalid_level"
    cashier = person(store, "cat", "cashier")
    assert await refusal_of(safety.save_policy(cashier, Scope.TENANT, two_person_thaw=False)) == "forbidden"

"""Answers followed while they are made: by slow readers, after a cut line, from another process."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from nervio.kernel.errors import NervioError
from nervio.kernel.ids import new_id
from nervio.modules.fleet import api as fleet
from nervio.modules.fleet.api import Drafts
from nervio.modules.fleet.contracts import AnswerPart, SubmitTask
from nervio.modules.fleet.usecases.drafts import LONGEST_DRAFT
from nervio.modules.fleet.usecases.following import LONGEST_PART
from nervio.ports.workers import Chunk, Ending
from tests.builders import Store
from tests.modules.fleet.handing import Hands, Line, a_dispatcher, a_profile, a_report, report

CHAT = SubmitTask("chat", "{}", cache=False)
KEY = ("tenant", "task")


def a_chunk(n: int, text: str, token: int = 1) -> Chunk:
    return Chunk(*KEY, token, n, text)


def text_of(drafts: Drafts) -> str:
    draft = drafts.find(KEY)
    return "" if draft is None else draft.text


async def next_part(parts: AsyncIterator[AnswerPart | None]) -> AnswerPart:
    async with asyncio.timeout(5):
        async for part in parts:
            if part is not None:
                return part
    raise AssertionError("it ended")


def test_parts_are_put_in_order_and_a_repeated_one_counts_once() -> None:
    drafts = Drafts()
    for n, text in ((1, "b"), (0, "a"), (1, "b"), (3, "d"), (0, "a"), (2, "c")):
        drafts.add(a_chunk(n, text))
    assert text_of(drafts) == "abcd"


def test_a_newer_attempt_begins_anew_and_an_older_one_is_not_heard() -> None:
    drafts = Drafts()
    drafts.add(a_chunk(0, "old"))
    drafts.add(a_chunk(0, "new", token=2))
    drafts.add(a_chunk(1, " old again", token=1))
    assert text_of(drafts) == "new"


def test_of_an_endless_answer_no_more_is_kept_than_is_shown() -> None:
    drafts = Drafts()
    for n in range(30):
        drafts.add(a_chunk(n, "x" * 50_000))
    assert len(text_of(drafts)) == LONGEST_DRAFT


async def test_a_reader_that_was_cut_off_goes_on_where_it_was(store: Store) -> None:
    queued = await fleet.submit_task(store.ctx, CHAT)
    hands, drafts = Hands(), Drafts()
    async with a_dispatcher(store, hands, drafts=drafts) as dispatcher:
        dispatcher.joined(hands, a_profile())
        await dispatcher.run_once()
        (one,) = hands.take()

        def say(n: int, text: str) -> None:
            dispatcher.chunk("w1", Chunk(one.tenant_id, one.task_id, one.token, n, text))

        say(0, "uno ")
        first = await next_part(fleet.follow_answer(store.ctx, drafts, queued.id))
        assert (first.start, first.text) == (0, "uno ")
        say(1, "dos ")
        say(2, "tres")
        again = await next_part(fleet.follow_answer(store.ctx, drafts, queued.id, (first.token, 4)))
        assert (again.start, again.text) == (4, "dos tres")
        await report(dispatcher, a_report(one))
        assert [part async for part in fleet.follow_answer(store.ctx, drafts, queued.id)] == [], "it has ended"


async def test_when_another_worker_takes_over_the_answer_begins_anew(store: Store) -> None:
    queued = await fleet.submit_task(store.ctx, CHAT)
    hands, drafts = Hands(), Drafts()
    async with a_dispatcher(store, hands, drafts=drafts) as dispatcher:
        dispatcher.joined(hands, a_profile())
        await dispatcher.run_once()
        (one,) = hands.take()
        dispatcher.chunk("w1", Chunk(one.tenant_id, one.task_id, one.token, 0, "half of it"))
        parts = fleet.follow_answer(store.ctx, drafts, queued.id)
        assert (await next_part(parts)).text == "half of it"
        await report(dispatcher, a_report(one, Ending.HANDED_BACK))
        await dispatcher.run_once()
        (two,) = hands.take()
        dispatcher.chunk("w1", Chunk(two.tenant_id, two.task_id, two.token, 0, "whole"))
        part = await next_part(parts)
        assert (part.token, part.start, part.text) == (2, 0, "whole")


async def test_another_process_reads_what_was_written_down(store: Store) -> None:
    queued = await fleet.submit_task(store.ctx, CHAT)
    hands = Hands()
    async with a_dispatcher(store, hands, drafts=Drafts()) as dispatcher:
        dispatcher.joined(hands, a_profile())
        await dispatcher.run_once()
        (one,) = hands.take()
        dispatcher.chunk("w1", Chunk(one.tenant_id, one.task_id, one.token, 0, "¿qué tal?"))
        elsewhere = fleet.follow_answer(store.ctx, Drafts(), queued.id)
        store.clock.advance(0.6)
        await dispatcher.run_once()
        assert (await next_part(elsewhere)).text == "¿qué tal?"


async def test_nobody_follows_another_tenants_answer(store: Store) -> None:
    other = await store.another_tenant()
    queued = await fleet.submit_task(other.ctx, CHAT)
    for task_id in (queued.id, new_id(), "no id"):
        with pytest.raises(NervioError) as refused:
            await next_part(fleet.follow_answer(store.ctx, Drafts(), task_id))
        assert refused.value.code == "task_not_found"


async def test_a_reader_far_behind_gets_parts_of_a_bounded_size(store: Store) -> None:
    queued = await fleet.submit_task(store.ctx, CHAT)
    drafts = Drafts()
    whole = "".join(chr(97 + n % 26) for n in range(100_000))
    drafts.add(Chunk(store.ctx.tenant_id, queued.id, 1, 0, whole))
    parts = fleet.follow_answer(store.ctx, drafts, queued.id)
    heard = [await next_part(parts) for _ in range(7)]
    assert "".join(part.text for part in heard) == whole
    assert [part.start for part in heard] == [n * LONGEST_PART for n in range(7)]


async def test_parts_that_are_made_here_come_without_asking_the_store_for_each(store: Store) -> None:
    queued = await fleet.submit_task(store.ctx, CHAT)
    line, drafts = Line(store.ctx.database), Drafts()
    ctx = replace(store.ctx, database=line)

    def say(n: int, text: str) -> None:
        drafts.add(Chunk(store.ctx.tenant_id, queued.id, 1, n, text))

    say(0, "uno ")
    parts = fleet.follow_answer(ctx, drafts, queued.id)
    assert (await next_part(parts)).text == "uno "
    line.is_cut = True
    say(1, "dos ")
    assert (await next_part(parts)).text == "dos "
    line.is_cut = False
    drafts.end((store.ctx.tenant_id, queued.id))
    await fleet.cancel_task(store.ctx, queued.id)
    async with asyncio.timeout(5):
        assert [part async for part in parts if part is not None] == [], "it is noticed that it has ended"


async def test_of_an_attempt_that_another_process_took_over_the_newer_part_is_told(store: Store) -> None:
    queued = await fleet.submit_task(store.ctx, CHAT)
    hands, here = Hands(), Drafts()
    here.add(Chunk(store.ctx.tenant_id, queued.id, 1, 0, "what this process had of it"))
    async with a_dispatcher(store, hands, drafts=Drafts()) as dispatcher:
        dispatcher.joined(hands, a_profile())
        await dispatcher.run_once()
        await report(dispatcher, a_report(hands.take()[0], Ending.HANDED_BACK))
        await dispatcher.run_once()
        (one,) = hands.take()
        dispatcher.chunk("w1", Chunk(one.tenant_id, one.task_id, one.token, 0, "newer"))
        store.clock.advance(0.6)
        await dispatcher.run_once()
        part = await next_part(fleet.follow_answer(store.ctx, here, queued.id))
        assert (part.token, part.text) == (2, "newer")

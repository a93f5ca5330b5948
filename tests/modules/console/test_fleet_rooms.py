"""AI tasks in the console: asking, the list, the page of one, and who does the work."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nervio.db.halt import Level
from nervio.kernel.ids import new_id
from nervio.modules.console.i18n import load_texts
from nervio.modules.console.mishaps import in_words
from nervio.modules.console.shell import Pages, Person
from nervio.modules.fleet import api as fleet
from nervio.modules.fleet.api import Dispatcher
from nervio.modules.fleet.contracts import SubmitTask, Task, TaskState
from nervio.modules.fleet.usecases.dispatching import STATE_SECONDS
from nervio.modules.jobs.contracts import LOST
from nervio.modules.safety import api as safety
from nervio.modules.safety.contracts.halts import Scope
from nervio.ports.workers import Ending, Mishap
from tests.builders import SetClock
from tests.modules.console import samples
from tests.modules.console.fleet_samples import task
from tests.modules.console.serving import Shop, a_shop, another_shop
from tests.modules.fleet.handing import SETTINGS, Hands, a_profile, a_report, report

TASKS, ASK, WORKERS = "/console/tasks", "/console/ask", "/console/workers"
QUESTION = "¿Cuánta yerba queda?"
PAGES = Pages()


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with a_shop(tmp_path) as furnished:
        yield furnished


def a_question(text: str = QUESTION, **more: Any) -> SubmitTask:
    payload = json.dumps({"messages": [{"role": "user", "content": text}]})
    return replace(SubmitTask("chat", payload, cache=False), **more)


@asynccontextmanager
async def a_fleet(shop: Shop, hands: Hands) -> AsyncIterator[tuple[Dispatcher, SetClock]]:
    """The shop's dispatcher, whose rounds, workers and clock are the test's."""
    app = shop.program.app
    clock = SetClock(app.clock.now())
    ctx = replace(app.system_ctx(), clock=clock)
    dispatcher = Dispatcher(ctx, new_id(), [hands], SETTINGS, app.halt_watch.find_blocking_effect, app.drafts)
    try:
        yield dispatcher, clock
    finally:
        await dispatcher.close()


async def ended(shop: Shop, task: SubmitTask, ending: Ending = Ending.DONE, **more: Any) -> str:
    """The id of a task that a worker has had, and brought back like that."""
    queued, hands = await fleet.submit_task(shop.ctx, task), Hands()
    async with a_fleet(shop, hands) as (dispatcher, _):
        dispatcher.joined(hands, a_profile(kinds=(task.kind,)))
        await dispatcher.run_once()
        (assignment,) = hands.take()
        await report(dispatcher, a_report(assignment, ending, **more))
    return queued.id


async def page_of(shop: Shop, task_id: str) -> str:
    answer = await shop.visitor.get(f"{TASKS}/{task_id}")
    assert answer.status_code == 200, answer.text
    return answer.text


async def state_of(shop: Shop, task_id: str) -> TaskState:
    return (await fleet.get_task(shop.ctx, task_id))[0].state


async def newest(shop: Shop) -> Task:
    return (await fleet.list_tasks(shop.ctx))[0]


async def test_empty_pages_say_what_to_do_next(shop: Shop) -> None:
    tasks = (await shop.visitor.get(TASKS)).text
    assert "Ask the first question" in tasks and 'href="/console/ask"' in tasks
    workers = (await shop.visitor.get(WORKERS)).text
    for words in ("There are no AI workers", "Nothing has been learnt yet", "Nothing was used this month"):
        assert words in workers
    assert "No worker answers questions just now" in (await shop.visitor.get(ASK)).text


async def test_a_question_is_queued_once_and_leads_to_its_page(shop: Shop) -> None:
    key = re.search(r'name="key" value="([^"]+)"', (await shop.visitor.get(ASK)).text)
    assert key is not None
    given = {"question": f"  {QUESTION} ", "model": "", "priority": "high", "key": key[1]}
    asked = [await shop.visitor.post(ASK, ASK, **given) for _ in range(2)]
    task = await newest(shop)
    assert [answer.url.path for answer in asked] == [f"{TASKS}/{task.id}"] * 2
    assert len(await fleet.list_tasks(shop.ctx)) == 1
    assert task.payload == {"messages": [{"role": "user", "content": QUESTION}]}
    assert (task.kind, task.priority.name, task.model) == ("chat", "HIGH", "")
    assert QUESTION in asked[0].text and "No AI worker is connected." in asked[0].text
    other = await shop.visitor.post(ASK, ASK, **{**given, "question": "Something else"})
    assert other.status_code == 422 and "Something else" in other.text
    assert f'value="{key[1]}"' not in other.text  # the next press is another request


@pytest.mark.parametrize(
    ("wrong", "field", "said"),
    [
        ({"question": "  "}, "question", "Write the question."),
        ({"question": "x" * 100_001}, "question", "up to 100.000 characters"),
        ({"model": "no model"}, "model", "no name of a model"),
    ],
)
async def test_what_is_wrong_with_a_question_stands_at_its_field(
    shop: Shop, wrong: dict[str, str], field: str, said: str
) -> None:
    refused = await shop.visitor.post(ASK, ASK, **{"question": QUESTION, "model": "", "priority": "low", **wrong})
    assert refused.status_code == 422
    assert f'id="{field}-error"' in refused.text and said in refused.text
    assert 'value="low" id="priority-low" checked' in refused.text
    assert await fleet.list_tasks(shop.ctx) == []


async def test_an_answer_is_shown_with_what_it_used_and_who_gave_it(shop: Shop) -> None:
    usage = '{"input_tokens":1234,"output_tokens":5}'
    task_id = await ended(shop, a_question(), result='{"text":"Quedan 22."}', usage=usage)
    text = await page_of(shop, task_id)
    assert "Quedan 22." in text and "Done by w1." in text
    assert "1.234" in text and "Tokens read" in text
    assert "data-again" not in text, "what has ended is not loaded again"
    assert "See everything it returned" not in text, "there is no more than the text"
    assert 'action="/console/tasks/' not in text, "what is done is neither cancelled nor tried again"


async def test_any_result_is_readable_and_none_of_it_is_markup(shop: Shop) -> None:
    hostile = "<script>alert(1)</script>\" onload='x' \x00 \ud800 \u202e"
    result = json.dumps({"text": hostile, hostile: [hostile, {"a": None}]})
    task_id = await ended(
        shop, a_question("<img src=x onerror=alert(1)>"), result=result, usage=json.dumps({hostile: hostile})
    )
    failed = await ended(
        shop, a_question(hostile[:26]), Ending.FAILED, result="null", error=hostile[:26], may_help=False
    )
    for path in (TASKS, f"{TASKS}/{task_id}", f"{TASKS}/{failed}"):
        answer = await shop.visitor.get(path)
        assert answer.status_code == 200
        assert "<script>alert" not in answer.text and "<img src" not in answer.text, path
        assert "alert(1)" in answer.text, path


@pytest.mark.parametrize(
    "result", ["null", '""', "[]", "3.5", '"' + "word " * 50_000 + '"', "[" * 400 + "]" * 400, '{"text":7}']
)
async def test_a_result_of_any_shape_has_a_page_of_bounded_length(shop: Shop, result: str) -> None:
    text = await page_of(shop, await ended(shop, SubmitTask("shapes", '{"n":1}'), result=result))
    assert '<h1><span class="code">shapes</span></h1>' in text
    assert len(text) < 100_000
    assert ("/api/tasks/" in text) == (len(result) > 20_000 or result.startswith("[["))


async def test_a_page_tells_why_its_task_waits(shop: Shop) -> None:
    queued = await fleet.submit_task(shop.ctx, a_question(model="large"))
    assert "No AI worker is connected." in await page_of(shop, queued.id)
    hands = Hands()
    async with a_fleet(shop, hands) as (dispatcher, clock):

        async def joined(**profile: Any) -> str:
            dispatcher.joined(hands, a_profile("w2", boot=new_id(), **profile))
            clock.advance(STATE_SECONDS)
            await dispatcher.run_once()
            return await page_of(shop, queued.id)

        assert "No connected worker does this kind of task." in await joined(kinds=("ocr",))
        assert "No connected worker has the model large." in await joined()
        running = await joined(models=("large",))
        assert "w2 has been at it since" in running and "data-again" in running
        (assignment,) = hands.take("w2")
        failure = a_report(assignment, Ending.FAILED, result="null", error="no answer", retry_after_seconds=90)
        await report(dispatcher, failure, "w2")
        waits = await page_of(shop, queued.id)
        assert re.search(
            r"It is not tried again before \d\d:\d\d:\d\d, because the last attempt failed with: no answer", waits
        )
        assert ">Failed<" in waits, "the attempt is in the history"
        await safety.freeze(shop.ctx, "a drill", scope=Scope.TENANT, level=Level.REDUCE_ONLY)
        await shop.program.app.halt_watch.refresh()
        assert "There is a stop" in await page_of(shop, queued.id)


async def test_what_the_program_says_of_a_lost_attempt_is_said_in_the_readers_language(shop: Shop) -> None:
    queued, hands = await fleet.submit_task(shop.ctx, a_question()), Hands()
    async with a_fleet(shop, hands) as (dispatcher, _):
        dispatcher.joined(hands, a_profile())
        await dispatcher.run_once()
        dispatcher.joined(hands, a_profile(boot="another"))
        await dispatcher.run_once()
    _, (attempt,) = await fleet.get_task(shop.ctx, queued.id)
    assert attempt.error == Mishap.RESTARTED
    for language, said in (("es", "El trabajador arrancó de nuevo."), ("en", Mishap.RESTARTED)):
        shop.visitor.client.headers["Accept-Language"] = language
        assert said in await page_of(shop, queued.id), language


def test_the_console_has_words_for_everything_that_the_program_says() -> None:
    for language in ("es", "en"):
        said = [in_words(load_texts()[language], one) for one in (*Mishap, LOST)]
        assert len(set(said)) == len(said)
        assert not any(one.startswith("mishap.") for one in said)


async def test_a_task_is_cancelled_and_tried_again_by_its_buttons(shop: Shop) -> None:
    task_id = (await fleet.submit_task(shop.ctx, a_question())).id
    page = f"{TASKS}/{task_id}"
    assert f'action="{page}/cancel"' in (await shop.visitor.get(page)).text
    await shop.visitor.post(f"{page}/cancel", page)
    cancelled = await shop.visitor.post(f"{page}/cancel", page)
    assert cancelled.url.path == page and "Somebody cancelled it." in cancelled.text
    key = re.search(r'name="key" value="([^"]+)"', cancelled.text)
    assert key is not None
    for _ in range(2):
        assert (await shop.visitor.post(f"{page}/retry", page, key=key[1])).url.path == page
        assert await state_of(shop, task_id) is TaskState.WAITING
    again = await shop.visitor.post(f"{page}/cancel", page)
    assert await state_of(shop, task_id) is TaskState.CANCELLED
    second = re.search(r'name="key" value="([^"]+)"', again.text)
    assert second is not None and second[1] != key[1], "each end is another"
    done = await ended(shop, a_question())
    late = await shop.visitor.post(f"{TASKS}/{done}/cancel", page)
    assert late.status_code == 409 and 'role="alert"' in late.text
    assert await state_of(shop, done) is TaskState.DONE


def test_who_may_only_read_sees_no_buttons() -> None:
    person = Person("Rocío", "ml_service", frozenset({"fleet.read"}))
    for page in ("tasks", "task", "workers"):
        frame = replace(samples.page_shell(page, "en"), person=person)
        for state in ("waiting", "failed"):
            context = (
                samples.context(page, PAGES.texts["en"]) if page != "task" else task(PAGES.texts["en"], state, "turn")
            )
            html = PAGES.render(page, frame, context)
            assert "/cancel" not in html and "/retry" not in html and "/console/ask" not in html, page


async def test_another_shops_task_is_no_task(shop: Shop) -> None:
    theirs = await another_shop(shop)
    task_id = (await fleet.submit_task(theirs, a_question("Their secret question"))).id
    for path in (f"{TASKS}/{task_id}", f"{TASKS}/{new_id()}", f"{TASKS}/nonsense"):
        assert (await shop.visitor.get(path)).status_code == 404
    for move in ("cancel", "retry"):
        assert (await shop.visitor.post(f"{TASKS}/{task_id}/{move}", TASKS)).status_code == 404
    for path in (TASKS, f"{TASKS}?format=csv", WORKERS):
        assert "secret" not in (await shop.visitor.get(path)).text
    assert (await fleet.get_task(theirs, task_id))[0].state is TaskState.WAITING


async def test_the_list_is_narrowed_paged_both_ways_and_had_as_csv(shop: Shop) -> None:
    many = [(a_question(f"Question {n}"), None) for n in range(55)]
    queued = await fleet.submit_tasks(shop.ctx, [*many, (SubmitTask("price-tags", '{"sku":"YER-1"}'), None)])
    assert len(queued) == 56
    first = (await shop.visitor.get(TASKS)).text
    assert first.count('<th scope="row"') == 50
    following = re.search(r'href="(/console/tasks\?cursor=[^"]+)"[^>]*rel="next"', first)
    assert following is not None
    second = (await shop.visitor.get(following[1].replace("&amp;", "&"))).text
    assert second.count('<th scope="row"') == 6
    back = re.search(r'href="(/console/tasks\?cursor=[^"]+)"[^>]*rel="prev"', second)
    assert back is not None
    rows = r'href="/console/tasks/([0-9a-f-]{36})"'
    assert re.findall(rows, (await shop.visitor.get(back[1].replace("&amp;", "&"))).text) == re.findall(rows, first)
    assert (await shop.visitor.get(f"{TASKS}?cursor=nonsense")).status_code == 422
    tags = (await shop.visitor.get(f"{TASKS}?kind=price-tags&state=waiting")).text
    assert tags.count('<th scope="row"') == 1 and "YER-1" in tags
    assert "Nothing matches" in (await shop.visitor.get(f"{TASKS}?state=done")).text
    csv = await shop.visitor.get(f"{TASKS}?format=csv&kind=chat")
    assert csv.headers["content-type"].startswith("text/csv")
    lines = csv.text.splitlines()
    assert len(lines) == 56 and lines[0].startswith("id,kind,model,priority,state")


async def test_figures_stand_above_the_list(shop: Shop) -> None:
    await ended(shop, a_question())
    await ended(shop, a_question(retries=0), Ending.FAILED, result="null", error="no answer")
    await fleet.submit_task(shop.ctx, a_question())
    text = (await shop.visitor.get(TASKS)).text
    figures = re.findall(r'class="tile-figure">([^<]+)<', text)
    assert [figures[0], figures[1], figures[3]] == ["1", "1", "50\xa0%"]
    assert "The last one: no answer" in text
    again = await shop.visitor.client.get(TASKS, headers={"X-Nervio-Swap": "task-figures"})
    assert re.findall(r'class="tile-figure">([^<]+)<', again.text) == figures
    assert "/console/tasks/" not in again.text, "the list is not read for it"


async def test_workers_are_shown_with_what_is_learnt_of_them_and_used(shop: Shop) -> None:
    hands = Hands()
    await fleet.submit_task(shop.ctx, a_question())
    async with a_fleet(shop, hands) as (dispatcher, clock):
        profile = a_profile(models=("small",), credit=3, version="1.2", language="go")
        dispatcher.joined(hands, profile)
        dispatcher.joined(hands, a_profile("w9", kinds=("price-tags",)))
        await dispatcher.run_once()
        clock.advance(STATE_SECONDS)
        await dispatcher.run_once()
        busy = (await shop.visitor.get(WORKERS)).text
        for words in ("go · 1.2 · hands", "Busy", "Idle", "1 of 3", "2 connected", "Just now", "price-tags", "small"):
            assert words in busy, words
        (assignment,) = hands.take()
        await report(dispatcher, a_report(assignment, seconds=2.5, usage='{"input_tokens":4321}'))
    gone = (await shop.visitor.get(WORKERS)).text
    assert "0 connected" in gone and gone.count(">Gone<") == 2
    assert "2,5\xa0s" in gone and "First impression" in gone and "seen in 1 task" in gone
    assert "4.321" in gone
    assert "Question" in gone

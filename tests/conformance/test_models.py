"""Everybody who answers keeps the promises of the port: offline, over HTTP, several behind a policy."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from nervio.ports.models import Ability, EmbedRequest, ModelError, Models
from tests.conformance.asking import a_question, models_of

TEXTS = ("jabón", "soap", "coffee with milk", "té", "jabón", "bread", "salt")


@pytest.fixture(params=["offline", "compatible", "routed"])
async def models(request: pytest.FixtureRequest) -> AsyncIterator[Models]:
    """Each of them."""
    async with models_of(request.param) as made:
        yield made


async def test_an_answer_says_who_gave_it_and_what_it_took(models: Models) -> None:
    answer = await models.chat(a_question("how many soaps"))
    assert "soaps" in answer.text
    assert (answer.provider, answer.model) in {(offer.provider, offer.model) for offer in models.offers}
    assert answer.finish_reason == "stop"
    assert answer.usage.input_tokens > 0 and answer.usage.output_tokens > 0
    assert answer.usage.cost_micros is not None


async def test_the_parts_of_an_answer_are_the_answer(models: Models) -> None:
    parts: list[str] = []
    answer = await models.chat(a_question("one two three four"), parts.append)
    assert len(parts) > 3
    assert "".join(parts) == answer.text
    assert answer.text.split() == (await models.chat(a_question("one two three four"))).text.split()


async def test_a_picture_needs_one_who_sees(models: Models) -> None:
    request = a_question("what is this", pictures=2)
    assert request.ability is Ability.VISION
    answer = await models.chat(request)
    assert "image/png" in answer.text


async def test_every_text_gets_a_vector_in_its_place(models: Models) -> None:
    answer = await models.embed(EmbedRequest(TEXTS))
    assert len(answer.vectors) == len(TEXTS)
    assert {len(vector) for vector in answer.vectors} == {answer.dimensions}
    assert all(math.isfinite(number) for vector in answer.vectors for number in vector)
    assert answer.vectors[0] == answer.vectors[4]
    assert answer.vectors[0] != answer.vectors[1]
    alone = [(await models.embed(EmbedRequest((text,)))).vectors[0] for text in TEXTS]
    assert list(answer.vectors) == alone
    assert answer.usage.input_tokens > 0 and answer.usage.output_tokens == 0


async def test_a_model_that_is_not_there_is_an_error_that_nothing_mends_by_waiting(models: Models) -> None:
    for asking in (models.chat(a_question(model="nobody")), models.embed(EmbedRequest(("a",), "nobody"))):
        with pytest.raises(ModelError, match="nobody") as refused:
            await asking
        assert not refused.value.may_help


async def test_many_are_answered_at_once(models: Models) -> None:
    answers = await asyncio.gather(
        *(models.chat(a_question(f"number {n} here"), lambda _part: None) for n in range(40))
    )
    assert all(f"number {n} here" in answer.text for n, answer in enumerate(answers))


async def test_a_caller_that_goes_leaves_the_others_alone(models: Models) -> None:
    going = asyncio.create_task(models.chat(a_question("going")))
    await asyncio.sleep(0)
    going.cancel()
    staying = await models.chat(a_question("staying"))
    assert "staying" in staying.text
    with suppress(asyncio.CancelledError):  # one that never waits has answered by then
        assert "going" in (await going).text


async def test_an_offer_says_what_its_model_can(models: Models) -> None:
    assert {offer.ability for offer in models.offers} == set(Ability)


async def test_closing_twice_does_no_harm(models: Models) -> None:
    await models.chat(a_question())
    await models.close()
    await models.close()

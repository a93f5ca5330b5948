"""The parts of which a client of models is made, on plain values: prices, the breaker, streams, tokens, the offline model."""

import math
import os
import subprocess
import sys
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nervio.adapters.models import offline, tokens, wire
from nervio.adapters.models.breaker import Breaker
from nervio.adapters.models.prices import FREE, PriceBook, priced
from nervio.adapters.models.quirks import QUIRKS
from nervio.adapters.models.streams import EventLines
from nervio.ports.models import Ability, EmbedRequest, Price
from tests.conformance.asking import a_question

LETTERS = st.characters(codec="utf-8", exclude_characters="\r\n")
STABLE_TEXTS = ("Jabón líquido 500 ml", "漢字 ☕ ¿Qué?", "", "İstanbul ŒUVRE ß")
STABLE_DIGEST = "6995a80dd5cf8a91"
PRICE = Price(150_000, 600_000, "USD", 75_000)


def test_a_price_that_is_not_known_is_none_and_never_zero() -> None:
    book = PriceBook()
    assert book.find("a-model-of-tomorrow", "openai") is None
    assert priced(None, 10, 10).cost_micros is None
    assert priced(FREE, 10, 10).cost_micros == 0


def test_what_users_write_wins_over_our_table_and_a_full_name_over_a_pattern() -> None:
    book = PriceBook({"gpt-4o-mini": PRICE, "mine/gpt-4o-mini": FREE, "mine/*": None, "gpt-5-mini": None})
    assert book.find("gpt-4o-mini", "openai") == PRICE
    assert book.find("gpt-4o-mini", "mine", "openai") == FREE
    assert book.find("other", "mine", "openai") is None
    assert book.find("gpt-5-mini", "openai") is None, "a price that was taken back"


def test_what_runs_here_is_free_and_what_ollama_runs_elsewhere_has_no_known_price() -> None:
    book = PriceBook()
    assert book.find("llama3.2", "kitchen", "ollama") == FREE
    assert book.find("gpt-oss:120b-cloud", "ollama", "ollama") is None


@given(st.integers(0, 10**7), st.integers(0, 10**7), st.integers(0, 10**7))
def test_a_cost_is_rounded_up_once(asked: int, answered: int, cached: int) -> None:
    usage = priced(PRICE, asked, answered, cached)
    assert usage.cost_micros is not None
    cached = min(cached, asked)
    exact = (asked - cached) * Fraction("0.15") + cached * Fraction("0.075") + answered * Fraction("0.6")
    assert 0 <= usage.cost_micros - exact < 1
    assert (usage.cost_micros == 0) == (asked + answered == 0)


def test_every_model_that_is_asked_unasked_has_a_price_or_is_an_old_name() -> None:
    book = PriceBook()
    unpriced = {
        model
        for preset, quirks in QUIRKS.items()
        for models in quirks.models.values()
        for model in models
        if book.find(model, preset) is None
    }
    assert unpriced == {"deepseek-chat"}


@given(st.lists(st.sampled_from(["fail", "answer", "withdraw", "wait"]), max_size=60))
def test_a_breaker_lets_through_all_none_or_one(deeds: list[str]) -> None:
    breaker, now, row, rests_until, trying = Breaker(3, 30), 0.0, 0, 0.0, False
    for deed in deeds:
        if deed == "wait":
            now += 16
            continue
        wait = breaker.admit(now)
        is_open = row >= 3
        assert (wait == 0) == (not is_open or now >= rests_until), (
            "an open one lets nobody through before its rest is over"
        )
        if wait:
            assert wait <= 30
            continue
        trying = is_open
        if trying:
            assert breaker.admit(now) > 0, "one tries at a time"
        if deed == "fail":
            row += 1
            if row >= 3:
                rests_until = now + 30
            breaker.failed(now, "no")
        elif deed == "answer":
            row = 0
            breaker.answered()
        else:
            breaker.withdrawn()


@given(st.lists(st.text(LETTERS, min_size=1), max_size=20), st.data())
def test_events_are_the_same_however_their_bytes_come(texts: list[str], data: st.DataObject) -> None:
    whole = "".join(f": comment\n\nevent: message\ndata: {text}\r\n\r\n" for text in texts).encode()
    lines, found, at = EventLines(), [], 0
    while at < len(whole):
        size = data.draw(st.integers(1, 40))
        found += lines.feed(whole[at : at + size])
        at += size
    assert found + lines.rest() == [text.encode().strip() for text in texts if text.encode().strip()]


def test_a_last_line_without_an_end_counts() -> None:
    lines = EventLines()
    assert lines.feed(b"data: one\n\ndata: two") == [b"one"]
    assert lines.rest() == [b"two"]


def test_requests_are_written_as_each_provider_takes_them() -> None:
    request = a_question(max_tokens=5, temperature=0.5)
    openai = wire.decoded(wire.chat_body(request, "gpt-5-mini", QUIRKS["openai"], streams=True))
    assert openai["max_completion_tokens"] == 5 and "max_tokens" not in openai and "temperature" not in openai
    assert openai["stream_options"] == {"include_usage": True}
    gemini = wire.decoded(wire.chat_body(request, "gemini-3.8-flash", QUIRKS["gemini"], streams=False))
    assert (gemini["max_tokens"], gemini["temperature"]) == (5, 0.5)
    assert "stream" not in gemini and "stream_options" not in gemini
    assert gemini["messages"][1] == {"role": "user", "content": "how many soaps are there"}
    seeing = wire.decoded(wire.chat_body(a_question(pictures=1), "m", QUIRKS["other"], streams=False))
    assert [part["type"] for part in seeing["messages"][1]["content"]] == ["text", "image_url"]


def test_what_a_model_thought_is_charged_as_output() -> None:
    told = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 65}
    assert wire.usage_of(told, PRICE, 1, 1).output_tokens == 55


@pytest.mark.parametrize("told", [None, [], {"prompt_tokens": -1}, {"prompt_tokens": "9"}, {"prompt_tokens": True}])
def test_figures_that_are_none_are_counted_by_rule(told: object) -> None:
    usage = wire.usage_of(told, PRICE, 7, 3)
    assert (usage.input_tokens, usage.output_tokens, usage.is_estimated) == (7, 3, True)


def test_tokens_are_counted_by_the_rule_that_is_written_down() -> None:
    assert [tokens.of_text(text) for text in ("", "a", "four", "fives", "ñandú")] == [0, 1, 1, 2, 2]
    assert tokens.of_messages(a_question("four", pictures=2).messages) == 4 + 3 + 4 + 1 + 1600


# -- the offline model -------------------------------------------------------------------------------------------------


def near(one: str, other: str) -> float:
    """The cosine of two texts."""
    return sum(a * b for a, b in zip(offline.vector_of(one), offline.vector_of(other), strict=True))


@given(st.text(max_size=200))
def test_every_text_has_a_vector_of_length_one(text: str) -> None:
    vector = offline.vector_of(text)
    assert len(vector) == offline.DIMENSIONS
    assert math.isclose(sum(number * number for number in vector), 1.0, rel_tol=1e-12)
    assert vector == offline.vector_of(text)


def test_texts_that_share_words_or_spelling_lie_close() -> None:
    assert near("Jabón de tocador", "  jabon DE   TOCADOR ") > 0.999
    assert near("jabón líquido", "jabones liquidos") > 0.4
    assert near("jabón líquido 500 ml", "jabón líquido 750 ml") > near("jabón líquido 500 ml", "yerba mate 500 g") + 0.2
    assert abs(near("jabón", "xylophone")) < 0.2


def test_a_vector_is_the_same_in_every_process_and_for_ever() -> None:
    code = (
        "import sys, hashlib; from nervio.adapters.models.offline import vector_of;"
        "print(hashlib.sha256(repr([vector_of(text) for text in sys.argv[1:]]).encode()).hexdigest()[:16])"
    )
    for seed in ("0", "1"):
        environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUTF8": "1"}
        run = subprocess.run(
            [sys.executable, "-c", code, *STABLE_TEXTS], env=environment, capture_output=True, text=True, check=True
        )
        # Written down once: an index that was built yesterday must fit the questions of tomorrow.
        assert run.stdout.strip() == STABLE_DIGEST


async def test_many_long_texts_get_the_same_vectors_as_each_alone() -> None:
    texts = tuple(f"{'largo ' * 100}{n}" for n in range(10))
    answer = await offline.OfflineModels().embed(EmbedRequest(texts))
    assert list(answer.vectors) == [offline.vector_of(text) for text in texts]


async def test_it_says_what_it_is_in_the_language_of_the_question() -> None:
    models = offline.OfflineModels("See THE_SETTING.")
    spanish = await models.chat(a_question("¿Cuántos jabones hay?"))
    english = await models.chat(a_question("how many soaps are there"))
    assert spanish.text.startswith("Soy el modelo sin conexión de Nervio") and "3 palabras" in spanish.text
    assert english.text.startswith("I am Nervio's offline model") and "5 words" in english.text
    assert english.text.endswith("See THE_SETTING.")
    assert spanish == await models.chat(a_question("¿Cuántos jabones hay?"))


@pytest.mark.parametrize("most", [1, 5, 20])
async def test_its_answer_ends_where_it_must(most: int) -> None:
    answer = await offline.OfflineModels().chat(a_question(max_tokens=most))
    assert answer.usage.output_tokens <= most
    assert answer.finish_reason == "length"


def test_it_offers_everything_for_nothing() -> None:
    offers = offline.OfflineModels().offers
    assert {offer.ability for offer in offers} == set(Ability)
    assert all(offer.price == FREE for offer in offers)

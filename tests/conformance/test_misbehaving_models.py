"""A provider that behaves badly in every way: what is tried again, what is charged, what a person is told."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from nervio.adapters.models.attempts import Limits
from nervio.adapters.models.breaker import Breaker
from nervio.ports.models import EmbedRequest, Failure, ModelError
from tests.conformance.asking import LIMITS, a_client, a_question, close_clients
from tests.model_peer import KEY, ModelPeer, a_provider

TEXTS = ("one", "two", "three", "four")


@pytest.fixture
async def peer() -> AsyncIterator[ModelPeer]:
    async with a_provider() as listening:
        yield listening
        await close_clients()


class WillingClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = 1000.0

    def now(self) -> int:
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        return self.at


def told(error: ModelError) -> str:
    """What a person reads; never a key."""
    for shown in (str(error), repr(error), repr(error.__cause__), str(vars(error))):
        assert KEY not in shown
    return str(error)


@pytest.mark.parametrize("way", ["500", "reset", "429 for a second", "429 until a date"])
async def test_what_nobody_charges_for_is_tried_again(peer: ModelPeer, way: str) -> None:
    client = a_client(peer)
    peer.ways.append(way)
    began = time.monotonic()
    assert (await client.chat(a_question())).text.startswith("You said")
    assert (len(peer.calls), peer.charged) == (2, 1)
    if way == "429 for a second":
        assert 1.0 <= time.monotonic() - began < 1.4
    if way == "429 until a date":
        # Dates of HTTP are whole seconds.
        assert time.monotonic() - began < 1.4


async def test_an_attempt_too_many_is_not_made(peer: ModelPeer) -> None:
    client = a_client(peer)
    peer.ways.extend(["500"] * 9)
    with pytest.raises(ModelError) as failed:
        await client.chat(a_question())
    assert (len(peer.calls), failed.value.failure, failed.value.may_help) == (3, Failure.FAILED, True)
    assert told(failed.value) == "peer: the provider failed (HTTP 500: the server had an error)."


@pytest.mark.parametrize("way", ["429 for an hour", "429 of google"])
async def test_a_long_wait_is_the_queues_and_nobody_asks_meanwhile(peer: ModelPeer, way: str) -> None:
    clock = WillingClock()
    client = a_client(peer, clock=clock)
    peer.ways.append(way)
    for _ in range(2):
        with pytest.raises(ModelError) as failed:
            await client.chat(a_question())
        assert (failed.value.failure, failed.value.retry_after_seconds) == (Failure.RATE_LIMITED, 3600)
    assert len(peer.calls) == 1
    assert (await client.chat(a_question(model="peer-unpriced"))).text, "another model may be asked"
    clock.at += 3601
    await client.chat(a_question())


@pytest.mark.parametrize(
    ("way", "failure", "says"),
    [
        ("no balance", Failure.REFUSED, "no balance left (HTTP 402: Insufficient Balance). See THE_API_KEY."),
        ("no quota", Failure.REFUSED, "See THE_API_KEY."),
        ("key of google", Failure.REFUSED, "API key not valid. Please pass a valid API key.). See THE_API_KEY."),
        ("no model", Failure.UNKNOWN_MODEL, "there is no model 'peer-chat'"),
        ("too long", Failure.TOO_LARGE, "more than peer-chat takes"),
        ("bad request", Failure.BAD_REQUEST, "temperature is not supported"),
        ("elsewhere", Failure.BAD_REQUEST, "See THE_BASE_URL."),
        ("not found", Failure.BAD_REQUEST, "See THE_BASE_URL."),
    ],
)
@pytest.mark.parametrize("streams", [False, True])
async def test_what_will_not_change_is_asked_once_and_names_its_setting(
    peer: ModelPeer, way: str, failure: Failure, says: str, streams: bool
) -> None:
    client = a_client(peer)
    peer.ways.append(way)
    with pytest.raises(ModelError) as failed:
        await client.chat(a_question(), (lambda _part: None) if streams else None)
    assert (failed.value.failure, failed.value.may_help, len(peer.calls)) == (failure, False, 1)
    assert says in told(failed.value)


async def test_an_unknown_model_names_the_list_of_its_ability(peer: ModelPeer) -> None:
    client = a_client(peer)
    peer.ways.extend(["no model", "no model", "no model"])
    for asking, setting in (
        (client.chat(a_question()), "THE_CHAT_MODELS"),
        (client.chat(a_question(pictures=1)), "THE_VISION_MODELS"),
        (client.embed(EmbedRequest(TEXTS)), "THE_EMBED_MODELS"),
    ):
        with pytest.raises(ModelError, match=setting) as failed:
            await asking
        assert failed.value.setting == setting


async def test_a_wrong_key_is_never_shown_even_where_the_provider_says_it_back(
    peer: ModelPeer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    wrong = "sk-wrong-and-still-secret"
    client = a_client(peer, key=wrong)
    with pytest.raises(ModelError) as failed:
        await client.chat(a_question())
    assert (failed.value.failure, failed.value.setting) == (Failure.REFUSED, "THE_API_KEY")
    assert "Incorrect API key provided: …." in str(failed.value)
    assert wrong not in caplog.text + repr(client) + repr(vars(client)) + repr(failed.value)


@pytest.mark.parametrize(
    ("way", "says"),
    [
        ("no json", "no JSON"),
        ("html", "text/html, not JSON. See THE_BASE_URL."),
        ("no choices", "no message"),
        ("a list", "no object"),
        ("no text", "no text"),
        ("cut", "broke off"),
    ],
)
async def test_an_answer_that_is_none_is_charged_once(peer: ModelPeer, way: str, says: str) -> None:
    client = a_client(peer)
    peer.ways.append(way)
    with pytest.raises(ModelError) as failed:
        await client.chat(a_question())
    assert (failed.value.failure, failed.value.may_help, peer.charged) == (Failure.MALFORMED, True, 1)
    assert says in told(failed.value)


async def test_a_huge_answer_is_not_taken(peer: ModelPeer) -> None:
    # The peer takes a while to make so much up, on a busy machine longer than a first part may take elsewhere.
    client = a_client(peer, limits=replace(LIMITS, first_part_seconds=30.0, next_part_seconds=30.0, whole_seconds=60.0))
    peer.ways.append("huge")
    with pytest.raises(ModelError, match="NERVIO_MODELS__LARGEST_ANSWER_BYTES") as failed:
        await client.chat(a_question())
    assert (failed.value.failure, failed.value.may_help) == (Failure.TOO_LARGE, False)
    peer.ways.clear()
    peer.chunks = 20_000
    with pytest.raises(ModelError, match="NERVIO_MODELS__LARGEST_ANSWER_BYTES"):
        await client.chat(a_question(), lambda _part: None)


@pytest.mark.parametrize(
    ("way", "failure", "parts", "says"),
    [
        (
            "hang",
            Failure.TIMEOUT,
            0,
            "no first part of the answer within 0.4 s. See NERVIO_MODELS__FIRST_PART_SECONDS.",
        ),
        ("hang in the middle", Failure.TIMEOUT, 1, "no next part of the answer within 0.3 s."),
        ("comments only", Failure.TIMEOUT, 1, "See NERVIO_MODELS__NEXT_PART_SECONDS."),
        ("cut", Failure.MALFORMED, 1, "broke off"),
        ("ends early", Failure.MALFORMED, 1, "ended in the middle"),
        ("error in the middle", Failure.FAILED, 1, "failed in the middle of its answer (overloaded)"),
        ("nonsense in the middle", Failure.MALFORMED, 1, "no JSON"),
    ],
)
async def test_a_stream_that_stops_is_no_answer_and_is_not_begun_again(
    peer: ModelPeer, way: str, failure: Failure, parts: int, says: str
) -> None:
    client = a_client(peer)
    peer.ways.append(way)
    shown: list[str] = []
    with pytest.raises(ModelError) as failed:
        await client.chat(a_question(), shown.append)
    assert (failed.value.failure, failed.value.may_help, len(shown)) == (failure, True, parts)
    assert len(peer.calls) == 1
    assert says in told(failed.value)
    assert (await client.chat(a_question(), shown.append)).finish_reason == "stop", "the next one is served"


async def test_the_whole_time_bounds_all_attempts(peer: ModelPeer) -> None:
    client = a_client(peer)
    peer.ways.extend(["429 for a second", "hang"])
    began = time.monotonic()
    with pytest.raises(ModelError, match=r"no whole answer within 1\.5 s\. See NERVIO_MODELS__WHOLE_SECONDS"):
        await client.chat(a_question())
    assert time.monotonic() - began < 1.8


async def test_a_wait_that_leaves_no_time_is_not_begun(peer: ModelPeer) -> None:
    client = a_client(peer, limits=replace(LIMITS, whole_seconds=0.8))
    peer.ways.append("429 for a second")
    began = time.monotonic()
    with pytest.raises(ModelError) as failed:
        await client.chat(a_question())
    assert failed.value.failure is Failure.RATE_LIMITED
    assert time.monotonic() - began < 0.5


async def test_a_stream_may_take_its_time_as_long_as_it_goes_on(peer: ModelPeer) -> None:
    client = a_client(peer)
    peer.ways.append("slow parts")
    began = time.monotonic()
    answer = await client.chat(a_question("one two three four"), lambda _part: None)
    assert answer.text.split()[-1] == "four"
    assert time.monotonic() - began > LIMITS.first_part_seconds


async def test_a_stream_that_goes_on_for_ever_ends(peer: ModelPeer) -> None:
    client = a_client(peer, limits=replace(LIMITS, whole_seconds=0.5))
    peer.ways.append("slow parts")
    with pytest.raises(ModelError, match=r"no whole answer within 0\.5 s"):
        await client.chat(a_question("one two three four five six"), lambda _part: None)


async def test_an_answer_that_lost_only_its_figures_is_an_answer(peer: ModelPeer) -> None:
    client = a_client(peer)
    peer.ways.append("cut after the reason")
    answer = await client.chat(a_question("one two"), lambda _part: None)
    assert answer.text.split() == ["You", "said:", "one", "two"]
    assert answer.usage.is_estimated
    assert peer.charged == 1


@pytest.mark.parametrize("way", ["in crumbs", "does not stream", ""])
async def test_parts_come_however_the_provider_cuts_them(peer: ModelPeer, way: str) -> None:
    client = a_client(peer)
    peer.ways.append(way)
    shown: list[str] = []
    answer = await client.chat(a_question("añb 漢 ☕"), shown.append)
    assert "".join(shown) == answer.text
    assert answer.text.split() == ["You", "said:", "añb", "漢", "☕"]
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (11, 7)


@pytest.mark.parametrize("streams", [False, True])
async def test_what_was_used_is_what_the_provider_says_and_costs_by_the_table(peer: ModelPeer, streams: bool) -> None:
    client = a_client(peer)
    emit = (lambda _part: None) if streams else None
    peer.ways.extend(["", "no usage", ""])
    usage = (await client.chat(a_question(), emit)).usage
    assert (usage.cost_micros, usage.currency, usage.is_estimated) == (11 + 2 * 7, "USD", False)
    guessed = (await client.chat(a_question("how many soaps are there"), emit)).usage
    assert guessed.is_estimated and guessed.cost_micros == guessed.input_tokens + 2 * guessed.output_tokens
    assert (await client.chat(a_question(model="peer-unpriced"), emit)).usage.cost_micros is None


async def test_what_was_read_before_costs_less(peer: ModelPeer) -> None:
    client = a_client(peer)
    peer.ways.append("cached usage")
    usage = (await client.chat(a_question())).usage
    assert (usage.cached_tokens, usage.cost_micros) == (6, 5 + 3 + 14)


@pytest.mark.parametrize(
    ("way", "says"),
    [
        ("half", "1 vectors of 3"),
        ("wrong size", "2 and 4 numbers"),
        ("same place", "in no order"),
        ("no number", "no number"),
        ("no data", "no data"),
    ],
)
async def test_half_a_batch_is_no_batch(peer: ModelPeer, way: str, says: str) -> None:
    client = a_client(peer)
    peer.ways.append(way)
    with pytest.raises(ModelError, match=says) as failed:
        await client.embed(EmbedRequest(TEXTS))
    assert (failed.value.failure, peer.charged) == (Failure.MALFORMED, 1)


async def test_a_large_batch_comes_as_it_is(peer: ModelPeer) -> None:
    client = a_client(peer, limits=replace(LIMITS, largest_answer_bytes=10_000_000), most_texts=5_000)
    texts = tuple("x" * (n % 7 + 1) for n in range(5_000))
    answer = await client.embed(EmbedRequest(texts))
    assert [vector[0] for vector in answer.vectors] == [len(text) for text in texts]


async def test_vectors_of_another_size_than_before_are_refused(peer: ModelPeer) -> None:
    client = a_client(peer)
    await client.embed(EmbedRequest(TEXTS))
    peer.ways.append("another size")
    with pytest.raises(ModelError, match="peer-embed have 5 numbers and had 4 before"):
        await client.embed(EmbedRequest(TEXTS))


async def test_a_later_batch_that_fails_is_tried_again_by_itself(peer: ModelPeer) -> None:
    client = a_client(peer)
    peer.ways.extend(["", "500", ""])
    answer = await client.embed(EmbedRequest(TEXTS, key="task"))
    assert [vector[0] for vector in answer.vectors] == [3, 3, 5, 4]
    assert (len(peer.calls), peer.charged) == (3, 2)
    first, failed, again = (call.headers["idempotency-key"] for call in peer.calls)
    assert failed == again != first
    assert answer.usage.input_tokens == 15


async def test_a_provider_that_fails_is_left_alone_and_tried_by_one(peer: ModelPeer) -> None:
    clock = WillingClock()
    limits = Limits(first_pause_seconds=0, attempts=1)
    client = a_client(peer, clock=clock, limits=limits, breaker=Breaker(3, 30))
    peer.ways.extend(["500"] * 3)
    for _ in range(3):
        with pytest.raises(ModelError, match="HTTP 500"):
            await client.chat(a_question())
    with pytest.raises(
        ModelError, match=r"left alone for 30 s more after 3 failures in a row; the last: .*HTTP 500"
    ) as left:
        await client.chat(a_question())
    assert (left.value.failure, left.value.retry_after_seconds, len(peer.calls)) == (Failure.UNREACHABLE, 30, 3)
    clock.at += 31
    outcomes = await asyncio.gather(*(client.chat(a_question()) for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(outcome, ModelError) for outcome in outcomes) == 4, "one tries, the others wait for it"
    assert len(peer.calls) == 4
    await client.chat(a_question())


async def test_a_caller_that_goes_while_it_tries_lets_the_next_one_try(peer: ModelPeer) -> None:
    clock = WillingClock()
    client = a_client(peer, clock=clock, limits=Limits(attempts=1), breaker=Breaker(1, 30))
    peer.ways.extend(["500", "hang"])
    with pytest.raises(ModelError):
        await client.chat(a_question())
    clock.at += 31
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await client.chat(a_question())
    assert (await client.chat(a_question())).text


async def test_refusals_leave_the_breaker_closed(peer: ModelPeer) -> None:
    client = a_client(peer, breaker=Breaker(2, 30))
    peer.ways.extend(["bad request"] * 4)
    for _ in range(4):
        with pytest.raises(ModelError, match="HTTP 400"):
            await client.chat(a_question())
    assert (await client.chat(a_question())).text


async def test_nobody_there_is_said_with_the_address_to_mend(peer: ModelPeer, free_port: int) -> None:
    client = a_client(peer, url=f"http://127.0.0.1:{free_port}/v1")
    with pytest.raises(ModelError, match=r"peer: no connection: .*See THE_BASE_URL\.") as failed:
        await client.chat(a_question())
    assert (failed.value.failure, failed.value.may_help) == (Failure.UNREACHABLE, True)


async def test_our_own_network_is_for_those_who_are_allowed_to_lie_there(peer: ModelPeer) -> None:
    client = a_client(peer, allow_private=False)
    with pytest.raises(ModelError, match=r"lies in a private network; .*allow_private_addresses") as failed:
        await client.chat(a_question())
    assert (failed.value.failure, peer.connections) == (Failure.UNREACHABLE, 0)


async def test_a_key_goes_nowhere_without_tls_but_into_our_own_network(
    peer: ModelPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def getaddrinfo(_self: Any, _host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8", port))]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)
    client = a_client(peer, url="http://models.example/v1")
    with pytest.raises(ModelError, match="must begin with https://"):
        await client.chat(a_question())


async def test_connections_serve_again_after_a_stream(peer: ModelPeer) -> None:
    client = a_client(peer, limits=LIMITS)
    for _ in range(5):
        await client.chat(a_question(), lambda _part: None)
        await client.chat(a_question())
    assert peer.connections == 1

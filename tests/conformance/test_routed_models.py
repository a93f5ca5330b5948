"""Several providers behind a policy: who is asked, and that nobody is paid for an answer that somebody else gave."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nervio.adapters.clock import SystemClock
from nervio.adapters.models.offline import OfflineModels
from nervio.adapters.models.policy import Policy, Restriction
from nervio.adapters.models.routed import RoutedModels
from nervio.ports.models import EmbedRequest, Failure, ModelError, Models
from tests.conformance.asking import LIMITS, a_client, a_question, close_clients
from tests.model_peer import ModelPeer, a_provider

PATIENT = replace(LIMITS, attempts=2, first_pause_seconds=0.0)


@pytest.fixture
async def peers() -> AsyncIterator[dict[str, ModelPeer]]:
    """Three that listen."""
    async with AsyncExitStack() as stack:
        yield {name: await stack.enter_async_context(a_provider()) for name in ("one", "two", "three")}
        await close_clients()


def routed(
    peers: dict[str, ModelPeer],
    policy: Policy = Policy.ORDER,
    restrictions: dict[str, Restriction] | None = None,
) -> RoutedModels:
    """The peers as one."""
    clients = {name: a_client(peer, name=name, limits=PATIENT) for name, peer in peers.items()}
    return RoutedModels(clients, SystemClock(), policy=policy, restrictions=restrictions)


def charged(peers: dict[str, ModelPeer]) -> list[int]:
    """What each would charge for."""
    return [peer.charged for peer in peers.values()]


@pytest.mark.parametrize("way", ["500", "429 for an hour", "no balance", "no model", "html", "cut", "too long", "hang"])
async def test_the_next_one_answers_where_the_first_does_not(peers: dict[str, ModelPeer], way: str) -> None:
    models = routed(peers)
    peers["one"].ways.extend([way] * 4)
    assert (await models.chat(a_question(model="peer-chat"))).provider == "two"
    assert not peers["three"].calls


async def test_whoever_showed_a_part_is_not_replaced(peers: dict[str, ModelPeer]) -> None:
    models = routed(peers)
    peers["one"].ways.append("cut")
    shown: list[str] = []
    with pytest.raises(ModelError, match="one: the answer broke off"):
        await models.chat(a_question(), shown.append)
    assert (len(shown), charged(peers)) == (1, [1, 0, 0])
    peers["one"].ways.append("500")
    peers["one"].ways.append("500")
    answer = await models.chat(a_question(model="peer-chat"), shown.append)
    assert answer.provider == "two", "nothing was shown yet"


async def test_when_nobody_answers_each_is_named_and_the_shortest_wait_is_told(peers: dict[str, ModelPeer]) -> None:
    models = routed(peers)
    for peer, way in zip(peers.values(), ("no balance", "429 for an hour", "429 of google"), strict=True):
        peer.ways.extend([way] * 2)
    with pytest.raises(ModelError) as failed:
        await models.chat(a_question(model="peer-chat"))
    said = str(failed.value)
    assert all(f"{name}: " in said for name in peers) and "See THE_API_KEY" in said
    assert (failed.value.failure, failed.value.may_help) == (Failure.RATE_LIMITED, True)
    assert failed.value.retry_after_seconds == 3600


async def test_a_shop_asks_only_whom_it_may(peers: dict[str, ModelPeer]) -> None:
    models = routed(peers, restrictions={"shop": Restriction(frozenset({"three"}))})
    assert (await models.chat(a_question(tenant_id="shop"))).provider == "three"
    assert (await models.chat(a_question(tenant_id="other"))).provider == "one"
    peers["three"].ways.extend(["bad request"] * 2)
    with pytest.raises(ModelError, match="three: "):
        await models.chat(a_question(tenant_id="shop", model="peer-chat"))
    with pytest.raises(ModelError, match="NERVIO_MODELS__TENANTS") as refused:
        await models.chat(a_question(tenant_id="shop", model="one/peer-chat"))
    assert refused.value.failure is Failure.NOT_OFFERED
    assert len(peers["one"].calls) == 1


async def test_a_name_that_nobody_has_is_answered_with_those_that_there_are(peers: dict[str, ModelPeer]) -> None:
    models = routed(peers)
    with pytest.raises(ModelError, match=r"'peer-chad' for chat\. There are: one/peer-chat, one/peer-unpriced, three/"):
        await models.chat(a_question(model="peer-chad"))
    assert (await models.chat(a_question(model="two/peer-of-tomorrow"))).model == "peer-of-tomorrow"


async def test_the_cheapest_is_asked_and_the_fastest_is_learned(peers: dict[str, ModelPeer]) -> None:
    cheapest = RoutedModels(
        {"one": a_client(peers["one"], name="one"), "offline": OfflineModels()}, SystemClock(), policy=Policy.CHEAPEST
    )
    assert (await cheapest.chat(a_question())).provider == "offline"
    fastest = routed(peers, Policy.FASTEST)
    peers["one"].ways.append("slow")
    asked = [(await fastest.chat(a_question(model="peer-chat"))).provider for _ in range(6)]
    assert asked[:3] == ["one", "two", "three"], "each is seen once"
    assert "one" not in asked[3:]


async def test_one_who_is_not_there_is_not_asked_for_its_other_models(peers: dict[str, ModelPeer]) -> None:
    models = routed(peers)
    peers["one"].ways.append("no balance")
    assert (await models.chat(a_question())).provider == "two"
    assert len(peers["one"].calls) == 1
    peers["one"].ways.append("no model")
    assert (await models.chat(a_question())).model == "peer-unpriced", "one whose model is gone has another"


async def test_to_fail_at_once_is_not_fast(peers: dict[str, ModelPeer]) -> None:
    models = routed(peers, Policy.FASTEST)
    peers["one"].ways.append("bad request")
    for _ in range(4):
        await models.chat(a_question(model="peer-chat"))
    assert len(peers["one"].calls) == 1


async def test_vectors_come_from_another_provider_only_where_the_model_is_the_same(
    peers: dict[str, ModelPeer],
) -> None:
    clients: dict[str, Models] = {
        "one": a_client(peers["one"], name="one", limits=PATIENT),
        "offline": OfflineModels(),
    }
    models = RoutedModels(clients, SystemClock(), policy=Policy.CHEAPEST)
    peers["one"].ways.extend(["500"] * 2)
    with pytest.raises(ModelError, match="one: "):
        await models.embed(EmbedRequest(("soap",)))
    same = routed(peers)
    peers["one"].ways.extend(["500"] * 2)
    answer = await same.embed(EmbedRequest(("soap",)))
    assert (answer.provider, answer.model) == ("two", "peer-embed")


WAYS = (
    "",
    "",
    "500",
    "429 for an hour",
    "no balance",
    "no model",
    "html",
    "half",
    "reset",
    "bad request",
    "cut",
    "no json",
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.lists(st.sampled_from(WAYS), max_size=6), min_size=3, max_size=3),
    st.lists(st.sampled_from(("chat", "stream", "embed")), min_size=1, max_size=6),
    st.sampled_from(Policy),
)
def test_an_answer_that_was_taken_is_the_last_thing_anybody_was_asked(
    ways: list[list[str]], deeds: list[str], policy: Policy
) -> None:
    asyncio.run(ask_and_judge(ways, deeds, policy))


async def provider_of(models: RoutedModels, deed: str, shown: list[str]) -> str | None:
    """Does a deed; who answered, None where nobody did."""
    try:
        if deed == "embed":
            return (await models.embed(EmbedRequest(("soap", "salt")))).provider
        return (await models.chat(a_question(model="peer-chat"), shown.append if deed == "stream" else None)).provider
    except ModelError:
        return None


async def ask_and_judge(ways: list[list[str]], deeds: list[str], policy: Policy) -> None:
    """Does the deeds; after each, who was asked and what was paid must fit what came of it."""
    async with AsyncExitStack() as stack:
        peers = {name: await stack.enter_async_context(a_provider()) for name in ("one", "two", "three")}
        for peer, treated in zip(peers.values(), ways, strict=True):
            peer.ways.extend(treated)
        models = routed(peers, policy)
        order: list[str] = []
        for name, peer in peers.items():
            peer.on_call = lambda name=name: order.append(name)  # type: ignore[misc]
        for deed in deeds:
            order.clear()
            before, spoilt_before = sum(charged(peers)), sum(peer.spoilt for peer in peers.values())
            shown: list[str] = []
            provider = await provider_of(models, deed, shown)
            if provider is not None:
                assert order[-1] == provider, "nobody is asked after an answer"
            if shown:
                paid = sum(charged(peers)) - before
                spoilt = sum(peer.spoilt for peer in peers.values()) - spoilt_before
                assert paid - spoilt <= 1, "whoever showed a part is the only one who is paid for a good beginning"
            runs = [name for n, name in enumerate(order) if n == 0 or order[n - 1] != name]
            assert len(runs) == len(set(runs)), "nobody is asked again after another was"
            assert all(order.count(name) <= PATIENT.attempts for name in order)
        await close_clients()

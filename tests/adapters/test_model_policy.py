"""Who is asked first, and next: for any offers, any need and any policy."""

from hypothesis import given
from hypothesis import strategies as st

from nervio.adapters.models.policy import FORGET_SECONDS, Need, Paces, Policy, choose
from nervio.ports.models import Ability, Offer, Price

PROVIDERS = ("ours", "theirs", "others")
MODELS = ("small", "large", "meta/open")

prices = st.none() | st.builds(
    Price, st.integers(0, 10**8), st.integers(0, 10**8), st.sampled_from(("USD", "EUR")), st.none()
)
offers = st.lists(
    st.builds(Offer, st.sampled_from(PROVIDERS), st.sampled_from(MODELS), st.sampled_from(Ability), prices),
    max_size=12,
    unique_by=lambda offer: (offer.provider, offer.model, offer.ability),
)
wanted = st.sampled_from(("", "small", "meta/open", "ours/small", "ours/unlisted", "nobody/small", "meta/unlisted"))
needs = st.builds(Need, st.sampled_from(Ability), wanted, st.integers(0, 10**6), st.integers(1, 10**5))
allowed = st.none() | st.frozensets(st.sampled_from(PROVIDERS))
policies = st.sampled_from(Policy)


@given(offers, needs, policies, allowed)
def test_only_those_are_asked_who_can_and_may_and_each_once(
    offers: list[Offer], need: Need, policy: Policy, allowed: frozenset[str] | None
) -> None:
    chosen = choose(offers, need, policy, providers=PROVIDERS, allowed=allowed)
    assert all(offer.ability is need.ability for offer in chosen)
    assert all(allowed is None or offer.provider in allowed for offer in chosen)
    assert all(not need.model or need.model in (offer.model, f"{offer.provider}/{offer.model}") for offer in chosen)
    places = [(offer.provider, offer.model) for offer in chosen]
    assert len(places) == len(set(places))


@given(offers, st.sampled_from((Ability.CHAT, Ability.VISION)), policies, allowed)
def test_nobody_who_can_is_forgotten(
    offers: list[Offer], ability: Ability, policy: Policy, allowed: frozenset[str] | None
) -> None:
    chosen = choose(offers, Need(ability), policy, providers=PROVIDERS, allowed=allowed)
    able = [o for o in offers if o.ability is ability and (allowed is None or o.provider in allowed)]
    assert sorted(map(repr, chosen)) == sorted(map(repr, able))
    if policy is Policy.ORDER:
        assert chosen == able


@given(offers, st.integers(0, 10**6), st.integers(1, 10**5))
def test_the_cheapest_comes_first_and_what_has_no_known_price_last(
    offers: list[Offer], reads: int, writes: int
) -> None:
    chosen = choose(offers, Need(Ability.CHAT, "", reads, writes), Policy.CHEAPEST)
    costs = []
    for offer in chosen:
        price = offer.price
        cost = None if price is None else reads * price.input_micros + writes * price.output_micros
        is_known = price is not None and (price.currency == "USD" or cost == 0)
        costs.append(cost if is_known else None)
    known = [cost for cost in costs if cost is not None]
    assert costs[: len(known)] == sorted(known)


@given(offers, policies, st.dictionaries(st.sampled_from(PROVIDERS), st.floats(0, 10)))
def test_vectors_are_of_the_first_model_whatever_is_cheap_or_fast(
    offers: list[Offer], policy: Policy, paces: dict[str, float]
) -> None:
    chosen = choose(offers, Need(Ability.EMBED), policy, pace=lambda offer: paces.get(offer.provider))
    first = next((offer for offer in offers if offer.ability is Ability.EMBED), None)
    assert {offer.model for offer in chosen} == ({first.model} if first else set())


@given(offers, st.dictionaries(st.sampled_from(PROVIDERS), st.floats(0.001, 10)))
def test_the_fastest_comes_first_after_those_that_nobody_has_tried(
    offers: list[Offer], paces: dict[str, float]
) -> None:
    chosen = choose(offers, Need(Ability.CHAT), Policy.FASTEST, pace=lambda offer: paces.get(offer.provider))
    seen = [paces.get(offer.provider, 0.0) for offer in chosen]
    assert seen == sorted(seen)


def test_a_model_whose_name_has_a_slash_is_found_before_a_provider_of_that_name() -> None:
    offers = [Offer("meta", "open", Ability.CHAT), Offer("ours", "meta/open", Ability.CHAT)]
    (chosen,) = choose(offers, Need(Ability.CHAT, "meta/open"), Policy.ORDER, providers=("meta", "ours"))
    assert chosen.provider == "ours"


def test_a_model_that_is_not_listed_can_be_asked_of_a_named_provider() -> None:
    (chosen,) = choose([], Need(Ability.CHAT, "ours/next"), Policy.ORDER, providers=("ours",))
    assert chosen == Offer("ours", "next", Ability.CHAT)


def test_what_was_slow_once_is_looked_at_again() -> None:
    slow, quick = Offer("slow", "m", Ability.CHAT), Offer("quick", "m", Ability.CHAT)
    paces = Paces()
    assert paces.pace(slow, 0.0) is None
    paces.learn(slow, 10.0, 100, now=0.0)
    paces.learn(quick, 1.0, 100, now=0.0)

    def first(now: float) -> str:
        return choose([slow, quick], Need(Ability.CHAT), Policy.FASTEST, pace=lambda o: paces.pace(o, now))[0].provider

    assert first(0.0) == "quick"
    paces.learn(quick, 1.0, 100, now=4 * FORGET_SECONDS)
    assert first(4 * FORGET_SECONDS) == "slow"


def test_a_single_word_does_not_look_slow() -> None:
    offer = Offer("ours", "m", Ability.CHAT)
    paces = Paces()
    paces.learn(offer, 0.32, 1, now=0.0)
    assert paces.pace(offer, 0.0) == 0.01

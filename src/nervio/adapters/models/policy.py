"""Which model is asked, and who is asked next when it fails: rules on plain values."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from nervio.ports.models import Ability, Offer

GUESSED_ANSWER_TOKENS = 500
"""How long an answer is taken to be, where a request does not bound it, to compare prices."""

Pace = Callable[[Offer], float | None]
"""Seconds that an offer was seen to take, in a unit that is the same for all; None where it was not tried of late."""


class Policy(StrEnum):
    """What decides between models that can all do it."""

    ORDER = "order"
    """The first in order; the others when it fails."""
    CHEAPEST = "cheapest"
    """The least cost by our prices; models whose price is not known, or in another currency, last."""
    FASTEST = "fastest"
    """What answered fastest of late; what was not tried of late comes first once, to be seen."""


@dataclass(frozen=True, slots=True)
class Restriction:
    """What a tenant may use, and how it chooses, where that differs from everybody else."""

    providers: frozenset[str] | None = None
    """None: all."""
    policy: Policy | None = None


@dataclass(frozen=True, slots=True)
class Need:
    """What is wanted: an ability, perhaps a model, and how much there is to read and to write."""

    ability: Ability
    model: str = ""
    input_tokens: int = 0
    output_tokens: int = GUESSED_ANSWER_TOKENS


def choose(
    offers: Sequence[Offer],
    need: Need,
    policy: Policy,
    *,
    providers: Collection[str] = (),
    allowed: Collection[str] | None = None,
    currency: str = "USD",
    pace: Pace = lambda _offer: None,
) -> list[Offer]:
    """The offers to try, the first first; empty where nobody can. `allowed` are those of the `providers` that may be asked.

    Where no model is wanted by name, embeddings are of one model whatever the policy: the first in order. Vectors of two models
    cannot be compared, so another provider may step in only with the same model.
    """
    able = [offer for offer in _named(offers, need, providers) if allowed is None or offer.provider in allowed]
    if need.ability is Ability.EMBED and able:
        able = [offer for offer in able if offer.model == able[0].model]
    match policy:
        case Policy.ORDER:
            return able
        case Policy.CHEAPEST:
            return sorted(able, key=lambda offer: _cost(offer, need, currency))
        case Policy.FASTEST:
            return sorted(able, key=lambda offer: pace(offer) or 0.0)


def _named(offers: Sequence[Offer], need: Need, providers: Collection[str]) -> list[Offer]:
    able = [offer for offer in offers if offer.ability is need.ability]
    if not need.model:
        return able
    by_model = [offer for offer in able if offer.model == need.model]
    if by_model:
        return by_model
    # A model that is not listed can still be asked of a provider that is named: `openai/gpt-next`.
    provider, _, model = need.model.partition("/")
    if not model or provider not in providers:
        return []
    listed = [offer for offer in able if (offer.provider, offer.model) == (provider, model)]
    return listed or [Offer(provider, model, need.ability)]


def _cost(offer: Offer, need: Need, currency: str) -> tuple[bool, int]:
    price = offer.price
    if price is None:
        return True, 0
    cost = need.input_tokens * price.input_micros + need.output_tokens * price.output_micros
    # What costs nothing costs nothing in every currency.
    return bool(cost and price.currency != currency), cost


PaceKey = tuple[str, str, Ability]

WEIGHT = 0.3
"""How much the newest of several observations counts."""
FORGET_SECONDS = 600.0
"""After so long an observation counts half: who was slow once is looked at again."""
LEAST_TOKENS = 32
"""Shorter answers count as long as this, or a single word would look slow."""


class Paces:
    """How fast offers were, learned as calls end: a moving average of seconds a token, which fades."""

    def __init__(self) -> None:
        self._seen: dict[PaceKey, tuple[float, float]] = {}

    def learn(self, offer: Offer, seconds: float, tokens: int, now: float) -> None:
        """A call that was answered. `now` is the monotonic clock in seconds."""
        key = offer.provider, offer.model, offer.ability
        pace = max(seconds, 0.0) / max(tokens, LEAST_TOKENS)
        before = self._seen.get(key)
        self._seen[key] = (pace if before is None else before[0] + WEIGHT * (pace - before[0])), now

    def pace(self, offer: Offer, now: float) -> float | None:
        """Seconds a token, less the longer it is ago; None where it was never seen."""
        seen = self._seen.get((offer.provider, offer.model, offer.ability))
        if seen is None:
            return None
        pace, at = seen
        return float(pace * 0.5 ** (max(now - at, 0.0) / FORGET_SECONDS))

"""Several providers as one: the policy says who is asked, and when that one fails, the next that can is.

The first answer is taken and nobody else is asked. Once a part of an answer was shown there is no other provider either: whoever
watched would see a second beginning.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from nervio.adapters.models import tokens
from nervio.adapters.models.policy import GUESSED_ANSWER_TOKENS, Need, Paces, Policy, Restriction, choose
from nervio.ports.clock import Clock
from nervio.ports.models import (
    Ability,
    ChatAnswer,
    ChatRequest,
    EmbedAnswer,
    EmbedRequest,
    Emit,
    Failure,
    ModelError,
    Models,
    Offer,
)

log = logging.getLogger(__name__)

T = TypeVar("T", ChatAnswer, EmbedAnswer)

FAILED_SECONDS = 60.0
"""What a failure counts for where the fastest is looked for: to fail at once is not fast."""

_OF_THE_WHOLE_PROVIDER = frozenset({Failure.UNREACHABLE, Failure.REFUSED})
"""After these no other model of the same provider is tried."""


class RoutedModels:
    """See `Models`. `providers` in the order of preference; `setting` is the prefix of the variables that an error names."""

    def __init__(
        self,
        providers: Mapping[str, Models],
        clock: Clock,
        *,
        policy: Policy = Policy.ORDER,
        restrictions: Mapping[str, Restriction] | None = None,
        currency: str = "USD",
        setting: str = "NERVIO_MODELS",
    ) -> None:
        self._providers, self._clock = providers, clock
        self._policy, self._currency, self._setting = policy, currency, setting
        self._restrictions = restrictions or {}
        self._paces = Paces()
        self._offers = tuple(offer for models in providers.values() for offer in models.offers)

    @property
    def offers(self) -> tuple[Offer, ...]:
        """See `Models`."""
        return self._offers

    async def chat(self, request: ChatRequest, emit: Emit | None = None) -> ChatAnswer:
        """See `Models`."""
        shown = 0

        def show(words: str) -> None:
            nonlocal shown
            shown += 1
            assert emit is not None
            emit(words)

        async def ask(offer: Offer) -> ChatAnswer:
            asked = replace(request, model=offer.model)
            return await self._providers[offer.provider].chat(asked, None if emit is None else show)

        input_tokens = tokens.of_messages(request.messages)
        need = Need(request.ability, request.model, input_tokens, request.max_tokens or GUESSED_ANSWER_TOKENS)
        return await self._first(need, request.tenant_id, ask, lambda: shown == 0)

    async def embed(self, request: EmbedRequest) -> EmbedAnswer:
        """See `Models`."""

        async def ask(offer: Offer) -> EmbedAnswer:
            return await self._providers[offer.provider].embed(replace(request, model=offer.model))

        need = Need(Ability.EMBED, request.model, tokens.of_texts(request.texts), 0)
        return await self._first(need, request.tenant_id, ask, lambda: True)

    async def close(self) -> None:
        """See `Models`."""
        for models in self._providers.values():
            await models.close()

    async def _first(
        self,
        need: Need,
        tenant_id: str,
        ask: Callable[[Offer], Awaitable[T]],
        may_go_on: Callable[[], bool],
    ) -> T:
        """The answer of the first that gives one. Raises ModelError, which says of each what kept it."""
        errors: list[ModelError] = []
        given_up: set[str] = set()
        for offer in self._choose(need, tenant_id):
            if offer.provider in given_up:
                continue
            started = self._clock.monotonic()
            try:
                answer = await ask(offer)
            except ModelError as error:
                errors.append(error)
                self._paces.learn(offer, FAILED_SECONDS, 0, self._clock.monotonic())
                if not may_go_on():
                    raise
                if error.failure in _OF_THE_WHOLE_PROVIDER:
                    given_up.add(offer.provider)
                log.warning(
                    "model_failed", extra={"provider": offer.provider, "model": offer.model, "error": str(error)}
                )
                continue
            now = self._clock.monotonic()
            used = answer.usage.output_tokens or answer.usage.input_tokens
            self._paces.learn(offer, now - started, used, now)
            return answer
        raise _of_all(errors)

    def _choose(self, need: Need, tenant_id: str) -> list[Offer]:
        restriction = self._restrictions.get(tenant_id, Restriction())
        now = self._clock.monotonic()
        chosen = choose(
            self._offers,
            need,
            restriction.policy or self._policy,
            providers=self._providers,
            allowed=restriction.providers,
            currency=self._currency,
            pace=lambda offer: self._paces.pace(offer, now),
        )
        if not chosen:
            raise self._not_offered(need, restriction)
        return chosen

    def _not_offered(self, need: Need, restriction: Restriction) -> ModelError:
        wanted = f"{need.model!r} for {need.ability.value}" if need.model else need.ability.value
        if restriction.providers is not None:
            setting = f"{self._setting}__TENANTS"
            message = f"no provider that this shop may use offers {wanted}. See {setting}."
        else:
            setting = f"{self._setting}__PROVIDERS"
            known = sorted(
                {f"{offer.provider}/{offer.model}" for offer in self._offers if offer.ability is need.ability}
            )
            offered = f" There are: {', '.join(known)}." if known else ""
            message = (
                f"no provider offers {wanted}.{offered} See {setting}__<NAME>__{need.ability.value.upper()}_MODELS."
            )
        return ModelError(Failure.NOT_OFFERED, message, setting=setting)


def _of_all(errors: Sequence[ModelError]) -> ModelError:
    """One error for several: it may help to try again where it may for any of them, after the shortest wait."""
    if len(errors) == 1:
        return errors[0]
    hopeful = [error for error in errors if error.may_help]
    first = (hopeful or errors)[0]
    waits = [error.retry_after_seconds for error in hopeful]
    told = [wait for wait in waits if wait is not None]
    return ModelError(
        first.failure,
        f"nobody answered. {' '.join(map(str, errors))}",
        provider=first.provider,
        setting=first.setting,
        may_help=bool(hopeful),
        # One that says no time may be asked at once.
        retry_after_seconds=min(told) if told and len(told) == len(waits) else None,
    )

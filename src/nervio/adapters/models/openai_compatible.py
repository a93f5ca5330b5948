"""One provider that speaks like OpenAI: chat, pictures and embeddings, whole or in parts as they come."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from nervio.adapters.models import tokens, wire
from nervio.adapters.models.attempts import Attempts, Limits
from nervio.adapters.models.breaker import Breaker
from nervio.adapters.models.connection import Broken, Connection, Place, Response, TooMuch
from nervio.adapters.models.failures import Failures, Settings
from nervio.adapters.models.prices import PriceBook
from nervio.adapters.models.quirks import Quirks
from nervio.adapters.models.streams import DONE, EventLines
from nervio.kernel.time import SECOND
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
    Offer,
    Price,
    Usage,
)

T = TypeVar("T")

AFTER_THE_END_SECONDS = 1.0
"""How long a stream that said its last word may take to close, so that its connection can serve again."""

LARGE_BYTES = 262_144
"""Vectors of more than this are read beside the loop, which is everybody's."""


@dataclass(frozen=True, slots=True)
class Provider:
    """What is known of a provider: its own name and that of its preset, how it differs, where it lies, what it is asked for."""

    name: str
    preset: str
    quirks: Quirks
    settings: Settings
    base_url: str
    models: Mapping[Ability, tuple[str, ...]]
    allow_private: bool = False


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request as it leaves."""

    path: str
    body: bytes
    model: str
    ability: Ability
    key: str


class OpenAICompatible:
    """See `Models`."""

    def __init__(
        self,
        provider: Provider,
        clock: Clock,
        *,
        limits: Limits | None = None,
        prices: PriceBook | None = None,
        breaker: Breaker | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._provider, self._clock = provider, clock
        self._limits = limits or Limits()
        self._prices = prices or PriceBook()
        self._failures = Failures(provider.settings)
        self._attempts = Attempts(self._failures, breaker or Breaker(), self._limits, clock, draw)
        self._sizes: dict[str, int] = {}
        quirks, key = provider.quirks, provider.settings.key
        headers = {quirks.key_header: f"{quirks.key_prefix}{key}"} if key else {}
        seconds = self._limits.connect_seconds
        self._connection = Connection(Place(provider.base_url, headers, provider.allow_private, seconds))

    def __repr__(self) -> str:
        return f"OpenAICompatible({self._provider.name}, {self._provider.base_url})"

    @property
    def offers(self) -> tuple[Offer, ...]:
        """See `Models`."""
        return tuple(
            Offer(self._provider.name, model, ability, self._price(model))
            for ability in Ability
            for model in self._provider.models.get(ability, ())
        )

    async def chat(self, request: ChatRequest, emit: Emit | None = None) -> ChatAnswer:
        """See `Models`."""
        model = self._model(request.model, request.ability)
        body = wire.chat_body(request, model, self._provider.quirks, streams=emit is not None)
        asked = _Asked("chat/completions", body, model, request.ability, request.key)
        shown = 0

        def show(words: str) -> None:
            nonlocal shown
            shown += 1
            assert emit is not None
            emit(words)

        attempt = partial(self._whole, asked) if emit is None else partial(self._streamed, asked, show)
        heard = await self._attempts.run(model, attempt, lambda: shown == 0)
        usage = wire.chat_usage(heard, request, self._price(model))
        return ChatAnswer(heard.text, model, self._provider.name, heard.finish_reason, usage)

    async def embed(self, request: EmbedRequest) -> EmbedAnswer:
        """See `Models`. Many texts go in several requests, one after the other."""
        model = self._model(request.model, Ability.EMBED)
        most = self._provider.quirks.most_texts
        vectors: list[list[float]] = []
        usages: list[Usage] = []
        for start in range(0, len(request.texts), most):
            key = f"{request.key}:{start}" if request.key else ""
            attempt = partial(self._embedded, request.texts[start : start + most], model, key)
            found, usage = await self._attempts.run(model, attempt)
            vectors += found
            usages.append(usage)
        return EmbedAnswer(vectors, model, self._provider.name, _together(usages))

    async def close(self) -> None:
        """See `Models`."""
        await self._connection.close()

    def _model(self, asked: str, ability: Ability) -> str:
        """The model that is asked for, without the provider's name, or the first of the ability."""
        listed = self._provider.models.get(ability, ())
        if asked:
            return asked.removeprefix(f"{self._provider.name}/")
        if listed:
            return listed[0]
        variable = self._provider.settings.models_for(ability)
        message = f"{self._provider.name}: no model is named for {ability.value}. See {variable}."
        raise ModelError(Failure.NOT_OFFERED, message, provider=self._provider.name, setting=variable)

    def _price(self, model: str) -> Price | None:
        return self._prices.find(model, self._provider.name, self._provider.preset)

    async def _whole(self, asked: _Asked, deadline: float) -> wire.Heard:
        return self._read(wire.whole, await self._body(asked, deadline))

    async def _embedded(
        self, texts: Sequence[str], model: str, key: str, deadline: float
    ) -> tuple[list[list[float]], Usage]:
        body = wire.embed_body(texts, model)
        answer = await self._body(_Asked("embeddings", body, model, Ability.EMBED, key), deadline)
        reading = partial(self._read, partial(wire.vectors_of, count=len(texts)), answer)
        vectors, told = await asyncio.to_thread(reading) if len(answer) > LARGE_BYTES else reading()
        size = self._sizes.setdefault(model, len(vectors[0]))
        if len(vectors[0]) != size:
            raise self._failures.malformed(f"vectors of {model} have {len(vectors[0])} numbers and had {size} before")
        return vectors, wire.usage_of(told, self._price(model), tokens.of_texts(texts), 0)

    async def _body(self, asked: _Asked, deadline: float) -> bytes:
        """The body of an answer that comes in one piece."""
        try:
            async with self._exchange(asked, deadline) as (response, _):
                await self._judge(response, asked)
                return (await response.read()).body
        except TimeoutError:
            raise self._late("no whole answer", "whole_seconds") from None

    async def _streamed(self, asked: _Asked, show: Emit, deadline: float) -> wire.Heard:
        limits = self._limits
        time_of = asyncio.get_running_loop().time
        heard, events = wire.Heard(), 0
        try:
            first_by = min(deadline, time_of() + limits.first_part_seconds)
            async with self._exchange(asked, first_by) as (response, timer):
                await self._judge(response, asked)
                if response.kind != "text/event-stream":
                    timer.reschedule(deadline)
                    heard = self._read(wire.whole, (await response.read()).body)
                    show(heard.text)
                    return heard
                lines = EventLines()
                async for piece in response.pieces():
                    found = lines.feed(piece)
                    # A comment says that the line is there, not that the model works.
                    if found:
                        events += len(found)
                        self._take(heard, found, show)
                        gap = AFTER_THE_END_SECONDS if heard.is_done else limits.next_part_seconds
                        timer.reschedule(min(deadline, time_of() + gap))
                self._take(heard, lines.rest(), show)
        except TimeoutError:
            # Whoever said why it stopped has said everything; only what it used may be missing.
            if not heard.finish_reason:
                if time_of() >= deadline:
                    raise self._late("no whole answer", "whole_seconds") from None
                if events:
                    raise self._late("no next part of the answer", "next_part_seconds") from None
                raise self._late("no first part of the answer", "first_part_seconds") from None
        except ModelError:
            if not heard.finish_reason:
                raise
        if not heard.finish_reason:
            raise self._failures.malformed("the answer ended in the middle")
        return heard

    def _take(self, heard: wire.Heard, found: Sequence[bytes], show: Emit) -> None:
        for data in found:
            if heard.is_done or data == DONE:
                heard.is_done = True
                return
            chunk = self._read(wire.decoded, data)
            if isinstance(chunk, dict) and chunk.get("error"):
                raise self._failures.in_stream(chunk["error"])
            words = self._read(partial(wire.hear, heard), chunk)
            if words:
                show(words)

    @asynccontextmanager
    async def _exchange(self, asked: _Asked, until: float) -> AsyncIterator[tuple[Response, asyncio.Timeout]]:
        """An answer whose head is there, and the timer that ends it with a TimeoutError. What breaks is a ModelError."""
        headers = {"Idempotency-Key": _repeatable(asked)} if asked.key else None
        most = self._limits.largest_answer_bytes
        try:
            async with (
                asyncio.timeout_at(until) as timer,
                self._connection.post(asked.path, asked.body, most, headers) as response,
            ):
                yield response, timer
        except Broken as error:
            made = self._failures.malformed if error.has_begun else self._failures.unreachable
            raise made(str(error)) from None
        except TooMuch:
            setting = f"{self._limits.setting}__LARGEST_ANSWER_BYTES"
            raise self._failures.too_large(most, setting) from None

    async def _judge(self, response: Response, asked: _Asked) -> None:
        """Raises ModelError where the head alone says that this is no answer."""
        if response.status != 200:
            now = self._clock.now() / SECOND
            raise self._failures.of_reply(await response.read(), asked.model, asked.ability, now)
        if response.kind not in ("application/json", "text/event-stream"):
            kind = response.kind or "nothing that says its kind"
            raise self._failures.malformed(f"the answer is {kind}, not JSON", is_address_doubtful=True)

    def _read(self, reading: Callable[..., T], what: object) -> T:
        try:
            return reading(what)
        except wire.Nonsense as error:
            raise self._failures.malformed(str(error)) from None

    def _late(self, what: str, limit: str) -> ModelError:
        seconds: float = getattr(self._limits, limit)
        return self._failures.timeout(what, seconds, f"{self._limits.setting}__{limit.upper()}")


def _repeatable(asked: _Asked) -> str:
    """The same for the same request of the same task; hashed, because a header does not take every letter of a model's name."""
    return hashlib.sha256(f"{asked.key}\n{asked.model}\n".encode() + asked.body).hexdigest()


def _together(usages: Sequence[Usage]) -> Usage:
    """The sum; its cost is known where each is."""
    costs = [usage.cost_micros for usage in usages]
    return Usage(
        sum(usage.input_tokens for usage in usages),
        sum(usage.output_tokens for usage in usages),
        None if None in costs else sum(cost for cost in costs if cost is not None),
        usages[0].currency,
        sum(usage.cached_tokens for usage in usages),
        any(usage.is_estimated for usage in usages),
    )

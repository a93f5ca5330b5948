"""Requests as OpenAI-compatible endpoints take them, and what their answers mean. No connection, no state."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from nervio.adapters.models import tokens
from nervio.adapters.models.prices import priced
from nervio.adapters.models.quirks import Quirks
from nervio.ports.models import ChatRequest, Message, Price, Text, Usage


class Nonsense(Exception):
    """An answer that has not the shape of one; the text says what is missing."""


def chat_body(request: ChatRequest, model: str, quirks: Quirks, *, streams: bool) -> bytes:
    """The body of `POST chat/completions`."""
    body: dict[str, Any] = {"model": model, "messages": [_message(message) for message in request.messages]}
    if request.max_tokens is not None:
        body[quirks.max_tokens] = request.max_tokens
    if request.temperature is not None and not model.startswith(quirks.fixed_temperature or (" ",)):
        body["temperature"] = request.temperature
    if streams:
        body["stream"] = True
        if quirks.asks_for_usage:
            body["stream_options"] = {"include_usage": True}
    return orjson.dumps(body)


def embed_body(texts: Sequence[str], model: str) -> bytes:
    """The body of `POST embeddings`."""
    # Not base64, which is smaller on the way: numbers of 32 bits that became numbers of 64 are twice as long when they are
    # written again, and the vectors of a task are written several times.
    return orjson.dumps({"model": model, "input": list(texts), "encoding_format": "float"})


def _message(message: Message) -> dict[str, Any]:
    if not message.pictures:
        return {"role": message.role.value, "content": message.text}
    parts = [
        {"type": "text", "text": part.text}
        if isinstance(part, Text)
        else {"type": "image_url", "image_url": {"url": part.url}}
        for part in message.parts
    ]
    return {"role": message.role.value, "content": parts}


@dataclass(slots=True)
class Heard:
    """An answer as far as it was heard."""

    parts: list[str] = field(default_factory=list)
    finish_reason: str = ""
    usage: Any = None
    is_done: bool = False
    """Whether the stream has said its last word."""

    @property
    def text(self) -> str:
        """All parts together."""
        return "".join(self.parts)


def hear(heard: Heard, chunk: Any) -> str:
    """Takes a chunk of a stream and gives the words in it, none of some. Raises Nonsense."""
    if not isinstance(chunk, dict):
        raise Nonsense("a chunk is no object")
    usage = chunk.get("usage")
    if usage is not None:
        heard.usage = usage
    choices = chunk.get("choices")
    if not choices:
        return ""
    choice = _first(choices)
    delta = choice.get("delta")
    if not isinstance(delta, dict):
        raise Nonsense("a chunk has no delta")
    reason = choice.get("finish_reason")
    if reason:
        heard.finish_reason = str(reason)
    words = delta.get("content") or delta.get("refusal")
    if not words:
        return ""
    if not isinstance(words, str):
        raise Nonsense("a chunk's content is no text")
    heard.parts.append(words)
    return words


def whole(body: bytes) -> Heard:
    """An answer that came in one piece. Raises Nonsense."""
    answer = decoded(body)
    if not isinstance(answer, dict):
        raise Nonsense("the answer is no object")
    first = _first(answer.get("choices"))
    message = first.get("message")
    if not isinstance(message, dict):
        raise Nonsense("the answer has no message")
    words = message.get("content") or message.get("refusal") or ""
    if not isinstance(words, str):
        raise Nonsense("the answer's content is no text")
    return Heard([words] if words else [], str(first.get("finish_reason") or "stop"), answer.get("usage"))


def vectors_of(body: bytes, count: int) -> tuple[list[list[float]], Any]:
    """The vectors of an answer in the order of the texts, and its usage. Raises Nonsense.

    Half a batch, a place that is filled twice, vectors of two sizes and numbers that are none are all no answer.
    """
    answer = decoded(body)
    data = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(data, list):
        raise Nonsense("the answer has no data")
    if len(data) != count:
        raise Nonsense(f"the answer has {len(data)} vectors of {count}")
    placed: dict[int, list[float]] = {}
    for n, item in enumerate(data):
        place = item.get("index", n) if isinstance(item, dict) else None
        if not isinstance(place, int) or not 0 <= place < count or place in placed:
            raise Nonsense("the vectors of the answer are in no order")
        placed[place] = _vector(item.get("embedding"))
    vectors = [placed[place] for place in range(count)]
    sizes = {len(vector) for vector in vectors}
    if len(sizes) != 1 or 0 in sizes:
        raise Nonsense(f"the vectors of the answer have {' and '.join(map(str, sorted(sizes)))} numbers")
    return vectors, answer.get("usage")


def _vector(given: Any) -> list[float]:
    if not isinstance(given, list):
        raise Nonsense("a vector is missing")
    try:
        if all(map(math.isfinite, given)):
            return given
    except (TypeError, OverflowError):
        pass
    raise Nonsense("a vector holds what is no number")


def usage_of(told: Any, price: Price | None, estimated_input: int, estimated_output: int) -> Usage:
    """What was used, as the provider tells it; by rule where it does not."""
    told = told if isinstance(told, dict) else {}
    asked, answered = _count(told.get("prompt_tokens")), _count(told.get("completion_tokens"))
    # An embedding has no completion.
    if asked is None or (answered is None and estimated_output):
        return priced(price, estimated_input, estimated_output, is_estimated=True)
    # Some count what a model thought into the total only, and charge for it as output.
    answered = max(answered or 0, (_count(told.get("total_tokens")) or 0) - asked)
    details = told.get("prompt_tokens_details")
    cached = _count(details.get("cached_tokens")) if isinstance(details, dict) else None
    if cached is None:
        cached = _count(told.get("prompt_cache_hit_tokens"))
    return priced(price, asked, answered, cached or 0)


def chat_usage(heard: Heard, request: ChatRequest, price: Price | None) -> Usage:
    """What a chat used."""
    return usage_of(heard.usage, price, tokens.of_messages(request.messages), tokens.of_text(heard.text))


def decoded(body: bytes) -> Any:
    """Bytes as JSON. Raises Nonsense."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Nonsense("the answer is no JSON") from None


def _first(choices: Any) -> dict[str, Any]:
    """The one choice that was asked for; an empty one where there is none."""
    return choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None

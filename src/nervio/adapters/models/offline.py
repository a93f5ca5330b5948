"""A model without weights and without a network: what a shop has until somebody gives it a better one, and what tests ask.

Its answers say that it is the offline model and what it was given, nothing else. Its vectors are counts of hashed words and
character trigrams: texts that share words or spelling lie close, meaning it knows nothing of. Both are the same in every process,
on every machine and version of Python (letters newer than Unicode 3.2 are taken as they are).
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from nervio.adapters.models import tokens
from nervio.adapters.models.prices import FREE, priced
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
    Role,
)

NAME = "offline"
CHAT_MODEL = "offline-chat"
EMBED_MODEL = "offline-hash-384"
DIMENSIONS = 384

WORD_WEIGHT = 2
TRIGRAM_WEIGHT = 1
LARGE_CHARACTERS = 2_000
MOST_SHOWN = 160
"""Characters of the question that an answer repeats."""

_WORDS = re.compile(r"\w+")
_SPANISH = frozenset(
    [
        "cuanto",
        "cuantos",
        "cuanta",
        "que",
        "cual",
        "como",
        "donde",
        "quien",
        "por",
        "para",
        "hay",
        "el",
        "la",
        "los",
        "las",
        "un",
        "una",
        "de",
        "del",
        "y",
    ]
)
_ENGLISH = frozenset(
    [
        "how",
        "what",
        "which",
        "where",
        "who",
        "why",
        "is",
        "are",
        "the",
        "a",
        "an",
        "of",
        "and",
        "for",
        "there",
        "many",
        "much",
        "do",
        "does",
    ]
)
_OFFERS = (
    Offer(NAME, CHAT_MODEL, Ability.CHAT, FREE),
    Offer(NAME, CHAT_MODEL, Ability.VISION, FREE),
    Offer(NAME, EMBED_MODEL, Ability.EMBED, FREE),
)
# Frozen: the tables of the running Python learn new letters with every version.
_unicode = unicodedata.ucd_3_2_0


class OfflineModels:
    """See `Models`. Costs nothing; `hint` is a sentence that says how to get a better one."""

    def __init__(self, hint: str = "") -> None:
        self._hint = hint

    @property
    def offers(self) -> tuple[Offer, ...]:
        """See `Models`."""
        return _OFFERS

    async def chat(self, request: ChatRequest, emit: Emit | None = None) -> ChatAnswer:
        """See `Models`. Shows its answer word by word."""
        _refuse_others(request.model, CHAT_MODEL)
        shown: list[str] = []
        length, reason = 0, "stop"
        for word in _words_of(self._answer(request)):
            length += len(word.encode())
            if request.max_tokens is not None and -(-length // tokens.BYTES_A_TOKEN) > request.max_tokens:
                reason = "length"
                break
            shown.append(word)
            if emit is not None:
                emit(word)
        text = "".join(shown)
        usage = priced(FREE, tokens.of_messages(request.messages), tokens.of_text(text), is_estimated=True)
        return ChatAnswer(text, CHAT_MODEL, NAME, reason, usage)

    async def embed(self, request: EmbedRequest) -> EmbedAnswer:
        """See `Models`."""
        _refuse_others(request.model, EMBED_MODEL)
        # Beside the loop, which is everybody's.
        if sum(map(len, request.texts)) > LARGE_CHARACTERS:
            vectors = await asyncio.to_thread(lambda: [vector_of(text) for text in request.texts])
        else:
            vectors = [vector_of(text) for text in request.texts]
        usage = priced(FREE, tokens.of_texts(request.texts), 0, is_estimated=True)
        return EmbedAnswer(vectors, EMBED_MODEL, NAME, usage)

    async def close(self) -> None:
        """Holds nothing."""

    def _answer(self, request: ChatRequest) -> str:
        asked = [message.text for message in request.messages if message.role is Role.USER]
        question = " ".join(asked[-1].split()) if asked else ""
        shown = question if len(question) <= MOST_SHOWN else question[: MOST_SHOWN - 1] + "…"
        words = len(_WORDS.findall(question))
        pictures = [picture.url for message in request.messages for picture in message.pictures]
        if _is_spanish(question):
            text = (
                "Soy el modelo sin conexión de Nervio: no hay un modelo de lenguaje configurado, así que no puedo "
                f"razonar sobre esto. Recibí {words} palabras: «{shown}»."
            )
            seen = "".join(f" Imagen {n}: {_described(url)}." for n, url in enumerate(pictures, 1))
        else:
            text = (
                "I am Nervio's offline model: no language model is configured, so I cannot reason about this. "
                f"I was given {words} words: “{shown}”."
            )
            seen = "".join(f" Picture {n}: {_described(url)}." for n, url in enumerate(pictures, 1))
        return f"{text}{seen} {self._hint}".rstrip()


def vector_of(text: str) -> list[float]:
    """The vector of a text, of length 1. Case, accents and spaces do not count.

    Counts of features are added into `DIMENSIONS` numbers, where and with which sign a hash of the feature says (Weinberger et
    al., Feature Hashing for Large Scale Multitask Learning, 2009). All of it is whole numbers until one last division, so that
    no machine rounds differently.
    """
    sums = [0] * DIMENSIONS
    folded = fold(text)
    for feature, weight in _features(folded).items():
        number = int.from_bytes(
            hashlib.blake2b(feature.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big"
        )
        sums[(number >> 1) % DIMENSIONS] += weight if number & 1 else -weight
    square = sum(value * value for value in sums)
    if square == 0:
        # Nothing to count, or counts that cancel out: still a vector of length 1, and the same for the same text.
        sums[len(folded) % DIMENSIONS] = square = 1
    length = math.sqrt(square)
    return [value / length for value in sums]


def fold(text: str) -> str:
    """Lower case without accents, one space between words."""
    split = _unicode.normalize("NFKD", text.lower())
    return " ".join("".join(letter for letter in split if not _unicode.combining(letter)).split())


def _features(folded: str) -> Counter[str]:
    counts: Counter[str] = Counter()
    for word in _WORDS.findall(folded) or [folded]:
        counts[f"w {word}"] += WORD_WEIGHT
        framed = f" {word} "
        for start in range(len(framed) - 2):
            counts[f"t {framed[start : start + 3]}"] += TRIGRAM_WEIGHT
    return counts


def _words_of(text: str) -> Sequence[str]:
    return re.findall(r"\S+\s*", text)


def _is_spanish(question: str) -> bool:
    """Ours are Spanish-speaking users first: Spanish where nothing speaks for English."""
    words = set(_WORDS.findall(fold(question)))
    return "¿" in question or len(words & _SPANISH) >= len(words & _ENGLISH)


def _described(url: str) -> str:
    kind = url[5:].partition(";")[0] if url.startswith("data:") else "https"
    digest = hashlib.blake2b(url.encode(), digest_size=4).hexdigest()
    return f"{kind}, {len(url)} B, {digest}"


def _refuse_others(model: str, ours: str) -> None:
    if model not in ("", ours, f"{NAME}/{ours}"):
        raise ModelError(
            Failure.UNKNOWN_MODEL, f"the offline model is called {ours}; there is no {model!r} here", provider=NAME
        )

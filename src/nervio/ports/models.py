"""Models that answer, look at pictures and turn text into vectors: one shape for all who offer them.

An answer that was taken is final: nobody asks for it again. What it used is told with it, and what it cost where the price is
known. A price that is not known is None, never zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

MICROS = 1_000_000
"""Money of models is counted in millionths of a currency's unit: a single answer costs a fraction of a cent."""


class Ability(StrEnum):
    """What a model can be asked for."""

    CHAT = "chat"
    VISION = "vision"
    """Chat over messages that hold pictures."""
    EMBED = "embed"


class Role(StrEnum):
    """Who says a message."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True)
class Text:
    """Words of a message."""

    text: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of a message: a `data:` URL with base64, or an https address that the provider itself fetches."""

    url: str


@dataclass(frozen=True, slots=True)
class Message:
    """What one of the two said."""

    role: Role
    parts: tuple[Text | Picture, ...]

    @property
    def text(self) -> str:
        """Its words without its pictures."""
        return "\n".join(part.text for part in self.parts if isinstance(part, Text))

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """Its pictures."""
        return tuple(part for part in self.parts if isinstance(part, Picture))


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What a model is to answer. No `model` leaves the choice to the policy; `provider/model` names both.

    `max_tokens` bounds the answer, `temperature` goes from 0 to 2. Who repeats a request gives it the same `key`: a provider that
    knows keys answers once.
    """

    messages: tuple[Message, ...]
    model: str = ""
    max_tokens: int | None = None
    temperature: float | None = None
    tenant_id: str = ""
    key: str = ""

    @property
    def ability(self) -> Ability:
        """What it takes to answer it."""
        return Ability.VISION if any(message.pictures for message in self.messages) else Ability.CHAT


@dataclass(frozen=True, slots=True)
class EmbedRequest:
    """Texts that are to become vectors, in their order. See `ChatRequest` for the rest."""

    texts: tuple[str, ...]
    model: str = ""
    tenant_id: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """What an answer took. `cost_micros` is in millionths of `currency`'s unit, rounded up; None where the price is not known.

    `cached_tokens` are those of `input_tokens` that the provider had read before and charges less for. `is_estimated` says that
    the provider told no tokens and they were counted by rule, so that the cost is an estimate too.
    """

    input_tokens: int
    output_tokens: int
    cost_micros: int | None
    currency: str = ""
    cached_tokens: int = 0
    is_estimated: bool = False


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """A whole answer and who gave it. `finish_reason` is the provider's: `stop`, `length` where it was cut at `max_tokens`, …"""

    text: str
    model: str
    provider: str
    finish_reason: str
    usage: Usage


@dataclass(frozen=True, slots=True)
class EmbedAnswer:
    """A vector a text, in the order of the texts, all of one size. Vectors of two models cannot be compared."""

    vectors: Sequence[Sequence[float]]
    model: str
    provider: str
    usage: Usage

    @property
    def dimensions(self) -> int:
        """Numbers in each vector."""
        return len(self.vectors[0])


@dataclass(frozen=True, slots=True)
class Price:
    """What a million tokens cost, in millionths of `currency`'s unit. Cached input costs as much as other where not told."""

    input_micros: int
    output_micros: int
    currency: str
    cached_input_micros: int | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """A model that can be asked, what for, and its price where it is known."""

    provider: str
    model: str
    ability: Ability
    price: Price | None = None


class Failure(StrEnum):
    """What kept an answer away."""

    UNREACHABLE = "unreachable"
    """No connection, or it broke before anything came back; or the provider is left alone after many failures."""
    TIMEOUT = "timeout"
    """It took too long. The provider may have worked, and may charge for it."""
    RATE_LIMITED = "rate_limited"
    REFUSED = "refused"
    """A wrong key, no right to the model, or no balance."""
    UNKNOWN_MODEL = "unknown_model"
    BAD_REQUEST = "bad_request"
    TOO_LARGE = "too_large"
    """The request is more than the model takes, or the answer more than we take."""
    FAILED = "failed"
    """The provider says that it failed itself."""
    MALFORMED = "malformed"
    """What came is no answer, or not the whole of it."""
    NOT_OFFERED = "not_offered"
    """No provider that may be asked offers it."""


_MAY_HELP = frozenset({Failure.UNREACHABLE, Failure.TIMEOUT, Failure.RATE_LIMITED, Failure.FAILED, Failure.MALFORMED})


class ModelError(Exception):
    """No answer. The text is for people and holds no key; `setting` is the variable that mends it, where one does.

    `may_help` says whether the same request may succeed later, `retry_after_seconds` when the provider asks to wait so long.
    """

    def __init__(
        self,
        failure: Failure,
        message: str,
        *,
        provider: str = "",
        setting: str = "",
        may_help: bool | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.failure = failure
        self.provider = provider
        self.setting = setting
        self.may_help = failure in _MAY_HELP if may_help is None else may_help
        self.retry_after_seconds = retry_after_seconds


Emit = Callable[[str], None]
"""Takes a part of an answer while it is being made; all parts together are the answer's text."""


class Models(Protocol):
    """Who answers: one provider, or several behind a policy."""

    @property
    def offers(self) -> tuple[Offer, ...]:
        """The models, in the order in which they are preferred where nothing else decides."""
        ...

    async def chat(self, request: ChatRequest, emit: Emit | None = None) -> ChatAnswer:
        """The whole answer; with `emit` it is shown in parts as it is made. Raises ModelError.

        A failure after a part was shown is not tried again here: whoever watched would see a second beginning.
        """
        ...

    async def embed(self, request: EmbedRequest) -> EmbedAnswer:
        """A vector a text. Raises ModelError, with nothing kept of what was done until then."""
        ...

    async def close(self) -> None:
        """Lets go of connections."""
        ...

"""What the suites of models share."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

from nervio.adapters.clock import SystemClock
from nervio.adapters.models.attempts import Limits
from nervio.adapters.models.breaker import Breaker
from nervio.adapters.models.failures import Settings
from nervio.adapters.models.offline import OfflineModels
from nervio.adapters.models.openai_compatible import OpenAICompatible, Provider
from nervio.adapters.models.prices import PriceBook
from nervio.adapters.models.quirks import QUIRKS
from nervio.adapters.models.routed import RoutedModels
from nervio.ports.clock import Clock
from nervio.ports.models import Ability, ChatRequest, Message, Models, Picture, Price, Role, Text
from tests.model_peer import KEY, ModelPeer, a_provider

PIXEL = "data:image/png;base64,iVBORw0KGgo="
LIMITS = Limits(
    "NERVIO_MODELS",
    connect_seconds=1.0,
    first_part_seconds=0.4,
    next_part_seconds=0.3,
    whole_seconds=1.5,
    first_pause_seconds=0.01,
    longest_pause_seconds=1.2,
    largest_answer_bytes=200_000,
)
PRICES = PriceBook({"peer-chat": Price(1_000_000, 2_000_000, "USD", 500_000), "peer-embed": Price(10_000, 0, "USD")})
MODELS: Mapping[Ability, tuple[str, ...]] = {
    Ability.CHAT: ("peer-chat", "peer-unpriced"),
    Ability.VISION: ("peer-chat",),
    Ability.EMBED: ("peer-embed",),
}


def a_question(
    text: str = "how many soaps are there",
    *,
    pictures: int = 0,
    model: str = "",
    max_tokens: int | None = None,
    temperature: float | None = None,
    tenant_id: str = "",
    key: str = "",
) -> ChatRequest:
    """A request with a system message and a user's."""
    parts: tuple[Text | Picture, ...] = (Text(text), *[Picture(PIXEL)] * pictures)
    messages = (Message(Role.SYSTEM, (Text("Be brief."),)), Message(Role.USER, parts))
    return ChatRequest(messages, model, max_tokens, temperature, tenant_id, key)


def a_client(
    peer: ModelPeer,
    *,
    name: str = "peer",
    preset: str = "other",
    limits: Limits = LIMITS,
    key: str = KEY,
    clock: Clock | None = None,
    breaker: Breaker | None = None,
    url: str = "",
    draw: Callable[[], float] = lambda: 0.5,
    most_texts: int = 3,
    allow_private: bool = True,
) -> OpenAICompatible:
    """A client of a peer."""
    settings = Settings(name, "THE_BASE_URL", "THE_API_KEY", "THE_{ability}_MODELS", key)
    quirks = replace(QUIRKS[preset], most_texts=most_texts)
    provider = Provider(name, preset, quirks, settings, url or peer.url, MODELS, allow_private)
    clock = clock or SystemClock()
    client = OpenAICompatible(provider, clock, limits=limits, prices=PRICES, breaker=breaker, draw=draw)
    _made.append(client)
    return client


_made: list[OpenAICompatible] = []


async def close_clients() -> None:
    """Closes every client that was made, so that a test that fails leaves no connection to the next."""
    while _made:
        await _made.pop().close()


@asynccontextmanager
async def models_of(kind: str) -> AsyncIterator[Models]:
    """Each of those who implement the port."""
    if kind == "offline":
        yield OfflineModels()
        return
    async with a_provider() as peer:
        models: Models = a_client(peer)
        if kind == "routed":
            models = RoutedModels({"peer": models, "offline": OfflineModels()}, SystemClock())
        yield models
        await models.close()

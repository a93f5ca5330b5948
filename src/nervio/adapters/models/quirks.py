"""How the endpoints that speak like OpenAI differ from each other: one literal table, and nothing about it anywhere else.

Read from the providers' pages in November 2026. What is not here they do alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from nervio.ports.models import Ability


@dataclass(frozen=True, slots=True)
class Quirks:
    """One kind of endpoint."""

    base_url: str
    """Where `chat/completions` and `embeddings` lie, without a slash at the end."""
    needs_key: bool
    models: Mapping[Ability, tuple[str, ...]] = field(default_factory=dict)
    """What it is asked for where nobody says; the first is preferred."""
    key_header: str = "Authorization"
    key_prefix: str = "Bearer "
    asks_for_usage: bool = True
    """A stream tells what was used only when `stream_options.include_usage` asks for it; it comes in a last chunk without
    choices. Whoever tells nothing all the same has its tokens counted by rule."""
    max_tokens: str = "max_tokens"
    """What the bound of an answer is called."""
    fixed_temperature: tuple[str, ...] = ()
    """Models whose names begin so refuse a temperature; it is left out for them."""
    most_texts: int = 64
    """Texts that go into one request for embeddings."""
    is_private: bool = False
    """Runs on this machine or in our own network, and mostly without TLS."""


QUIRKS: Mapping[str, Quirks] = {
    "openai": Quirks(
        "https://api.openai.com/v1",
        needs_key=True,
        models={
            Ability.CHAT: ("gpt-5-mini", "gpt-4.1-mini"),
            Ability.VISION: ("gpt-5-mini", "gpt-4.1-mini"),
            Ability.EMBED: ("text-embedding-3-small",),
        },
        max_tokens="max_completion_tokens",
        fixed_temperature=("gpt-5", "o1", "o3", "o4"),
        most_texts=256,
    ),
    # Its errors come as a list of one; a request for embeddings takes 100 texts.
    "gemini": Quirks(
        "https://generativelanguage.googleapis.com/v1beta/openai",
        needs_key=True,
        models={
            Ability.CHAT: ("gemini-3.8-flash",),
            Ability.VISION: ("gemini-3.8-flash",),
            Ability.EMBED: ("gemini-embedding-001",),
        },
    ),
    # Sends comments (`: keep-alive`) while a request waits there, and 402 where the balance is empty. `deepseek-chat` is the
    # older name that many still write.
    "deepseek": Quirks(
        "https://api.deepseek.com",
        needs_key=True,
        models={
            Ability.CHAT: ("deepseek-flash", "deepseek-chat"),
            Ability.VISION: ("deepseek-flash",),
        },
    ),
    # Has the models that somebody pulled, so that none can be assumed.
    "ollama": Quirks("http://127.0.0.1:11434/v1", needs_key=False, is_private=True),
    # vLLM, llama.cpp, LM Studio, a gateway: the address and the models have to be told.
    "other": Quirks("", needs_key=False),
}

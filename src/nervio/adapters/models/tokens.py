"""How many tokens something has, by rule: for the offline model, for a provider that does not tell, and to compare prices.

A text has a quarter of its UTF-8 bytes, rounded up. A message has 4 more for its frame, a picture counts 800. Real tokenizers
differ by a third in either direction; nothing that was told by a provider is ever replaced by this.
"""

from __future__ import annotations

from collections.abc import Iterable

from nervio.ports.models import Message

BYTES_A_TOKEN = 4
FRAME_TOKENS = 4
PICTURE_TOKENS = 800


def of_text(text: str) -> int:
    """Tokens of a text; none of an empty one."""
    return -(-len(text.encode("utf-8", "surrogatepass")) // BYTES_A_TOKEN)


def of_texts(texts: Iterable[str]) -> int:
    """Tokens of several texts."""
    return sum(map(of_text, texts))


def of_messages(messages: Iterable[Message]) -> int:
    """Tokens of what is asked."""
    return sum(FRAME_TOKENS + of_text(message.text) + PICTURE_TOKENS * len(message.pictures) for message in messages)

"""What the program itself says of work that came to nothing, in the reader's language."""

from __future__ import annotations

from nervio.modules.console.i18n import Texts
from nervio.modules.jobs.contracts import LOST
from nervio.ports.workers import Mishap

_NAMES = {**{one.value: one.name.lower() for one in Mishap}, LOST: "lost"}


def in_words(t: Texts, error: str | None) -> str:
    """An error as a page says it: what workers and models say as they said it, empty where there is none."""
    name = _NAMES.get(error or "")
    return (error or "") if name is None else t(f"mishap.{name}")

"""What people and workers put into tasks, made readable. All of it is foreign text: of any length, any shape, any characters."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

LONGEST_TEXT = 20_000
"""Characters of one text that a page shows; the whole is at the task's address in the API."""
LONGEST_LINE = 120
MOST_WORDS = 50
"""Messages of a question that a page shows."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A text as the page shows it, and whether there is more of it."""

    text: str
    is_cut: bool


@dataclass(frozen=True, slots=True)
class Said:
    """One message of a conversation. `role` is who said it, in the words of whoever wrote the task."""

    role: str
    words: Shown


def pretty(value: Any) -> Shown:
    """Any JSON value, indented. Written only as far as it is shown: a result may have megabytes."""
    parts: list[str] = []
    length = 0
    try:
        for part in json.JSONEncoder(indent=2, ensure_ascii=False).iterencode(value):
            parts.append(part)
            length += len(part)
            if length > LONGEST_TEXT:
                break
    except RecursionError:
        return Shown(cut("".join(parts)).text + "…", True)
    return cut("".join(parts))


def cut(text: str) -> Shown:
    """A text no longer than a page shows, without what no page can be written with."""
    kept = _writable(text[:LONGEST_TEXT])
    return Shown(kept + "…", True) if len(text) > LONGEST_TEXT else Shown(kept, False)


def conversation(payload: Any) -> list[Said]:
    """The messages of a question; empty for a payload that is something else."""
    messages = payload.get("messages") if isinstance(payload, Mapping) else None
    if not isinstance(messages, list) or not all(isinstance(message, Mapping) for message in messages):
        return []
    return [
        Said(_writable(str(message.get("role", "")))[:LONGEST_LINE], _words(message.get("content")))
        for message in messages[:MOST_WORDS]
    ]


def answer(result: Any) -> Shown | None:
    """The text of a result that is a text, or has one; None for anything else."""
    if isinstance(result, str):
        return cut(result)
    text = result.get("text") if isinstance(result, Mapping) else None
    return cut(text) if isinstance(text, str) else None


def is_more(result: Any) -> bool:
    """Whether a result has more to say than its text."""
    return not isinstance(result, str) and not (isinstance(result, Mapping) and list(result) == ["text"])


def about(payload: Any) -> str:
    """A payload in one line: what was asked last, or its beginning."""
    said = [each.words.text for each in conversation(payload)]
    return line(said[-1] if said else "".join(_beginning(payload)))


def line(text: str) -> str:
    """A text in one line, as a row has room for."""
    whole = " ".join(_writable(text[: 4 * LONGEST_LINE]).split())
    return whole if len(whole) <= LONGEST_LINE else whole[:LONGEST_LINE].rstrip() + "…"


def usage(told: Any) -> list[tuple[str, int | str]]:
    """What a worker says that it used: (name, figure or text), its counts as numbers."""
    if not isinstance(told, Mapping):
        return []
    found: list[tuple[str, int | str]] = []
    for name, value in list(told.items())[:MOST_WORDS]:
        is_count = isinstance(value, int) and not isinstance(value, bool)
        found.append((line(name), value if is_count else line(value if isinstance(value, str) else pretty(value).text)))
    return found


def _words(content: Any) -> Shown:
    return cut(content) if isinstance(content, str) else pretty(content)


def _beginning(payload: Any) -> Iterator[str]:
    length = 0
    try:
        for part in json.JSONEncoder(ensure_ascii=False).iterencode(payload):
            yield part
            length += len(part)
            if length > 4 * LONGEST_LINE:
                return
    except RecursionError:
        yield "…"


def _writable(text: str) -> str:
    """JSON can say half a character and NUL, UTF-8 and HTML cannot."""
    return text.replace("\x00", "�").encode(errors="replace").decode()

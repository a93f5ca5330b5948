"""What a task may be."""

from __future__ import annotations

import re
from dataclasses import replace

from nervio.kernel.errors import invalid
from nervio.kernel.time import Instant
from nervio.modules.fleet.contracts import Priority, SubmitTask

KINDS = ("chat", "vision", "embed", "ocr", "transcribe")
"""Kinds that everybody knows; a worker may bring others."""

_KIND = re.compile(r"[a-z][a-z0-9_.-]{0,39}")
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/@+-]{0,199}")

_PRIORITIES = frozenset(Priority)

LARGEST_PAYLOAD_BYTES = 262_144
MOST_RETRIES = 20
LARGEST_SIZE = 1_000_000_000
CHARACTERS_A_TOKEN = 4
"""Of a payload, where nobody says how much work it is: about a token of text in Latin letters."""


def check_task(task: SubmitTask, now: Instant) -> SubmitTask:
    """The task with its size estimated where none was given. Raises `invalid` naming the field."""
    if not _KIND.fullmatch(task.kind):
        raise invalid(
            "invalid_kind",
            "kind must be 1 to 40 lower-case letters, digits, dots, dashes or underscores, such as chat.",
            field="kind",
        )
    if task.model and not _MODEL.fullmatch(task.model):
        raise invalid(
            "invalid_model", "model must be the name of a model, such as gemini-2.5-flash, or empty.", field="model"
        )
    if task.priority not in _PRIORITIES:
        raise invalid("invalid_choice", "priority must be high, normal or low.", field="priority")
    if not 0 <= task.retries <= MOST_RETRIES:
        raise invalid("out_of_range", f"retries must be between 0 and {MOST_RETRIES}.", field="retries")
    if not 0 <= task.size <= LARGEST_SIZE:
        raise invalid("out_of_range", f"size must be between 0 and {LARGEST_SIZE}.", field="size")
    if task.deadline_at is not None and task.deadline_at <= now:
        raise invalid("deadline_over", "deadline_at must lie in the future.", field="deadline_at")
    length = len(task.payload.encode())
    if length > LARGEST_PAYLOAD_BYTES:
        raise invalid(
            "payload_too_large",
            f"payload has {length} bytes; at most {LARGEST_PAYLOAD_BYTES} go with a task, larger files are stored first and "
            "named in it.",
            field="payload",
        )
    return task if task.size else replace(task, size=max(1, length // CHARACTERS_A_TOKEN))

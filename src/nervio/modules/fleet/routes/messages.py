"""The messages of a live line (proto/live.asyncapi.yaml): what a client may say, and how it is answered."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from pydantic import Field, TypeAdapter, ValidationError

from nervio.kernel.errors import NervioError, invalid
from nervio.modules.fleet.contracts import AnswerPart, Task
from nervio.modules.fleet.schemas.tasks import TaskBody, TaskReply
from nervio.ports.lines import Message
from nervio.web.bodies import refuse_nul
from nervio.web.problems import invalid_request, problem_of
from nervio.web.request import LONGEST_KEY
from nervio.web.values import NO_NUL, IdText, RequestBody, ShortText

LARGEST_PLACE = 2**53


class _Asked(RequestBody):
    id: ShortText | None = Field(None, description="Comes back with the reply.")


class Submit(_Asked):
    """Queue a task, and follow it."""

    type: Literal["submit"]
    task: TaskBody
    key: Annotated[str, Field(min_length=1, max_length=LONGEST_KEY, pattern=NO_NUL)] | None = Field(
        None, description="Send the same key again after a lost line: the task is queued once."
    )
    follow: bool = Field(True, description="Whether its answer is wanted on this line.")


class Follow(_Asked):
    """Follow an answer from where a line was cut."""

    type: Literal["follow"]
    task_id: IdText
    token: int = Field(0, ge=0, le=LARGEST_PLACE, description="Of the last part that came.")
    characters: int = Field(
        0, ge=0, le=LARGEST_PLACE, description="How many of that token came: `start` and the length of the last part."
    )


class Unfollow(_Asked):
    """Hear no more of a task."""

    type: Literal["unfollow"]
    task_id: IdText


class Cancel(_Asked):
    """End a task that nobody wants any more."""

    type: Literal["cancel"]
    task_id: IdText
    key: Annotated[str, Field(min_length=1, max_length=LONGEST_KEY, pattern=NO_NUL)] | None = None


Asked = Submit | Follow | Unfollow | Cancel
_ASKED: TypeAdapter[Asked] = TypeAdapter(Annotated[Asked, Field(discriminator="type")])
_TYPES = ("submit", "follow", "unfollow", "cancel")


def read_text(text: str) -> Any:
    """The JSON of a message. Raises `invalid`."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise invalid("malformed_json", f"A message must be one JSON object: {error}.", field="message") from None


def read_message(message: Any) -> Asked:
    """The message as its type has it. Raises `invalid` naming the field."""
    if not isinstance(message, dict):
        raise invalid("wrong_type", "message must be an object with a type.", field="message")
    kind = message.get("type")
    if kind not in _TYPES:
        raise invalid("unknown_message", f"type must be one of {', '.join(_TYPES)}.", field="type")
    try:
        refuse_nul(message)
        return _ASKED.validate_python(message)
    except RecursionError:
        raise invalid("malformed_json", "message is nested too deeply.", field="message") from None
    except ValidationError as error:
        # The first part of each path is the type itself.
        faults = [{**fault, "loc": fault["loc"][1:]} for fault in error.errors(include_url=False, include_input=False)]
        raise invalid_request(faults) from None


def reference_of(message: Any) -> tuple[str | None, str | None]:
    """(id, task id) of a message that may be anything, for the reply that refuses it."""

    def text(name: str) -> str | None:
        value = message.get(name) if isinstance(message, dict) else None
        return value if isinstance(value, str) and len(value) <= 200 else None

    return text("id"), text("task_id")


def reply(kind: str, asked: Asked, **told: Any) -> Message:
    """The reply to a message."""
    return {"type": kind, **({} if asked.id is None else {"id": asked.id}), **told}


def problem(refusal: NervioError, reference: str | None = None, task_id: str | None = None) -> Message:
    """A refusal, or the end of following where that was cut short."""
    told: dict[str, Any] = {"type": "problem"}
    if reference is not None:
        told["id"] = reference
    if task_id is not None:
        told["task_id"] = task_id
    return {**told, "problem": problem_of(refusal)}


def part(task_id: str, one: AnswerPart) -> Message:
    """A part of an answer."""
    return {"type": "part", "task_id": task_id, "token": one.token, "start": one.start, "text": one.text}


def ended(task: Task, most_bytes: int) -> Message:
    """How a task ended, with its result if that fits a message; what was asked is not said again."""
    shown = TaskReply.of(task).model_dump(mode="json", exclude={"payload"})
    is_cut = len(msgspec.json.encode(shown)) > most_bytes
    if is_cut:
        shown["result"] = None
    return {"type": "ended", "task_id": task.id, "is_cut": is_cut, "task": shown}

"""Asking for another attempt at dead letters. The handlers' process sees who was asked for and tries."""

from __future__ import annotations

from nervio.db import dead_letters
from nervio.db.batch import Batch, Command, Effect, Operation
from nervio.kernel.errors import not_found
from nervio.modules.safety.contracts.events import AskReplay, ReplayAsked


def _ask(batch: Batch, command: Command[AskReplay, ReplayAsked]) -> ReplayAsked:
    letter_id = command.body.letter_id
    asked = dead_letters.ask_again(batch.connection, command.tenant_id, letter_id, command.actor_id)
    if letter_id is not None and not asked:
        raise not_found("dead_letter", letter_id)
    return ReplayAsked(asked)


REPLAY = Operation("safety.replay_events", Effect.INCREASE, AskReplay, ReplayAsked, _ask, direct=True)

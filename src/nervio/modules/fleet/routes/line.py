"""A live line: one client that submits, follows and cancels tasks, over whichever wire it came."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.requests import HTTPConnection

from nervio.db.context import Ctx
from nervio.kernel.errors import Kind, NervioError, invalid
from nervio.modules.fleet import api
from nervio.modules.fleet.metrics import LINES_CUT
from nervio.modules.fleet.routes import messages
from nervio.modules.fleet.routes.counting import count_submission
from nervio.modules.fleet.routes.messages import Asked, Cancel, Follow, Submit, reply
from nervio.modules.fleet.settings import FleetSettings
from nervio.modules.identity.api import Authenticator
from nervio.modules.safety.api import HaltWatch
from nervio.ports.lines import LineCut, Message, Wire
from nervio.web.request import Recall, caller_of, recall_of

log = logging.getLogger(__name__)

LOOK_SECONDS = 3.0
"""How often a line asks again who its client is: whose session or rights are gone is gone within so long."""

SIGNED_OUT, FORBIDDEN, STALLED, BROKEN = 4401, 4403, 4408, 1011
"""Why a line was closed, in the codes that WebSocket leaves to applications (after those of HTTP) and its own for a fault."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What all lines of a process share."""

    drafts: api.Drafts
    halts: HaltWatch
    lines: api.Lines
    settings: FleetSettings
    openings: api.Openings
    count: Callable[[Ctx], None]
    """Counts a request that queues tasks. Raises `too_many`."""


async def open_line(scope: MutableMapping[str, Any], credentials: Mapping[str, Any] | None, wire: Wire) -> LiveLine:
    """A line for whoever made the request. Raises `unauthenticated`, `forbidden`, `halted`, `too_many`."""
    connection = HTTPConnection(scope)
    state = connection.app.state
    fleet, count = state.settings.fleet, partial(count_submission, state=state)
    desk = Desk(state.drafts, state.halt_watch, state.live_lines, fleet, state.openings, count)
    if credentials:
        recall = _recall_by(credentials, state.authenticator)
        ctx = await recall()
        assert ctx is not None, "a token or key that is not good is refused"
    else:
        recall, ctx = recall_of(connection), caller_of(connection)
    ctx.require(api.READ)
    _refuse_while_halted(desk.halts, ctx)
    return LiveLine(ctx, recall, desk, wire)


def _recall_by(credentials: Mapping[str, Any], authenticator: Authenticator) -> Recall:
    """Of a token or a key that came in a message: a browser's script can set no headers."""
    token, key = credentials.get("token"), credentials.get("api_key")
    if not isinstance(token if key is None else key, str):
        raise invalid("invalid_credentials", "auth must hold a text as token, or as api_key.", field="auth")

    async def recall() -> Ctx | None:
        bearer = f"Bearer {token}" if key is None else None
        principal = await authenticator.authenticate(authorization=bearer, api_key=key)
        return None if principal is None else authenticator.context(principal)

    return recall


def _refuse_while_halted(halts: HaltWatch, ctx: Ctx) -> None:
    halt = halts.find_blocking_read(ctx.tenant_id)
    if halt is not None:
        raise halt.as_error()


class LiveLine:
    """One client's line. Parts wait for nobody but their own reader: each answer that is followed holds one at a time, cut where
    the reader is, and the next is cut when there is room for it."""

    def __init__(self, ctx: Ctx, recall: Recall, desk: Desk, wire: Wire) -> None:
        self._ctx, self._recall, self._desk, self._wire = ctx, recall, desk, wire
        self._turn = asyncio.Lock()
        self._follows: dict[str, asyncio.Task[None]] = {}
        self._is_over = False
        self._open = contextlib.ExitStack()
        self._open.enter_context(desk.lines.counting(ctx))
        self._minding = asyncio.create_task(self._mind(), name="nervio-live-line")

    async def hear(self, message: Any) -> Message:
        """The reply to a message; what it starts is heard of after that."""
        try:
            asked = messages.read_message(message)
            _refuse_while_halted(self._desk.halts, self._ctx)
            return await self._answer(asked)
        except NervioError as refusal:
            return messages.problem(refusal, *messages.reference_of(message))

    async def hear_text(self, text: str) -> Message:
        """The reply to a message as it came over the wire."""
        try:
            message = messages.read_text(text)
        except NervioError as refusal:
            return messages.problem(refusal)
        return await self.hear(message)

    async def say(self, message: Message) -> None:
        """Sends a message in its turn. Raises `LineCut` where the client is gone, or has taken nothing for too long."""
        async with self._turn:
            if self._is_over:
                raise LineCut
            try:
                async with asyncio.timeout(self._desk.settings.live_stalled_seconds):
                    await self._wire.send(message)
            except TimeoutError:
                await self._cut(STALLED, "Nothing was read for too long; come again and go on where you were.")
                raise LineCut from None

    async def end(self) -> None:
        """Lets go of everything. May be called twice, and from a task of the line itself."""
        self._is_over = True
        self._open.close()
        others = [
            task
            for task in (self._minding, *self._follows.values())
            if task is not asyncio.current_task() and not task.done()
        ]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _answer(self, asked: Asked) -> Message:
        if isinstance(asked, Submit):
            if asked.follow:
                self._refuse_too_many(None)
            self._desk.count(self._ctx)
            queued = await api.submit_task(self._ctx, asked.task.to_task(), asked.key, self._desk.openings)
            if asked.follow:
                self._follow(queued.id, None)
            return reply("queued", asked, task_id=queued.id, state=queued.state.value)
        if isinstance(asked, Follow):
            self._refuse_too_many(asked.task_id)
            await api.get_task(self._ctx, asked.task_id)
            self._follow(asked.task_id, (asked.token, asked.characters))
            return reply("following", asked, task_id=asked.task_id)
        if isinstance(asked, Cancel):
            moved = await api.cancel_task(self._ctx, asked.task_id, asked.key)
            return reply("cancelled", asked, task_id=moved.id, state=moved.state.value)
        following = self._follows.pop(asked.task_id, None)
        if following is not None:
            following.cancel()
        return reply("unfollowed", asked, task_id=asked.task_id)

    def _refuse_too_many(self, task_id: str | None) -> None:
        most = self._desk.settings.live_follows_per_line
        if task_id not in self._follows and len(self._follows) >= most:
            raise NervioError(
                Kind.TOO_MANY,
                "too_many_follows",
                f"This line follows {most} answers already; wait for one to end, or unfollow it.",
                limit=most,
                retry_after_seconds=1,
            )

    def _follow(self, task_id: str, after: tuple[int, int] | None) -> None:
        if self._is_over:
            return  # the client has gone while its question was being queued
        self._refuse_too_many(task_id)
        before = self._follows.pop(task_id, None)
        if before is not None:
            before.cancel()
        following = asyncio.create_task(self._tell(task_id, after), name="nervio-live-answer")
        self._follows[task_id] = following
        following.add_done_callback(lambda done: self._forget(task_id, done))

    def _forget(self, task_id: str, done: asyncio.Task[None]) -> None:
        if self._follows.get(task_id) is done:
            del self._follows[task_id]

    async def _tell(self, task_id: str, after: tuple[int, int] | None) -> None:
        """Says one answer to its end."""
        try:
            try:
                async with contextlib.aclosing(
                    api.follow_answer(self._ctx, self._desk.drafts, task_id, after)
                ) as parts:
                    async for one in parts:
                        if one is not None:
                            await self.say(messages.part(task_id, one))
                task, _ = await api.get_task(self._ctx, task_id)
                await self.say(messages.ended(task, self._desk.settings.live_message_bytes))
            except NervioError as refusal:
                await self.say(messages.problem(refusal, task_id=task_id))
        except LineCut:
            pass
        except Exception:
            log.exception("live_answer_failed", extra={"task_id": task_id})
            await self._cut(BROKEN, "Something broke on our side; come again and go on where you were.")

    async def _mind(self) -> None:
        """Watches what may end the line or part of it: a stop, and who the client is."""
        time = asyncio.get_running_loop().time
        ask_at = time() + LOOK_SECONDS
        with contextlib.suppress(LineCut):
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, ask_at - time())):
                        await self._desk.halts.wait_for_change()
                await self._part_while_halted()
                if time() >= ask_at:
                    await self._ask_again()
                    ask_at = time() + LOOK_SECONDS

    async def _part_while_halted(self) -> None:
        """A stop of everything keeps answers back too; the line stays, and they are followed again afterwards."""
        halt = self._desk.halts.find_blocking_read(self._ctx.tenant_id)
        if halt is None:
            return
        follows, self._follows = self._follows, {}
        for following in follows.values():
            following.cancel()
        for task_id in follows:
            await self.say(messages.problem(halt.as_error(), task_id=task_id))

    async def _ask_again(self) -> None:
        try:
            ctx = await self._recall()
        except NervioError as refusal:
            if refusal.kind is not Kind.UNAUTHENTICATED:
                return  # the store is away, which ends no session
            ctx = None
        if ctx is None:
            await self._cut(SIGNED_OUT, "The session has ended; log in again.")
            raise LineCut
        if ctx.permissions is not None and api.READ not in ctx.permissions:
            await self._cut(FORBIDDEN, f"The permission {api.READ} was taken away.")
            raise LineCut
        self._ctx = ctx

    async def _cut(self, code: int, reason: str) -> None:
        if not self._is_over:
            self._is_over = True
            LINES_CUT.labels(str(code)).inc()
            await self._wire.close(code, reason)

"""Notices over Redis Pub/Sub, and the mirror under one key.

Redis is told and never asked: a flushed, stopped or lying server changes nothing about what is stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

CHANNEL = "nervio:halts"
PATIENCE_SECONDS = 1.0
FIRST_AWAY_SECONDS = 0.5
LONGEST_AWAY_SECONDS = 30.0

_AWAY = (RedisError, OSError)  # TimeoutError is one of the latter


class RedisHaltNotices:
    """See `nervio.ports.halt.HaltNotices`. Nothing connects before `start`."""

    def __init__(self, url: str, mirror_key: str) -> None:
        self._key = mirror_key
        self._client: Redis = Redis.from_url(
            url,
            socket_connect_timeout=PATIENCE_SECONDS,
            socket_timeout=PATIENCE_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._listeners: list[Callable[[], None]] = []
        self._listening: asyncio.Task[None] | None = None
        self._ringing: set[asyncio.Task[None]] = set()
        self._is_shown = True
        self._closing = asyncio.Event()

    async def start(self) -> None:
        self._listening = asyncio.create_task(self._listen_forever(), name="nervio-halt-notices")

    def on_notice(self, notified: Callable[[], None]) -> None:
        self._listeners.append(notified)

    def ring(self) -> None:
        self._notify()  # those of this process need no Redis
        self._keep(self._publish())

    async def show(self, status: Mapping[str, object]) -> None:
        try:
            await self._client.set(self._key, json.dumps(status))
        except _AWAY as error:
            if self._is_shown:
                # Once: the next rounds try again, and a server that is away for a night is not news every second.
                log.warning("halt_mirror_away", extra={"key": self._key, "error": str(error) or type(error).__name__})
            self._is_shown = False
            return
        if not self._is_shown:
            log.info("halt_mirror_back", extra={"key": self._key})
        self._is_shown = True

    async def close(self) -> None:
        # The client may swallow a cancellation that comes while it connects; then this ends the listening.
        self._closing.set()
        tasks = [*self._ringing, *([] if self._listening is None else [self._listening])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(*_AWAY):
            await self._client.aclose()

    async def _listen_forever(self) -> None:
        away = 0.0
        while not self._closing.is_set():
            try:
                async with self._client.pubsub() as channel:
                    await channel.subscribe(CHANNEL)
                    if away:
                        log.info("halt_notices_back")
                    away = 0.0
                    self._notify()  # what was rung while nobody listened
                    while not self._closing.is_set():
                        message = await channel.get_message(ignore_subscribe_messages=True, timeout=PATIENCE_SECONDS)
                        if message is not None:
                            self._notify()
            except _AWAY as error:
                if self._closing.is_set():
                    return
                away = min(max(FIRST_AWAY_SECONDS, away * 2), LONGEST_AWAY_SECONDS)
                log.warning(
                    "halt_notices_away",
                    extra={"error": str(error) or type(error).__name__, "again_in_seconds": away},
                )
                await asyncio.sleep(away)

    def _notify(self) -> None:
        for notified in self._listeners:
            notified()

    async def _publish(self) -> None:
        with contextlib.suppress(*_AWAY):  # the listener says that it is away; everybody looks by themselves
            await self._client.publish(CHANNEL, "")

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._ringing.add(task)
        task.add_done_callback(self._ringing.discard)

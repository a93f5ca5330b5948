"""The bench on which a worker is checked: a transport, a master that listens, and a hand on the worker's process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from nervio.adapters.workers.mqtt import RemoteWorkers
from nervio.adapters.workers.mqtt_messages import BadMessage, Register, Topics, read_register, write_register_again
from nervio.adapters.workers.mqtt_session import Message, MqttSession
from nervio.kernel.ids import new_id
from nervio.ports.workers import Assignment, Ending, Profile, Report
from nervio.runtime.worker_check.master import CheckMaster

TENANT = new_id()
ANSWER_SECONDS = 10.0


class Failed(Exception):
    """The worker does not keep the contract; the text says how."""


@dataclass(slots=True)
class Process:
    """The worker under test, as far as we have it in our hand. Without a command its person is asked to do what must be done."""

    command: Sequence[str]
    environment: dict[str, str]
    ask: Callable[[str], None]
    running: asyncio.subprocess.Process | None = field(default=None)

    @property
    def patience_seconds(self) -> float:
        """How long a start or an end may take: a person is slower than a program."""
        return 20.0 if self.command else 180.0

    async def start(self) -> None:
        """Starts it. Raises `Failed` where there is no such program."""
        if self.command:
            try:
                self.running = await asyncio.create_subprocess_exec(
                    *self.command, env={**os.environ, **self.environment}, stdout=asyncio.subprocess.DEVNULL
                )
            except OSError as error:
                raise Failed(f"{self.command[0]} cannot be started: {error.strerror}") from None
        else:
            settings = " ".join(f"{name}={value}" for name, value in self.environment.items())
            self.ask(f"Start the worker with one kind, `check`, and: {settings}")

    def end(self, number: signal.Signals) -> None:
        """Sends it a signal."""
        if self.running is not None and self.running.returncode is None:
            self.running.send_signal(number)
        elif not self.command:
            self.ask("Kill the worker now: kill -9" if number == signal.SIGKILL else "Stop the worker now: kill -TERM")

    @property
    def has_ended(self) -> bool:
        """Whether a program that we started runs no more."""
        return self.running is not None and self.running.returncode is not None

    async def ended(self, seconds: float) -> int | None:
        """Its exit code; None where it runs on, or is somebody else's."""
        if self.running is None:
            return None
        try:
            async with asyncio.timeout(seconds):
                return await self.running.wait()
        except TimeoutError:
            return None


class Bench:
    """Gives attempts to the worker and waits for what comes of them."""

    def __init__(
        self, transport: RemoteWorkers, session: MqttSession, topics: Topics, worker_id: str, process: Process
    ) -> None:
        self.transport, self.process, self.worker_id = transport, process, worker_id
        self.master = CheckMaster(worker_id)
        self.registered: list[Register] = []
        self._session, self._topics = session, topics

    def hear(self, message: Message) -> None:
        """What the worker says over MQTT, as a second listener hears it."""
        try:
            worker_id, about = self._topics.read(message.topic)
            if (worker_id, about) == (self.worker_id, "register") and message.payload:
                self.registered.append(read_register(worker_id, message.payload))
        except BadMessage:
            return  # the transport has said so already

    @property
    def profile(self) -> Profile:
        """What the worker said of itself. Raises `Failed` where it is not there."""
        if self.master.profile is None:
            raise Failed("the worker is not there any more")
        return self.master.profile

    def attempt(self, payload: Any, kind: str = "check") -> Assignment:
        """An attempt at a new task."""
        return Assignment(TENANT, new_id(), 1, kind, "", json.dumps(payload), 1, 1)

    async def give(self, *assignments: Assignment) -> None:
        """Hands them over in one message."""
        await self.transport.assign(self.worker_id, assignments)

    async def say(self, about: str, payload: bytes) -> None:
        """Publishes something by hand."""
        topic = self._topics.tasks(self.worker_id) if about == "tasks" else self._topics.control(self.worker_id)
        await self._session.publish_and_wait(Message(topic, payload))

    async def ask_again_and_again(self) -> None:
        """Asks the worker to register, all the time until this is cancelled."""
        while True:
            await self.say("control", write_register_again())
            await asyncio.sleep(0.01)

    async def report_of(self, assignment: Assignment, seconds: float = ANSWER_SECONDS) -> Report:
        """What came of it. Raises `Failed` where nothing does."""
        if not await self.master.until(lambda: bool(self.master.reports_of(assignment)), seconds):
            raise Failed(f"nothing was reported of {assignment.payload[:80]} within {seconds:.0f} s")
        return self.master.reports_of(assignment)[0]

    async def goes_on(self) -> None:
        """Raises `Failed` unless the worker still answers."""
        one = self.attempt({"echo": "still here"})
        await self.give(one)
        expect(await self.report_of(one), Ending.DONE, '"still here"')

    async def holding(self) -> set[str]:
        """The tasks that the worker says it has."""
        before = len(self.registered)
        await self.say("control", write_register_again())
        if not await self.master.until(lambda: len(self.registered) > before, ANSWER_SECONDS):
            raise Failed('{"do":"register"} on control was not answered by a registration')
        return {attempt.task_id for attempt in self.registered[-1].holding}


def expect(report: Report, ending: Ending, result: str | None = None) -> None:
    """Raises `Failed` where a report is another one than expected."""
    if report.ending is not ending:
        raise Failed(f"expected {ending}, and it is {report.ending}: {report.error}")
    if result is not None and json.loads(report.result) != json.loads(result):
        raise Failed(f"expected the result {result[:80]}, and it is {report.result[:80]}")
    if ending is Ending.FAILED and not report.error:
        raise Failed("it failed and does not say why: error is empty")


def seconds_since(moment: float) -> str:
    """For people."""
    return f"{(time.monotonic() - moment) * 1000:.0f} ms"

"""The program on a real port, with a worker that says what the test tells it, and clients of live lines."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import yaml
from websockets.asyncio.client import ClientConnection, connect

from nervio.adapters.clock import SystemClock
from nervio.adapters.workers.local import LocalWorkers
from nervio.modules.fleet.api import Dispatcher
from nervio.ports.workers import Answer, Job
from nervio.runtime.server import HttpFace, _serve_http, address_of, listen
from nervio.runtime.settings import Settings
from nervio.runtime.wiring import App
from tests.architecture.tree import ROOT
from tests.builders import create_sqlite_file
from tests.runtime.program import Program, settings_in

CONTRACT = yaml.safe_load((ROOT / "proto" / "live.asyncapi.yaml").read_text(encoding="utf-8"))
PUBLISHED = {
    name: jsonschema_rs.validator_for(message["payload"])
    for name, message in CONTRACT["components"]["messages"].items()
}
"""What messages look like by their type; every one that a test hears is held against it."""

SECONDS = 20.0
PATH = "/api/tasks/live"


@dataclass
class Speaker:
    """A worker whose answers are said by the test, by question. None ends one."""

    said: dict[str, asyncio.Queue[str | None]] = field(default_factory=dict)

    def about(self, question: str) -> asyncio.Queue[str | None]:
        """Where the parts of an answer are put."""
        return self.said.setdefault(question, asyncio.Queue())

    async def say(self, question: str, *parts: str, ends: bool = True) -> None:
        """Gives the worker parts to emit, one by one."""
        for part in parts:
            await self.about(question).put(part)
        if ends:
            await self.about(question).put(None)

    async def answer(self, job: Job) -> Answer:
        """What the worker does."""
        queue, text = self.about(job.payload["messages"][-1]["content"]), ""
        while (part := await queue.get()) is not None:
            job.emit(part)
            text += part
            await asyncio.sleep(0)
        return Answer({"text": text}, {"output_tokens": len(text)})


class SpokenApp(App):
    """The program with that worker."""

    def __init__(self, settings: Settings, speaker: Speaker) -> None:
        super().__init__(settings, SystemClock())
        self._speaker = speaker

    def make_dispatcher(self) -> Dispatcher:
        """What hands out AI work, with that worker alone."""
        workers = LocalWorkers("speaker", {"chat": self._speaker.answer}, slots=64)
        find = self.halt_watch.find_blocking_effect
        return Dispatcher(self.system_ctx(), self.process_id, [workers], self.settings.fleet, find, self.drafts)


@dataclass(frozen=True)
class Shop(Program):
    """The program, reached over its port."""

    url: str
    speaker: Speaker
    root: dict[str, str]

    @property
    def live(self) -> str:
        """The address of live lines."""
        return self.url.replace("http://", "ws://") + PATH

    async def post(self, path: str, body: object, headers: dict[str, str] | None = None) -> Any:
        """The body of an answer that must be good."""
        reply = await self.client.post(path, json=body, headers=headers or self.root)
        assert reply.is_success, reply.text
        return reply.json() if reply.content else None

    async def a_user(self, *roles: str) -> dict[str, str]:
        """The headers of a new user of the first shop."""
        email = f"{'-'.join(roles)}@shop.test"
        made = await self.post("/api/users", {"email": email, "name": email, "roles": list(roles)})
        return await self.login(email, made["password"])

    async def a_stranger(self) -> dict[str, str]:
        """The headers of the administrator of another shop."""
        body = {"slug": "other", "name": "Other", "admin_email": "a@other.test", "admin_name": "Other admin"}
        made = await self.post("/api/tenants", body)
        return await self.login("a@other.test", made["admin_password"])


@asynccontextmanager
async def a_shop(folder: Path, **given: Any) -> AsyncIterator[Shop]:
    """The program on SQLite, serving on a port of its own in this process, so that a test can look inside."""
    await create_sqlite_file(folder / "nervio.db")
    speaker = Speaker()
    app = SpokenApp(settings_in(folder, **given), speaker)
    face, stop = HttpFace(app, ("web", "gateway")), asyncio.Event()
    async with app.started(("web", "gateway")):
        face.open()
        with contextlib.closing(listen("127.0.0.1", 0)) as listener:
            url = address_of(listener)
            ready = asyncio.Event()
            serving = asyncio.create_task(_serve_http(app, face, listener, stop, lambda _url: ready.set()))
            await ready.wait()
            async with httpx.AsyncClient(base_url=url, timeout=SECONDS) as client:
                first = app.first_login
                assert first is not None
                program = Program(app, face, client, first.email, first.password)
                root = await program.login()
                yield Shop(app, face, client, first.email, first.password, url, speaker, root)
            stop.set()
            async with asyncio.timeout(SECONDS):
                await serving


class Line:
    """A live line over WebSocket."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def say(self, message: object) -> None:
        """Sends a message; a text as it is."""
        await self.socket.send(message if isinstance(message, str | bytes) else json.dumps(message))

    async def hear(self) -> dict[str, Any]:
        """The next message."""
        async with asyncio.timeout(SECONDS):
            message: dict[str, Any] = json.loads(await self.socket.recv())
        PUBLISHED[message["type"]].validate(message)
        return message

    async def ask(self, message: object) -> dict[str, Any]:
        """The reply to a message, on a line where nothing else is under way."""
        await self.say(message)
        return await self.hear()

    async def submit(self, question: str, **more: Any) -> str:
        """The id of a task that is followed."""
        reply = await self.ask({"type": "submit", "task": a_task(question), **more})
        assert reply["type"] == "queued", reply
        return str(reply["task_id"])

    async def parts_until(
        self, task_id: str, kind: str = "ended", text: str | None = None, before: str = ""
    ) -> list[dict[str, Any]]:
        """The messages about a task up to one of this type, or until so much of its text has come; `before`: what came earlier."""
        heard: list[dict[str, Any]] = []
        while True:
            message = await self.hear()
            if message.get("task_id") != task_id:
                continue
            heard.append(message)
            if message["type"] == kind or (text is not None and text_of(heard, before).endswith(text)):
                return heard


def a_task(question: str) -> dict[str, Any]:
    """A question."""
    return {"kind": "chat", "payload": {"messages": [{"role": "user", "content": question}]}}


def text_of(heard: list[dict[str, Any]], before: str = "") -> str:
    """The text of parts, each of which must begin where the one before ended."""
    text = before
    for part in heard:
        if part["type"] == "part":
            assert part["start"] == len(text), "no part twice, none lost"
            text += part["text"]
    return text


@asynccontextmanager
async def a_line(shop: Shop, headers: dict[str, str] | None = None, **given: Any) -> AsyncIterator[Line]:
    """A line of somebody, the superadmin by default."""
    socket = await connect(shop.live, additional_headers=headers or shop.root, proxy=None, compression=None, **given)
    try:
        yield Line(socket)
    finally:
        async with asyncio.timeout(SECONDS):
            await socket.close()

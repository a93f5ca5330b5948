"""A provider of models that behaves badly in every way: real HTTP on this machine, the way OpenAI-compatible endpoints speak.

It answers `chat/completions` by saying back the last words it was told, `embeddings` with vectors of four numbers. A test tells
it how to misbehave, for how many requests, and counts afterwards what it would have charged for.
"""

import asyncio
import contextlib
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

KEY = "sk-a-key-that-nobody-may-ever-see"
DIMENSIONS = 4
HOLD_SECONDS = 30.0
"""Longer than any caller here waits."""


class Drop(Exception):
    """Ends the connection at once."""


@dataclass(slots=True)
class Call:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: Any


@dataclass(slots=True)
class ModelPeer:
    """The truth of a provider. `ways` says how the next requests are treated; the rest are served well."""

    url: str = ""
    ways: deque[str] = field(default_factory=deque)
    calls: list[Call] = field(default_factory=list)
    charged: int = 0
    """Requests that were answered in whole or in part, so that a real provider would charge for them."""
    spoilt: int = 0
    """Those of them that were answered with nonsense from the first byte."""
    connections: int = 0
    on_call: Callable[[], None] = lambda: None
    chunks: int = 0
    """Parts of a streamed answer; 0: one a word."""

    async def serve(self, call: Call, writer: asyncio.StreamWriter) -> None:
        """Answers one request."""
        self.calls.append(call)
        self.on_call()
        way = self.ways.popleft() if self.ways else ""
        if call.headers.get("authorization", f"Bearer {KEY}") != f"Bearer {KEY}":
            said = call.headers["authorization"].removeprefix("Bearer ")
            await reply(writer, 401, {"error": {"message": f"Incorrect API key provided: {said}."}})
        elif (call.body or {}).get("model") == "nobody":
            await reply(
                writer, 404, {"error": {"message": "The model `nobody` does not exist", "code": "model_not_found"}}
            )
        elif way in REFUSALS:
            status, body, headers = REFUSALS[way]
            await reply(writer, status, body, dict(headers))
        elif way == "429 until a date":
            await reply(
                writer, 429, {"error": {"message": "slow"}}, {"Retry-After": formatdate(in_seconds(1), usegmt=True)}
            )
        elif way == "reset":
            raise Drop
        elif way == "hang":
            await asyncio.sleep(HOLD_SECONDS)
        elif call.path == "/v1/chat/completions":
            if way == "slow":
                await asyncio.sleep(0.2)
            self.charged += 1
            self.spoilt += way in ("html", "no json", *SPOILT)
            await self._chat(call.body, way, writer)
        elif call.path == "/v1/embeddings":
            self.charged += 1
            await self._embed(call.body, way, writer)
        else:
            await reply(writer, 404, "nothing here", kind="text/html")

    async def _chat(self, body: Any, way: str, writer: asyncio.StreamWriter) -> None:
        text = said_back(body)
        usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        answer: dict[str, Any] = {"object": "chat.completion", "choices": [choice], "usage": usage}
        if way == "no usage":
            del answer["usage"]
        if way == "cached usage":
            usage["prompt_tokens_details"] = {"cached_tokens": 6}  # type: ignore[assignment]
        if way in SPOILT:
            await reply(writer, 200, SPOILT[way])
        elif way == "no json":
            await reply(writer, 200, '{"choices": [{"mess')
        elif way == "html":
            await reply(writer, 200, "<html>Welcome</html>", kind="text/html")
        elif way == "huge":
            choice["message"] = {"content": "x" * 300_000}
            await reply(writer, 200, answer)
        elif way == "cut" and not body.get("stream"):
            await reply(writer, 200, answer, cut=True)
        elif body.get("stream") and way != "does not stream":
            await self._stream(text, way, body, usage, writer)
        else:
            await reply(writer, 200, answer)

    async def _stream(self, text: str, way: str, body: Any, usage: Any, writer: asyncio.StreamWriter) -> None:
        write_head(writer, 200, {"Content-Type": "text/event-stream; charset=utf-8", "Transfer-Encoding": "chunked"})
        parts = [word + " " for word in text.split()] if not self.chunks else ["word "] * self.chunks
        for n, part in enumerate(parts):
            if way == "slow parts":
                await asyncio.sleep(0.1)
            if n == 1 and way == "hang in the middle":
                await asyncio.sleep(HOLD_SECONDS)
            if n == 1 and way == "comments only":
                for _ in range(200):
                    await event(writer, b": keep-alive\n\n")
                    await asyncio.sleep(0.05)
            if n == 1 and way == "cut":
                raise Drop
            if n == 1 and way == "ends early":
                await event(writer, b"")
                return
            if n == 1 and way == "error in the middle":
                await event(writer, data({"error": {"message": "overloaded", "type": "server_error"}}))
            if n == 1 and way == "nonsense in the middle":
                await event(writer, b"data: {not json\n\n")
            chunk = data({"choices": [{"index": 0, "delta": {"content": part}, "finish_reason": None}]})
            if way == "in crumbs":
                for byte in chunk.replace(b"\n\n", b"\r\n\r\n"):
                    await event(writer, bytes([byte]))
            else:
                await event(writer, chunk)
        await event(writer, data({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}))
        if way == "cut after the reason":
            raise Drop
        if body.get("stream_options", {}).get("include_usage") and way != "no usage":
            await event(writer, data({"choices": [], "usage": usage}))
        await event(writer, b"data: [DONE]\n\n")
        await event(writer, b"")

    async def _embed(self, body: Any, way: str, writer: asyncio.StreamWriter) -> None:
        texts = body["input"]
        vectors = [[float(len(text)), 1.0, 2.0, 3.0] for text in texts]
        if way == "wrong size":
            vectors[-1] = vectors[-1][:2]
        if way == "another size":
            vectors = [[*vector, 0.0] for vector in vectors]
        items: list[dict[str, Any]] = [{"index": n, "embedding": vector} for n, vector in enumerate(vectors)]
        if way == "no number":
            items[0]["embedding"] = ["one"] * DIMENSIONS
        if way == "half":
            items = items[: len(items) // 2]
        if way == "same place":
            items[-1]["index"] = 0
        if way == "no data":
            await reply(writer, 200, {"object": "list"})
            return
        count = sum(map(len, texts))
        await reply(writer, 200, {"data": items[::-1], "usage": {"prompt_tokens": count, "total_tokens": count}})


def said_back(body: Any) -> str:
    """What it answers: the last words it was told, or the names of what it was shown."""
    content = body["messages"][-1]["content"]
    if isinstance(content, str):
        return f"You said: {content}"
    pictures = [part["image_url"]["url"] for part in content if part["type"] == "image_url"]
    return f"I see {len(pictures)} pictures, the first {pictures[0][:22]}"


REFUSALS: dict[str, tuple[int, Any, dict[str, str]]] = {
    "500": (500, {"error": {"message": "the server had an error"}}, {}),
    "429 for a second": (429, {"error": {"message": "slow down"}}, {"Retry-After": "1"}),
    "429 for an hour": (429, {"error": {"message": "slow down"}}, {"Retry-After": "3600"}),
    "429 of google": (429, [{"error": {"message": "quota", "details": [{"retryDelay": "3600s"}]}}], {}),
    "no balance": (402, {"error": {"message": "Insufficient Balance"}}, {}),
    "no quota": (429, {"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}, {}),
    "no model": (404, {"error": {"message": "The model does not exist", "code": "model_not_found"}}, {}),
    "key of google": (400, [{"error": {"message": "API key not valid. Please pass a valid API key."}}], {}),
    "too long": (400, {"error": {"message": "too long", "code": "context_length_exceeded"}}, {}),
    "bad request": (400, {"error": {"message": "temperature is not supported"}}, {}),
    "elsewhere": (302, "", {"Location": "http://127.0.0.1:9/"}),
    "not found": (404, "<h1>404 page</h1>", {}),
}

SPOILT: dict[str, Any] = {
    "no choices": {"choices": []},
    "a list": [1, 2],
    "no text": {"choices": [{"message": {"content": 7}}]},
}


def data(chunk: Any) -> bytes:
    """An event of a stream."""
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def in_seconds(seconds: float) -> float:
    """A time of the wall."""
    return time.time() + seconds


async def event(writer: asyncio.StreamWriter, piece: bytes) -> None:
    """A chunk of HTTP; an empty one ends the answer."""
    writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
    await writer.drain()


async def reply(
    writer: asyncio.StreamWriter,
    status: int,
    body: Any,
    headers: dict[str, str] | None = None,
    *,
    kind: str = "application/json",
    cut: bool = False,
) -> None:
    """A whole answer."""
    packed = (body if isinstance(body, str) else json.dumps(body)).encode()
    write_head(writer, status, {"Content-Type": kind, "Content-Length": str(len(packed)), **(headers or {})})
    writer.write(packed[: len(packed) // 2] if cut else packed)
    await writer.drain()
    if cut:
        raise Drop


def write_head(writer: asyncio.StreamWriter, status: int, headers: dict[str, str]) -> None:
    """The head of an answer."""
    lines = [f"HTTP/1.1 {status} X", f"Date: {formatdate(usegmt=True)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode())


@asynccontextmanager
async def a_provider() -> AsyncIterator[ModelPeer]:
    """A peer that listens, with connections that stay open; everything under way is dropped at the end."""
    peer = ModelPeer()
    under_way: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        under_way.add(task)
        peer.connections += 1
        try:
            while True:
                await peer.serve(await _read_call(reader), writer)
        except (Drop, ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()
            under_way.discard(task)

    server = await asyncio.start_server(talk, "127.0.0.1", 0, limit=64 * 1024 * 1024)
    peer.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield peer
    finally:
        server.close()
        for task in set(under_way):
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


async def _read_call(reader: asyncio.StreamReader) -> Call:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Call(first.split(" ")[1], headers, json.loads(body or b"null"))

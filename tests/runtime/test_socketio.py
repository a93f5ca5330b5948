"""Live lines over Socket.IO with the library's own client: both transports, cut lines, strangers, slow readers, the stop."""

import asyncio
import contextlib
import queue
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import socketio
from socketio.exceptions import ConnectionError as Unconnected

from nervio.kernel.ids import new_id
from tests.runtime.lively import SECONDS, Shop, a_shop, a_task

QUESTION = "¿Qué vendimos ayer?"
WAYS = (["polling", "websocket"], ["websocket"], ["polling"])


class OldClient:
    """A client of Socket.IO, which runs in threads."""

    def __init__(self) -> None:
        # The client's own Origin would stand beside one that a test gives.
        options = {"suppress_origin": True}
        self.client = socketio.Client(reconnection=False, handle_sigint=False, websocket_extra_options=options)
        self.heard: queue.Queue[tuple[str, Any]] = queue.Queue()
        self.is_over = threading.Event()
        self.client.on("*", lambda event, data=None: self.heard.put((event, data)))
        self.client.on("disconnect", lambda _reason: self.is_over.set())

    async def connect(self, shop: Shop, ways: list[str], headers: dict[str, str], auth: Any = None) -> None:
        """Connects, or raises what it was refused with."""
        given = {"transports": ways, "headers": headers, "auth": auth, "wait_timeout": SECONDS}
        await asyncio.to_thread(self.client.connect, shop.url, **given)

    async def call(self, event: str, data: Any) -> Any:
        """What an event is acknowledged with."""
        return await asyncio.to_thread(self.client.call, event, data, timeout=SECONDS)

    async def hear(self) -> tuple[str, Any]:
        """The next event."""
        return await asyncio.to_thread(self.heard.get, timeout=SECONDS)

    async def text_until(self, event: str, before: str = "", ends: str | None = None) -> tuple[str, int, Any]:
        """(text, token, the event's data) up to an event, or to the end of a text."""
        text, token = before, 0
        while True:
            name, data = await self.hear()
            if name == event:
                return text, token, data
            assert name == "ai-response-chunk", (name, data)
            assert data["start"] == len(text), "no part twice, none lost"
            text, token = text + data["text"], data["token"]
            if ends is not None and text.endswith(ends):
                return text, token, data


@asynccontextmanager
async def a_client(
    shop: Shop, ways: list[str] | None = None, headers: dict[str, str] | None = None, auth: Any = None
) -> AsyncIterator[OldClient]:
    """A client of somebody, the superadmin by default."""
    client = OldClient()
    try:
        await client.connect(shop, ways or ["websocket"], shop.root if headers is None else headers, auth)
        yield client
    finally:
        # Without waiting: a poll of the client's may be under way for 25 s.
        await asyncio.to_thread(client.client.eio.disconnect, abort=True)


@pytest.mark.parametrize("ways", WAYS, ids="-".join)
async def test_an_old_client_asks_and_is_answered_in_parts(tmp_path: Path, ways: list[str]) -> None:
    async with a_shop(tmp_path) as shop, a_client(shop, ways) as client:
        if ways == WAYS[0]:
            await _until(lambda: client.client.transport() == "websocket")
        assert client.client.transport() == ways[-1]
        reply = await client.call("ai-query", {"prompt": QUESTION, "key": "k", "id": "q1"})
        assert reply == {"id": "q1", "task_id": reply["task_id"], "state": "waiting"}
        await shop.speaker.say(QUESTION, "Doce ", "paquetes ", "de yerba 🧉")
        _, _, end = await client.text_until("ai-response-end")
        assert (end["task_id"], end["task"]["state"]) == (reply["task_id"], "done")
        assert end["task"]["result"] == {"text": "Doce paquetes de yerba 🧉"}
        again = await client.call("ai-query", {**a_task(QUESTION), "key": "k", "follow": False})
        assert again["task_id"] == reply["task_id"], "a question is a task of the kind chat"


async def test_a_client_that_lost_its_line_goes_on_where_it_was(tmp_path: Path) -> None:
    whole = [f"{n:03} año " for n in range(150)]
    async with a_shop(tmp_path) as shop:
        async with a_client(shop, ["polling", "websocket"]) as client:
            task_id = (await client.call("ai-query", QUESTION))["task_id"]
            await shop.speaker.say(QUESTION, *whole[:50], ends=False)
            text, token, _ = await client.text_until("never", ends=whole[49])
            client.client.eio.ws.sock.shutdown(socket.SHUT_RDWR)
        await shop.speaker.say(QUESTION, *whole[50:100], ends=False)
        async with a_client(shop) as client:
            place = {"task_id": task_id, "token": token, "characters": len(text)}
            assert (await client.call("ai-follow", place))["task_id"] == task_id
            text, _, _ = await client.text_until("never", text, ends=whole[99])
            await shop.speaker.say(QUESTION, *whole[100:], ends=False)
            text, _, _ = await client.text_until("never", text, ends=whole[149])
            assert text == "".join(whole)
            await shop.speaker.say(QUESTION)
            _, _, end = await client.text_until("ai-response-end", text)
            assert end["task"]["result"] == {"text": text}


async def test_what_is_refused_is_told_by_an_event_and_to_who_waits_for_it(tmp_path: Path) -> None:
    async with a_shop(tmp_path) as shop, a_client(shop) as client:
        nobody = new_id()
        for event, data, code in (
            ("ai-query", None, "invalid_request"),
            ("ai-query", {}, "invalid_request"),
            ("ai-query", 7, "wrong_type"),
            ("ai-query", {"prompt": QUESTION, "more": 1}, "invalid_request"),
            ("ai-query", {"prompt": "\x00"}, "nul_character"),
            ("ai-follow", [], "wrong_type"),
            ("ai-follow", {"task_id": 7}, "invalid_request"),
            ("ai-follow", {"task_id": nobody}, "task_not_found"),
            ("ai-cancel", {"task_id": nobody, "type": "submit"}, "task_not_found"),
            ("ai-unfollow", {}, "invalid_request"),
        ):
            reply = await client.call(event, data)
            assert reply["problem"]["code"] == code, (event, data, reply)
            assert await client.hear() == ("ai-response-error", reply)
        # What is no message of Socket.IO is left lying, and does no harm.
        for frame in ("42[", "42", '451-["ai-query",{"_placeholder":true,"num":0}]', "4", "9", "42" + "[" * 900):
            await asyncio.to_thread(client.client.eio.ws.send, frame)
        assert (await client.call("ai-query", QUESTION))["state"] == "waiting"


async def test_who_may_connect_is_who_may_open_any_line(tmp_path: Path) -> None:
    async with a_shop(tmp_path, server={"cors_origins": "https://partner.example"}) as shop:
        cashier, stranger = await shop.a_user("cashier"), await shop.a_stranger()
        token = shop.root["Authorization"].removeprefix("Bearer ")
        key = (await shop.post("/api/keys", {"name": "old page", "roles": ["negocio"]}))["secret"]
        for ways in (["websocket"], ["polling"]):
            for headers, auth in (
                ({}, None),
                ({"X-API-Key": "nonsense"}, None),
                ({}, {"token": "nonsense"}),
                ({}, {"token": 7}),
                ({}, {"password": "x"}),
                (cashier, None),
                ({**shop.root, "Origin": "https://evil.example"}, None),
            ):
                with pytest.raises(Unconnected):
                    async with a_client(shop, ways, headers, auth):
                        pass
            for auth in ({"token": token}, {"api_key": key}):
                async with a_client(shop, ways, {"Origin": "https://partner.example"}, auth) as client:
                    assert (await client.call("ai-query", QUESTION))["state"] == "waiting"
            if ways == ["websocket"]:  # of one that polls it may not be known before its time is over that it left
                await _until(lambda: not _lines(shop))
        async with a_client(shop) as mine, a_client(shop, headers=stranger) as other:
            task_id = (await mine.call("ai-query", QUESTION))["task_id"]
            for event in ("ai-follow", "ai-cancel"):
                assert (await other.call(event, {"task_id": task_id}))["problem"]["code"] == "task_not_found"
        # An answer as a script could be read by any page.
        reply = await shop.client.get("/socket.io/?EIO=4&transport=polling&j=0", headers=shop.root)
        assert reply.status_code == 400


async def test_no_more_connect_than_there_is_room_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with a_shop(tmp_path) as shop, a_client(shop) as client:
        monkeypatch.setattr("nervio.adapters.live.socketio.MOST_SOCKETS", 1)
        for ways in (["websocket"], ["polling"]):
            with pytest.raises(Unconnected):
                async with a_client(shop, ways):
                    pass
        assert (await client.call("ai-query", QUESTION))["state"] == "waiting", "who is connected stays so"


async def test_the_stop_and_the_end_of_a_session_reach_old_clients(tmp_path: Path) -> None:
    async with a_shop(tmp_path) as shop:
        user = await shop.a_user("negocio")
        async with a_client(shop) as client, a_client(shop, ["polling"], user) as leaving:
            task_id = (await client.call("ai-query", QUESTION))["task_id"]
            await shop.post("/api/admin/emergency/freeze", {"reason": "fire"})
            event, data = await client.hear()
            assert (event, data["task_id"], data["problem"]["code"]) == ("ai-response-error", task_id, "halted")
            assert (await client.call("ai-query", "another"))["problem"]["code"] == "halted"
            with pytest.raises(Unconnected):
                async with a_client(shop):
                    pass
            await shop.post("/api/admin/emergency/unfreeze", {"reason": "over"})
            await _until(lambda: not shop.app.halt_watch.in_force)
            assert (await client.call("ai-follow", {"task_id": task_id}))["task_id"] == task_id
            await shop.post("/api/auth/logout", None, user)
            event, data = await leaving.hear()
            assert (event, data["problem"]["code"]) == ("ai-response-error", "line_closed")
            assert data["problem"]["close_code"] == 4401
            assert await asyncio.to_thread(leaving.is_over.wait, SECONDS)


@pytest.mark.parametrize("ways", [["websocket"], ["polling"]], ids="-".join)
async def test_a_client_that_reads_nothing_is_given_up_and_holds_up_nobody(tmp_path: Path, ways: list[str]) -> None:
    a_stern_shop = a_shop(tmp_path, fleet={"live_stalled_seconds": 1})
    async with a_stern_shop as shop, a_client(shop, ways) as slow, a_client(shop) as fast:
        tasks = [(await slow.call("ai-query", f"q{n}"))["task_id"] for n in range(12)]
        stuck = threading.Event()
        server = shop.face._socket_io
        assert server is not None
        (eio,) = [one for sid, one in server._server.eio.sockets.items() if sid == slow.client.eio.sid]
        # The client's reading thread is held; what it does not take stays with the server.
        hold = slow.client.eio._receive_packet
        slow.client.eio._receive_packet = lambda _packet: stuck.wait(SECONDS)
        for n in range(12):
            await shop.speaker.say(f"q{n}", *["x" * 50_000] * 18, ends=False)
        assert (await fast.call("ai-follow", {"task_id": tasks[0]}))["task_id"] == tasks[0]
        text, most = "", 0
        while len(text) < 900_000:
            _, data = await fast.hear()
            text += data["text"]
            most = max(most, eio.queue.qsize())
        assert most <= 3, "parts wait where they are made, not with the library"
        await _until(lambda: _lines(shop) == 1)
        stuck.set()
        slow.client.eio._receive_packet = hold


async def test_the_program_ends_with_old_clients_connected(tmp_path: Path) -> None:
    clients = contextlib.AsyncExitStack()
    async with clients:
        async with a_shop(tmp_path) as shop:
            both = [await clients.enter_async_context(a_client(shop, ways)) for ways in (["websocket"], ["polling"])]
            for client in both:
                await client.call("ai-query", QUESTION)
        for client in both:
            assert await asyncio.to_thread(client.is_over.wait, SECONDS)


def _lines(shop: Shop) -> int:
    counted: int = shop.face.application.api.state.live_lines._open.total()
    return counted


async def _until(holds: Callable[[], bool], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 (there is no event to wait for)
            await asyncio.sleep(0.05)

"""Live lines over WebSocket, on a real port: answers in parts, cut lines, slow readers, nonsense, strangers, stops."""

import asyncio
import gc
import json
import socket
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from nervio.kernel.ids import new_id
from nervio.modules.fleet.routes.messages import Cancel, Follow, Submit, Unfollow
from nervio.modules.identity.api import SESSION_COOKIE
from nervio.runtime.lines import LineProtocol
from tests.runtime.lively import CONTRACT, Line, Shop, a_line, a_shop, a_task, text_of

QUESTION = "¿Cuánta yerba queda? 🧉"
EMERGENCY = "/api/admin/emergency"
QUESTIONS = [f"q{n}" for n in range(12)]
LONG = "x" * 50_000


def test_what_may_be_asked_is_what_is_published() -> None:
    asked: dict[str, type[BaseModel]] = {"submit": Submit, "follow": Follow, "unfollow": Unfollow, "cancel": Cancel}
    parts = {part["$ref"].rpartition("/")[2] for part in CONTRACT["operations"]["ask"]["messages"]}
    assert parts == set(asked)
    for name, model in asked.items():
        published, ours = CONTRACT["components"]["messages"][name]["payload"], model.model_json_schema()
        assert set(published["properties"]) == set(ours["properties"])
        assert set(published["required"]) == set(ours["required"])
        for field, said in published["properties"].items():
            assert said.get("default") in (None, ours["properties"][field].get("default")), (name, field)


async def test_a_question_is_asked_and_answered_in_parts_over_one_line(tmp_path: Path) -> None:
    async with a_shop(tmp_path) as shop, a_line(shop) as line:
        queued = await line.ask({"type": "submit", "id": "first", "task": a_task(QUESTION), "key": "k1"})
        assert queued == {"type": "queued", "id": "first", "task_id": queued["task_id"], "state": "waiting"}
        await shop.speaker.say(QUESTION, "Quedan ", "doce 🧉 ", "paquetes.")
        heard = await line.parts_until(queued["task_id"])
        assert "Quedan doce 🧉 paquetes.".startswith(text_of(heard))
        task = heard[-1]["task"]
        assert (task["state"], task["result"]) == ("done", {"text": "Quedan doce 🧉 paquetes."})
        assert heard[-1]["is_cut"] is False and "payload" not in task
        again = await line.ask({"type": "submit", "task": a_task(QUESTION), "key": "k1", "follow": False})
        assert again["task_id"] == queued["task_id"], "the same key is the same task"


async def test_a_line_that_was_cut_goes_on_where_it_was_with_no_part_twice_or_lost(tmp_path: Path) -> None:
    whole = [f"{n:03} mañana " for n in range(200)]
    async with a_shop(tmp_path) as shop:
        async with a_line(shop) as line:
            task_id = await line.submit(QUESTION)
            await shop.speaker.say(QUESTION, *whole[:70], ends=False)
            before = await line.parts_until(task_id, text=whole[69])
            line.socket.transport.abort()
        # What is said while nobody listens is not lost.
        await shop.speaker.say(QUESTION, *whole[70:140], ends=False)
        text, token = text_of(before), before[-1]["token"]
        assert text == "".join(whole[:70])
        async with a_line(shop) as line:
            reply = await line.ask(
                {"type": "follow", "task_id": task_id, "token": token, "characters": len(text), "id": "again"}
            )
            assert reply == {"type": "following", "id": "again", "task_id": task_id}
            text = text_of(await line.parts_until(task_id, text=whole[139], before=text), text)
            await shop.speaker.say(QUESTION, *whole[140:], ends=False)
            text = text_of(await line.parts_until(task_id, text=whole[199], before=text), text)
            assert text == "".join(whole)
            await shop.speaker.say(QUESTION)
            (end,) = await line.parts_until(task_id)
            assert end["task"]["result"] == {"text": text}


async def test_whoever_reads_slowly_holds_up_nobody_and_is_kept_in_little_memory(tmp_path: Path) -> None:
    async with (
        a_shop(tmp_path) as shop,
        a_line(shop, sock=await _narrow(shop), max_queue=1) as slow,
        a_line(shop) as fast,
    ):
        tasks = await _flood(shop, slow)
        for task_id in tasks:
            await fast.say({"type": "follow", "task_id": task_id})
        texts = dict.fromkeys(tasks, "")
        async with asyncio.timeout(30):
            while any(len(one) < 900_000 for one in texts.values()):
                message = await fast.hear()
                if message["type"] == "part":
                    assert message["start"] == len(texts[message["task_id"]])
                    texts[message["task_id"]] += message["text"]
        waiting = [one.transport.get_write_buffer_size() for one in _connections()]
        assert len(waiting) == 2
        assert 0 < max(waiting) < 200_000, "of 10.8 million characters"
        # The slow one reads at last, and misses nothing.
        for question in QUESTIONS:
            await shop.speaker.say(question)
        late = dict.fromkeys(tasks, "")
        ends: dict[str, Any] = {}
        async with asyncio.timeout(30):
            while len(ends) < len(tasks):
                message = await slow.hear()
                if message["type"] == "part":
                    assert message["start"] == len(late[message["task_id"]])
                    late[message["task_id"]] += message["text"]
                elif message["type"] == "ended":
                    ends[message["task_id"]] = message
        assert all(ends[one]["task"]["result"]["text"] == LONG * 18 for one in tasks)


async def test_a_reader_that_takes_nothing_for_too_long_is_closed_and_told_why(tmp_path: Path) -> None:
    async with a_shop(tmp_path, fleet={"live_stalled_seconds": 1}) as shop:
        async with a_line(shop, sock=await _narrow(shop), max_queue=1) as slow:
            await _flood(shop, slow)
            await _until(lambda: _lines(shop) == 0)
            with pytest.raises(ConnectionClosed) as closed:
                await _hear_all(slow)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 4408
        await _until(lambda: not _connections())


async def test_one_nobody_reads_from_again_does_not_keep_its_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nervio.runtime.lines.LINGER_SECONDS", 0.5)
    async with (
        a_shop(tmp_path, fleet={"live_stalled_seconds": 1}) as shop,
        a_line(shop, sock=await _narrow(shop), max_queue=1) as slow,
    ):
        await _flood(shop, slow)
        await _until(lambda: not _connections())
        slow.socket.transport.abort()


NONSENSE = [
    ("no JSON", "malformed_json", "JSON"),
    ("", "malformed_json", "JSON"),
    ('{"type": "follow", "task_id": NaN}', "malformed_json", "JSON"),
    ('{"type": "cancel", "task_id": "\\ud800"}', "malformed_json", "JSON"),
    ("[" * 5000, "malformed_json", "JSON"),
    ("[]", "wrong_type", "object"),
    ("12", "wrong_type", "object"),
    ("null", "wrong_type", "object"),
    ("{}", "unknown_message", "submit"),
    ('{"type": {"a": 1}}', "unknown_message", "submit"),
    ('{"type": "dance"}', "unknown_message", "submit"),
    ('{"type": "follow"}', "invalid_request", "task_id"),
    ('{"type": "follow", "task_id": 7}', "invalid_request", "task_id"),
    ('{"type": "follow", "task_id": "nobody"}', "invalid_request", "task_id"),
    ('{"type": "unfollow", "task_id": null}', "invalid_request", "task_id"),
    ('{"type": "cancel", "task_id": "x", "more": 1}', "invalid_request", "task_id"),
    ('{"type": "submit"}', "invalid_request", "task"),
    ('{"type": "submit", "task": []}', "invalid_request", "task"),
    ('{"type": "submit", "task": {"kind": "chat", "payload": "text"}}', "invalid_request", "task.payload"),
    ('{"type": "submit", "task": {"kind": "CHAT!", "payload": {}}}', "invalid_kind", "kind"),
    ('{"type": "submit", "task": {"kind": "chat", "payload": {}}, "key": ""}', "invalid_request", "key"),
    ('{"type": "submit", "task": {"kind": "chat", "payload": {"a": "\\u0000"}}}', "nul_character", "task.payload.a"),
    ('{"type": "submit", "task": {"kind": "chat", "payload": {"\\u0000": 1}}}', "nul_character", "task.payload"),
    ('{"type": "submit", "task": {"kind": "chat", "payload": {}, "retries": 99}}', "invalid_request", "task.retries"),
]


async def test_nonsense_is_answered_with_what_is_wrong_and_the_line_goes_on(tmp_path: Path) -> None:
    async with a_shop(tmp_path) as shop, a_line(shop) as line:
        for message, code, names in NONSENSE:
            reply = await line.ask(message)
            assert (reply["type"], reply["problem"]["code"]) == ("problem", code), (message, reply)
            assert names in reply["problem"]["detail"], (message, reply)
        nobody = {"type": "cancel", "id": "x", "task_id": new_id()}
        reply = await line.ask(nobody)
        assert (reply["id"], reply["task_id"], reply["problem"]["code"]) == ("x", nobody["task_id"], "task_not_found")
        await line.submit(QUESTION)


async def test_what_is_too_large_or_no_text_ends_the_line(tmp_path: Path) -> None:
    async with a_shop(tmp_path, fleet={"live_message_bytes": 8192}) as shop:
        for message, code in (("x" * 9000, 1009), (b"\x00\x01", 1003)):
            async with a_line(shop) as line:
                await line.say(message)
                with pytest.raises(ConnectionClosed) as closed:
                    await line.hear()
            assert closed.value.rcvd is not None and closed.value.rcvd.code == code
        async with a_line(shop) as line:
            task_id = await line.submit(QUESTION)
            await shop.speaker.say(QUESTION, *["ñ" * 1000] * 5)
            end = (await line.parts_until(task_id))[-1]
            assert (end["is_cut"], end["task"]["state"], end["task"]["result"]) == (True, "done", None)
            whole = await shop.client.get(f"/api/tasks/{task_id}", headers=shop.root)
            assert whole.json()["result"] == {"text": "ñ" * 5000}


async def test_nobody_follows_or_ends_what_is_somebody_else_s(tmp_path: Path) -> None:
    async with a_shop(tmp_path) as shop:
        stranger = await shop.a_stranger()
        async with a_line(shop) as line, a_line(shop, stranger) as other:
            task_id = await line.submit(QUESTION, key="theirs")
            for kind in ("follow", "cancel"):
                reply = await other.ask({"type": kind, "task_id": task_id})
                assert reply["problem"]["code"] == "task_not_found", reply
            mine = await other.ask({"type": "submit", "task": a_task("another"), "key": "theirs"})
            assert mine["type"] == "queued" and mine["task_id"] != task_id
            await shop.speaker.say(QUESTION, "secret")
            await line.parts_until(task_id)
            await other.say({"type": "unfollow", "task_id": mine["task_id"]})
            assert (await other.hear())["type"] == "unfollowed", "nothing else was heard"


async def test_a_line_is_opened_by_whoever_may_and_from_where_one_may(tmp_path: Path) -> None:
    async with a_shop(tmp_path, server={"cors_origins": "https://partner.example"}) as shop:
        cashier, own = await shop.a_user("cashier"), shop.url
        bearer = shop.root["Authorization"]
        login = await shop.app.authenticator.log_in(shop.email, shop.password)
        key = (await shop.post("/api/keys", {"name": "machine", "roles": ["negocio"]}))["secret"]
        cookie = f"{SESSION_COOKIE}={login.session_token}"
        for headers, status, code in (
            ({}, 401, "unauthenticated"),
            ({"Authorization": "Bearer nonsense"}, 401, "invalid_token"),
            ({"X-API-Key": "nonsense"}, 401, "invalid_api_key"),
            (cashier, 403, "forbidden"),
            ({"Cookie": cookie}, 403, "cross_site"),
            ({"Cookie": cookie, "Origin": "https://evil.example"}, 403, "cross_site"),
            ({"Cookie": cookie, "Origin": "https://partner.example"}, 403, "cross_site"),
            ({"Cookie": cookie, "Origin": "null"}, 403, "cross_site"),
            ({"Authorization": bearer, "Origin": "https://evil.example"}, 403, "cross_site"),
            ({"Cookie": cookie, "Origin": own}, None, None),
            ({"Authorization": bearer}, None, None),
            ({"Authorization": bearer, "Origin": "https://partner.example"}, None, None),
            ({"X-API-Key": key}, None, None),
        ):
            opening = connect(shop.live, additional_headers=headers, proxy=None)
            if status is None:
                async with opening as socket:
                    assert socket.response is not None and socket.response.headers["X-Request-ID"]
                continue
            with pytest.raises(InvalidStatus) as refused:
                await opening
            reply = refused.value.response
            assert reply.status_code == status, (headers, reply.body)
            assert reply.headers["Content-Type"].startswith("application/problem+json")
            assert json.loads(reply.body or b"{}")["code"] == code, headers
        figures = (await shop.client.get("/metrics")).text
        assert 'http_responses_total{method="GET",route="/api/tasks/live",status="401"}' in figures
        assert 'route="/api/tasks/live",status="101"' not in figures, "how long somebody looks is no figure of requests"


async def test_whose_session_or_rights_end_is_closed_within_seconds(tmp_path: Path) -> None:
    async with a_shop(tmp_path) as shop:
        user, demoted = await shop.a_user("negocio"), await shop.a_user("ml_service")
        made = await shop.post("/api/keys", {"name": "machine", "roles": ["negocio"]})
        async with (
            a_line(shop, user) as person,
            a_line(shop, {"X-API-Key": made["secret"]}) as machine,
            a_line(shop, demoted) as other,
            a_line(shop) as root,
        ):
            await person.submit(QUESTION)
            await machine.submit("another")
            await shop.post("/api/auth/logout", None, user)
            assert (await shop.client.delete(f"/api/keys/{made['key']['id']}", headers=shop.root)).is_success
            me = (await shop.client.get("/api/auth/profile", headers=demoted)).json()
            changed = await shop.client.patch(f"/api/users/{me['id']}", json={"roles": ["cashier"]}, headers=shop.root)
            assert changed.is_success, changed.text
            for line, code in ((person, 4401), (machine, 4401), (other, 4403)):
                with pytest.raises(ConnectionClosed) as closed:
                    await _hear_all(line)
                assert closed.value.rcvd is not None and closed.value.rcvd.code == code
            await root.submit("who may goes on")
        assert _lines(shop) == 0


async def test_a_stop_refuses_what_it_forbids_and_the_line_outlives_it(tmp_path: Path) -> None:
    async with a_shop(tmp_path) as shop, a_line(shop) as line:
        task_id = await line.submit(QUESTION)
        await shop.speaker.say(QUESTION, "uno ", ends=False)
        before = await line.parts_until(task_id, text="uno ")
        await shop.post(f"{EMERGENCY}/freeze", {"reason": "fire", "module": "fleet", "level": "read_only"})
        reply = await line.ask({"type": "submit", "task": a_task("another")})
        assert (reply["problem"]["code"], reply["problem"]["reason"]) == ("halted", "fire")
        await shop.speaker.say(QUESTION, "dos ", ends=False)
        before += await line.parts_until(task_id, text="dos ", before="uno ")
        # A stop of everything keeps answers back as well.
        await shop.post(f"{EMERGENCY}/freeze", {"reason": "flood"})
        (told,) = await line.parts_until(task_id, "problem")
        assert told["problem"]["code"] == "halted"
        reply = await line.ask({"type": "follow", "task_id": task_id})
        assert reply["problem"]["code"] == "halted"
        with pytest.raises(InvalidStatus) as refused:
            await connect(shop.live, additional_headers=shop.root, proxy=None)
        assert refused.value.response.status_code == 503
        assert json.loads(refused.value.response.body or b"{}")["code"] == "halted"
        for scope in ({"reason": "over", "module": "fleet"}, {"reason": "over"}):
            await shop.post(f"{EMERGENCY}/unfreeze", scope)
        await _until(lambda: not shop.app.halt_watch.in_force)
        place = {"token": before[-1]["token"], "characters": len(text_of(before))}
        assert (await line.ask({"type": "follow", "task_id": task_id, **place}))["type"] == "following"
        await shop.speaker.say(QUESTION, "tres")
        heard = await line.parts_until(task_id)
        assert heard[-1]["task"]["result"] == {"text": "uno dos tres"}


async def test_lines_and_answers_have_limits_and_cancelling_ends_an_answer(tmp_path: Path) -> None:
    async with a_shop(tmp_path, fleet={"live_lines_per_person": 2, "live_follows_per_line": 2}) as shop:
        async with a_line(shop) as line, a_line(shop):
            with pytest.raises(InvalidStatus) as refused:
                await connect(shop.live, additional_headers=shop.root, proxy=None)
            assert refused.value.response.status_code == 429
            first, second = await line.submit("one"), await line.submit("two")
            reply = await line.ask({"type": "submit", "task": a_task("three")})
            assert reply["problem"]["code"] == "too_many_follows"
            listed = await shop.client.get("/api/tasks", headers=shop.root)
            assert len(listed.json()["items"]) == 2, "what cannot be followed was not queued either"
            assert (await line.ask({"type": "follow", "task_id": first}))["type"] == "following", "it is one of the two"
            await line.say({"type": "cancel", "task_id": first, "id": "c"})
            heard = [await line.hear(), await line.hear()]
            assert {one["type"] for one in heard} == {"cancelled", "ended"}
            end = next(one for one in heard if one["type"] == "ended")
            assert (end["task_id"], end["task"]["state"]) == (first, "cancelled")
            assert (await line.ask({"type": "unfollow", "task_id": second}))["type"] == "unfollowed"
        await _until(lambda: _lines(shop) == 0)
        async with a_line(shop):
            pass


async def test_the_program_ends_with_lines_open(tmp_path: Path) -> None:
    async with a_shop(tmp_path) as shop:
        socket = await connect(shop.live, additional_headers=shop.root, proxy=None)
    with pytest.raises(ConnectionClosed) as closed:
        await socket.recv()
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 1012


async def _narrow(shop: Shop) -> socket.socket:
    """A connection with a small window, for a client that takes little in: what the server sends stays with the server."""
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    narrow.setblocking(False)
    await asyncio.get_running_loop().sock_connect(narrow, ("127.0.0.1", int(shop.url.rpartition(":")[2])))
    return narrow


async def _flood(shop: Shop, line: Line) -> list[str]:
    """Tasks that the line follows, each with 900,000 characters so far."""
    tasks = [await line.submit(question) for question in QUESTIONS]
    for question in QUESTIONS:
        await shop.speaker.say(question, *[LONG] * 18, ends=False)
    return tasks


async def _hear_all(line: Line) -> None:
    """Reads until the line ends."""
    async with asyncio.timeout(20):
        while True:
            await line.hear()


def _connections() -> list[LineProtocol]:
    return [one for one in gc.get_objects() if isinstance(one, LineProtocol) and not one.disconnected]


async def _until(holds: Any, seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 (there is no event to wait for)
            await asyncio.sleep(0.05)


def _lines(shop: Shop) -> int:
    counted: int = shop.face.application.api.state.live_lines._open.total()
    return counted

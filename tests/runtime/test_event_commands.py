"""Dead letters and the life of events, by REST and by the command line, on a shop that is running."""

import asyncio
import json
from pathlib import Path

import pytest

from nervio.db import dead_letters
from nervio.events.sales import SALE_RECORDED
from nervio.kernel.ids import new_id
from nervio.ports.bus import DeadLetter, Event
from nervio.runtime import cli, handlers, replays
from tests.runtime.program import Program, a_program, a_server

HANDLER = "safety.look_sooner"


async def bury(program: Program, tenant_id: str, handler: str = HANDLER) -> str:
    """Keeps a letter; its event's id."""
    event = Event(new_id(), SALE_RECORDED, tenant_id, "k", 1, 0, program.app.clock.now(), {"total_minor": 500})
    letter = DeadLetter(event, handler, "ValueError: no", 5, 2.0)
    now = program.app.clock.now()
    await program.app.database.bookkeep("handlers", lambda c: dead_letters.keep(c, letter, now))
    return event.id


async def test_dead_letters_are_listed_page_by_page_and_tried_again_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handlers, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(replays, "LOOK_SECONDS", 0.05)
    async with a_program(tmp_path, roles=("handlers",)) as program:
        headers = await program.login()
        tenant = await program.app.first_tenant()
        assert tenant is not None
        wanted = {await bury(program, tenant.id) for _ in range(3)}
        stays = await bury(program, tenant.id, "gone.handler")
        await bury(program, new_id(), "gone.handler")  # a neighbour's
        found, cursor = [], ""
        while True:
            reply = await program.client.get(f"/api/events/dead?limit=2{cursor}", headers=headers)
            assert reply.status_code == 200, reply.text
            found += reply.json()["items"]
            if reply.json()["next_cursor"] is None:
                break
            cursor = f"&cursor={reply.json()['next_cursor']}"
        assert {letter["event_id"] for letter in found} == {*wanted, stays}
        assert found[0]["reason"] == "ValueError: no"
        for letter in found:
            asked = await program.client.post(f"/api/events/dead/{letter['id']}/replay", headers=headers)
            assert (asked.status_code, asked.json()) == (202, {"letters": 1})
        left: list[str] = []

        async def look() -> None:
            reply = await program.client.get("/api/events/dead", headers=headers)
            left[:] = [letter["event_id"] for letter in reply.json()["items"]]

        async with asyncio.timeout(20):
            while left != [stays]:
                await look()
        assert left == [stays], "those whose handler runs are handled, the other waits for its handler"
        unknown = await program.client.post(f"/api/events/dead/{new_id()}/replay", headers=headers)
        assert (unknown.status_code, unknown.json()["code"]) == (404, "dead_letter_not_found")


def test_the_command_line_shows_life_and_letters_while_the_server_runs(
    tmp_path: Path, free_port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def say(*arguments: str) -> tuple[int, str, str]:
        """A command, run in this process beside the server."""
        monkeypatch.setattr("sys.argv", ["nervio", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0), *capsys.readouterr()

    monkeypatch.setenv("NERVIO_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("NERVIO_LOG__DIRECTORY", str(tmp_path / "logs"))
    with a_server(tmp_path, free_port) as server:
        headers = server.login()
        server.call("POST", "/api/locations", {"code": "MAIN", "name": "Main"}, headers)
        product = {"sku": "A-1", "name": "Yerba", "unit_price_minor": 500, "tracked": False}
        server.call("POST", "/api/products", {"products": [product]}, headers)
        sold = server.call("POST", "/test/simulate-sale", {"sku": "A-1"}, headers).json()
        shown = say("events", "tail", "--after", "0", "--seconds", "0", "--type", SALE_RECORDED, "--json")
        (line,) = [json.loads(line) for line in shown[1].splitlines()]
        assert line["payload"]["ticket_id"] == sold["ticket_id"]
        assert SALE_RECORDED in say("events", "tail", "--after", "0", "--seconds", "0")[1]
        assert say("events", "dead", "--json") == (0, '{"letters": []}\n', "")
        assert say("events", "replay", "--all", "--json") == (0, '{"letters": 0}\n', "")
        code, _, said = say("events", "replay", "--from", "1")
        assert (code, "no Redis or NATS" in said) == (1, True)
        assert say("events", "replay")[0] == 2

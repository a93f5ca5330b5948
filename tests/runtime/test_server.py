"""The real process on a real port: from the first login to a sale, its limits, and its end."""

import http.client
import itertools
import json
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from nervio.runtime.cli.output import Exit
from tests.runtime.program import Server, a_server, nervio

pytestmark = pytest.mark.slow

PRODUCT = {"sku": "YER-500", "name": "Yerba mate 500 g", "unit_price_minor": 285000, "currency": "ARS"}
SALE = {
    "location": "MAIN",
    "lines": [{"sku": "YER-500", "quantity_milli": 2000}],
    "payments": [{"kind": "cash", "amount_minor": 570000}],
}


def ok(answer: Any, *statuses: int) -> Any:
    assert answer.status in (statuses or (200, 201)), answer.body
    return answer.json() if answer.body else None


def furnish(server: Server, headers: dict[str, str], units: int = 10) -> None:
    """A location, a product and a receipt of it, over HTTP."""
    ok(server.call("POST", "/api/locations", {"code": "MAIN", "name": "Salón"}, headers))
    ok(server.call("POST", "/api/products", {"products": [PRODUCT]}, headers))
    line = {"sku": "YER-500", "quantity_milli": units * 1000}
    document = {"kind": "receipt", "location": "MAIN", "lines": [line], "reference": "first"}
    ok(server.call("POST", "/api/stock/movements", {"documents": [document]}, headers))


def test_a_day_with_one_server(tmp_path: Path, free_port: int) -> None:
    with a_server(tmp_path, free_port) as server:
        shown = server.output.read_text(encoding="utf-8")
        assert server.url in shown
        assert "admin@nervio.local" in shown
        headers = server.login()
        furnish(server, headers)
        a_sale_is_made_once(server, headers)
        a_second_server_is_refused(server)
        commands_go_through_the_running_server(server)
        a_stop_from_the_command_line_holds_and_is_let_go(server, headers)
        assert server.stop() == 0
    assert not (tmp_path / "server.json").exists()
    logs = [path.read_text(encoding="utf-8") for path in (tmp_path / "logs").iterdir()]
    lines = [json.loads(line) for text in logs for line in text.splitlines()]
    assert {"started", "stopped", "request"} <= {line["event"] for line in lines}
    assert server.first_password() not in "".join(logs)
    verified = nervio(tmp_path, "ledger", "verify", "--json")
    report = json.loads(verified.stdout)
    # The sealer's last round came after the last write.
    assert (verified.returncode, report["verified"], report["unsealed_commits"]) == (0, True, 0), verified.stderr
    assert report["heads"] > 0


def a_sale_is_made_once(server: Server, headers: dict[str, str]) -> None:
    ticket = ok(server.call("POST", "/api/sales", SALE, {**headers, "Idempotency-Key": "t-1"}), 201)
    again = ok(server.call("POST", "/api/sales", SALE, {**headers, "Idempotency-Key": "t-1"}), 201)
    assert again == ticket
    too_many = {**SALE, "lines": [{"sku": "YER-500", "quantity_milli": 99000}]}
    refused = server.call("POST", "/api/sales", too_many, headers)
    assert (refused.status, refused.json()["code"]) == (409, "insufficient_stock")
    assert on_hand(server, headers) == 8000


def a_second_server_is_refused(server: Server) -> None:
    second = nervio(server.folder, "up", "--port", "0")
    assert second.returncode == Exit.FAILED
    assert f"process id {server.process.pid} at {server.url}" in second.stderr


def commands_go_through_the_running_server(server: Server) -> None:
    arguments = ("user", "create", "caja@shop.test", "--name", "Caja", "--role", "cashier", "--json")
    made = nervio(server.folder, *arguments)
    assert made.returncode == 0, made.stderr
    user = json.loads(made.stdout)
    login = server.call("POST", "/api/auth/login", {"email": "caja@shop.test", "password": user["password"]})
    assert ok(login)["profile"]["roles"] == ["cashier"]
    twice = nervio(server.folder, *arguments)
    assert twice.returncode == Exit.FAILED
    assert "Traceback" not in twice.stderr
    stranger = server.call("POST", "/operator/list-users", {}, {"Authorization": "Operator guess"})
    assert stranger.status == 404


def a_stop_from_the_command_line_holds_and_is_let_go(server: Server, headers: dict[str, str]) -> None:
    stopped = nervio(server.folder, "stop", "--reason", "fire drill", "--json")
    assert (stopped.returncode, json.loads(stopped.stdout)["acknowledged"]) == (0, True)
    refused = server.call("POST", "/api/sales", SALE, headers)
    assert (refused.status, refused.json()["kind"], refused.json()["reason"]) == (503, "halted", "fire drill")
    assert nervio(server.folder, "resume", "--reason", "over").returncode == 0
    deadline = time.monotonic() + 10
    while (answer := server.call("POST", "/api/sales", SALE, headers)).status == 503 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert answer.status == 201, answer.body


def test_what_was_answered_is_there_after_an_orderly_end_and_after_a_kill(tmp_path: Path, free_port: int) -> None:
    with a_server(tmp_path, free_port) as server:
        headers = server.login()
        furnish(server, headers, units=100_000)
        sold, lost = sell_until_it_ends(server, headers, "first")
        assert server.process.returncode == 0
    with a_server(tmp_path, free_port) as server:
        # The token outlives the process: its key and its session do. The password is printed on the first start only.
        assert "Password" not in server.output.read_text(encoding="utf-8")
        left = on_hand(server, headers)
        assert sold <= 100_000 - left // 1000 <= sold + lost
        more, more_lost = sell_until_it_ends(server, headers, "second", kill=True)
    with a_server(tmp_path, free_port) as server:
        now = on_hand(server, headers)
        assert more <= (left - now) // 1000 <= more + more_lost


def sell_until_it_ends(server: Server, headers: dict[str, str], name: str, *, kill: bool = False) -> tuple[int, int]:
    """(tickets answered, requests that got no answer) of six tills while the server is ended."""
    line, paid = {"sku": "YER-500", "quantity_milli": 1000}, {"kind": "cash", "amount_minor": 285000}
    sale = {"location": "MAIN", "lines": [line], "payments": [paid]}
    sold: list[str] = []
    lost: list[str] = []

    def sell(till: int) -> None:
        for n in itertools.count():
            key = f"{name}-{till}-{n}"
            try:
                answer = server.call("POST", "/api/sales", sale, {**headers, "Idempotency-Key": key})
            except (OSError, http.client.HTTPException):
                lost.append(key)
                return
            if answer.status != 201:
                return  # it said that it is shutting down
            sold.append(key)

    tills = [threading.Thread(target=sell, args=(till,)) for till in range(6)]
    for till in tills:
        till.start()
    deadline = time.monotonic() + 30
    while len(sold) < 30 and time.monotonic() < deadline:
        time.sleep(0.01)
    if kill:
        server.process.send_signal(signal.SIGKILL)
        server.process.wait(10)
    else:
        server.stop()
    for till in tills:
        till.join()
    assert len(sold) >= 30
    return len(sold), len(lost)


def on_hand(server: Server, headers: dict[str, str]) -> int:
    """Thousandths of a unit of the one product there is."""
    level: int = ok(server.call("GET", "/api/stock/levels", headers=headers))["items"][0]["on_hand_milli"]
    return level


def test_a_web_process_can_be_kept_to_some_modules(tmp_path: Path, free_port: int) -> None:
    with a_server(tmp_path, free_port, "serve", "--roles", "web,sealer", "--only", "stock") as server:
        headers = server.login()
        assert server.call("GET", "/api/stock/levels", headers=headers).status == 200
        assert server.call("GET", "/api/products", headers=headers).status == 404
        assert server.call("GET", "/api/admin/emergency/status").status == 200
        paths = ok(server.call("GET", "/openapi.json"))["paths"]
        assert "/api/stock/levels" in paths
        assert "/api/sales" not in paths

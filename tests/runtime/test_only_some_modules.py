"""`nervio serve --only safety,stock,sales --port 8011`: selling, stock and the stop by themselves."""

import contextlib
import sqlite3
from pathlib import Path

import pytest

from tests.runtime.program import Answer, Server, a_server, nervio
from tests.runtime.test_server import ok

pytestmark = pytest.mark.slow

ROLES = ("--roles", "web,relay,sealer,scheduler")
ONLY = ("serve", *ROLES, "--only", "safety,stock,sales")
PRODUCT = {"sku": "YER-500", "name": "Yerba mate 500 g", "unit_price_minor": 285000, "currency": "ARS"}


def furnished_elsewhere(folder: Path, port: int) -> dict[str, str]:
    """The headers of the first superadmin of a shop whose products another process saved: the catalogue's
    own routes are not served here."""
    with a_server(folder, port) as server:
        headers = server.login()
        ok(server.call("POST", "/api/locations", {"code": "MAIN", "name": "Salón"}, headers))
        ok(server.call("POST", "/api/products", {"products": [PRODUCT]}, headers))
        return headers


def test_stock_sales_and_the_stop_work_alone(tmp_path: Path, free_port: int) -> None:
    headers = furnished_elsewhere(tmp_path, free_port)
    with a_server(tmp_path, free_port, *ONLY) as server:
        assert server.call("GET", "/api/products", headers=headers).status == 404
        line = {"sku": "YER-500", "quantity_milli": 5000}
        document = {"kind": "receipt", "location": "MAIN", "lines": [line]}
        ok(server.call("POST", "/api/stock/movements", {"documents": [document]}, headers))

        ticket = ok(simulate(server, headers, "k1"), 200)
        assert (ticket["currency"], ticket["total_minor"]) == ("ARS", 285000)
        assert ok(simulate(server, headers, "k1"), 200) == ticket, "the same key sells once"
        assert on_hand(server, headers) == 4000
        assert ok(server.call("GET", f"/api/sales/{ticket['ticket_id']}", headers=headers))["total_minor"] == 285000
        too_many = server.call("POST", "/test/simulate-sale", {"sku": "YER-500", "quantity_milli": 9000}, headers)
        assert (too_many.status, too_many.json()["code"]) == (409, "insufficient_stock")
        assert simulate(server, {}, "k2").status == 401

        ok(server.call("POST", "/api/admin/emergency/freeze", {"reason": "fire"}, headers))
        stopped = simulate(server, headers, "k3")
        assert (stopped.status, stopped.json()["kind"], stopped.json()["reason"]) == (503, "halted", "fire")
        ok(server.call("POST", "/api/admin/emergency/unfreeze", {"reason": "out"}, headers))
        # A stop of the writes alone lets the request through to the fence, which refuses the sale.
        narrow = {"reason": "count", "module": "sales", "level": "read_only"}
        ok(server.call("POST", "/api/admin/emergency/freeze", narrow, headers))
        assert simulate(server, headers, "k4").status == 503
        ok(server.call("POST", "/api/admin/emergency/unfreeze", {"reason": "out", "module": "sales"}, headers))
        assert on_hand(server, headers) == 4000
        ok(simulate(server, headers, "k4"), 200)
    assert events(tmp_path) == ["sale_recorded.v1"] * 2, "in the commits of the two sales"


def test_simulated_sales_are_off_in_production(tmp_path: Path, free_port: int) -> None:
    headers = furnished_elsewhere(tmp_path, free_port)
    with a_server(tmp_path, free_port, *ONLY, NERVIO_ENVIRONMENT="production") as server:
        assert simulate(server, headers, "k1").status == 404
        assert server.call("GET", "/openapi.json").json()["paths"].keys() & {"/test/simulate-sale"} == set()


def test_a_module_that_does_not_exist_is_named(tmp_path: Path) -> None:
    refused = nervio(tmp_path, "serve", "--only", "safety,stok", "--port", "0")
    assert refused.returncode == 2
    assert "stok" in refused.stderr


def simulate(server: Server, headers: dict[str, str], key: str) -> Answer:
    """One sale of one unit."""
    return server.call("POST", "/test/simulate-sale", {"sku": "YER-500"}, {**headers, "Idempotency-Key": key})


def on_hand(server: Server, headers: dict[str, str]) -> int:
    """Thousandths of a unit of the one product there is."""
    level: int = ok(server.call("GET", "/api/stock/levels", headers=headers))["items"][0]["on_hand_milli"]
    return level


def events(folder: Path) -> list[str]:
    """What the sales made true, as it goes out to the bus."""
    with contextlib.closing(sqlite3.connect(folder / "nervio.db")) as connection:
        rows = connection.execute("SELECT type FROM outbox JOIN commits ON commits.id = commit_id ORDER BY position, n")
        return [row[0] for row in rows if row[0].startswith("sale")]

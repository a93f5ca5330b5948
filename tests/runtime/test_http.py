"""What holds for every route: problems, limits, headers, who is asking, the stop, the figures."""

import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from nervio.kernel.errors import Kind
from nervio.runtime.logs import access_log
from nervio.web.problems import STATUS
from tests.runtime.program import Program, a_program

PROBLEM = "application/problem+json"


def figures_in(text: str) -> dict[tuple[str, str, str], float]:
    """(name, method, route) → value."""
    return {
        (sample.name, sample.labels.get("method", ""), sample.labels.get("route", "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_every_error_is_a_problem_with_its_request_id(tmp_path: Path) -> None:
    async with a_program(tmp_path) as program:
        client, headers = program.client, await program.login()
        for method, path, sent, status, code in (
            ("GET", "/api/nothing", {}, 404, "not_found"),
            ("DELETE", "/api/health", {}, 405, "method_not_allowed"),
            ("GET", "/api/products", {}, 401, "unauthenticated"),
            ("GET", "/api/products/none", {"headers": headers}, 404, "product_not_found"),
            ("POST", "/api/auth/login", {"json": {}}, 422, "invalid_request"),
            (
                "POST",
                "/api/auth/login",
                {"content": b"{", "headers": {"Content-Type": "application/json"}},
                422,
                "invalid_request",
            ),
            ("POST", "/api/sales", {"json": {}, "headers": headers}, 422, "missing_field"),
            ("GET", "/api/products", {"headers": {"Authorization": "Bearer nonsense"}}, 401, "invalid_token"),
            ("GET", "/api/products", {"headers": {"X-API-Key": "nonsense"}}, 401, "invalid_api_key"),
        ):
            reply = await client.request(method, path, **sent)
            problem = reply.json()
            assert (reply.status_code, problem["code"]) == (status, code), (path, problem)
            assert reply.headers["content-type"] == PROBLEM
            assert {"type", "title", "status", "detail", "kind", "instance"} <= problem.keys()
            assert problem["request_id"] == reply.headers["x-request-id"]
            if status == 401:
                assert reply.headers["www-authenticate"].startswith("Bearer")


async def test_every_kind_of_error_has_a_status_and_two_titles(tmp_path: Path) -> None:
    assert set(STATUS) == set(Kind)
    async with a_program(tmp_path) as program:
        for accepted, title in (
            ("es-AR,es;q=0.9,en;q=0.8", "Eso no existe"),
            ("en;q=0.4, es;q=0.5", "Eso no existe"),
            ("en-GB,en;q=0.9,es;q=0.1", "There is no such thing"),
            ("de", "There is no such thing"),
            ("es;q=nonsense", "There is no such thing"),
        ):
            reply = await program.client.get("/api/nothing", headers={"Accept-Language": accepted})
            assert reply.json()["title"] == title, accepted


async def test_a_request_that_does_not_fit_is_told_every_field(tmp_path: Path) -> None:
    async with a_program(tmp_path) as program:
        reply = await program.client.post("/api/auth/login", json={"email": 5, "passwort": "x"})
        problem = reply.json()
        assert {fault["field"] for fault in problem["errors"]} >= {"email", "password"}
        assert all(fault["message"] for fault in problem["errors"])
        assert problem["kind"] == "invalid"


async def test_a_bug_is_answered_by_its_request_id_alone_and_logged_whole(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with a_program(tmp_path) as program:

        async def broken() -> None:
            raise ZeroDivisionError("the secret of the till")

        program.face.application.api.add_api_route("/api/broken", broken)
        with caplog.at_level(logging.ERROR):
            reply = await program.client.get("/api/broken", headers={"X-Request-ID": "abc-1"})
        assert (reply.status_code, reply.json()["code"], reply.json()["request_id"]) == (500, "unexpected", "abc-1")
        assert "secret of the till" not in reply.text
        assert any(record.exc_info and "secret of the till" in str(record.exc_info[1]) for record in caplog.records)
        figures = figures_in((await program.client.get("/metrics")).text)
        assert figures["http_errors_total", "GET", "/api/broken"] == 1


async def test_a_body_that_is_too_large_is_refused_announced_or_not(tmp_path: Path) -> None:
    async with a_program(tmp_path, server={"max_body_bytes": 2048}) as program:
        headers = await program.login()
        large = json.dumps({"location": "MAIN", "lines": [], "number": "x" * 4000}).encode()

        async def in_parts() -> Any:
            for n in range(0, len(large), 1000):
                yield large[n : n + 1000]

        for path in ("/api/sales", "/api/products"):
            for content in (large, in_parts()):
                reply = await program.client.post(
                    path, content=content, headers={**headers, "Content-Type": "application/json"}
                )
                assert (reply.status_code, reply.json()["code"]) == (413, "body_too_large"), reply.text


async def test_nul_is_refused_at_the_edge(tmp_path: Path) -> None:
    async with a_program(tmp_path) as program:
        headers = {**await program.login(), "Content-Type": "application/json"}
        for content in (b'{"sku":"a\\u0000b"}', b'{"sku":"a\x00b"}', b'{"sku":"\\\\\\u0000"}'):
            for path in ("/api/sales", "/api/users"):
                reply = await program.client.post(path, content=content, headers=headers)
                assert (reply.status_code, reply.json()["code"]) == (422, "nul_character"), (path, content, reply.text)
        reply = await program.client.get("/api/products?search=%00", headers=headers)
        assert (reply.status_code, reply.json()["code"]) == (422, "nul_character")
        # A backslash before the letter u is text.
        reply = await program.client.post("/api/users", content=b'{"email":"\\\\u0000"}', headers=headers)
        assert reply.json()["code"] != "nul_character"


async def test_an_escape_cut_in_two_is_seen(tmp_path: Path) -> None:
    async with a_program(tmp_path) as program:
        headers = {**await program.login(), "Content-Type": "application/json"}

        async def in_parts() -> Any:
            yield b'{"email":"\\u00'
            yield b'00"}'

        reply = await program.client.post("/api/users", content=in_parts(), headers=headers)
        assert reply.json()["code"] == "nul_character"


async def test_answers_carry_the_security_headers(tmp_path: Path) -> None:
    async with a_program(tmp_path, server={"public_url": "https://shop.test"}) as program:
        for path in ("/health", "/docs", "/api/nothing", "/openapi.json"):
            headers = (await program.client.get(path)).headers
            assert "default-src 'self'" in headers["content-security-policy"]
            assert "unsafe" not in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["strict-transport-security"]


async def test_a_request_id_is_taken_over_or_made(tmp_path: Path) -> None:
    async with a_program(tmp_path) as program:
        given = await program.client.get("/health", headers={"X-Request-ID": "till-7.42"})
        assert given.headers["x-request-id"] == "till-7.42"
        made = await program.client.get("/health", headers={"X-Request-ID": "a b\tc"})
        assert re.fullmatch(r"[0-9a-f-]{36}", made.headers["x-request-id"])


async def test_only_known_origins_may_call_from_their_pages(tmp_path: Path) -> None:
    async with a_program(tmp_path, server={"cors_origins": "http://board.test"}) as program:
        client = program.client
        asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}
        known = await client.options("/api/sales", headers={"Origin": "http://board.test", **asked})
        assert known.headers["access-control-allow-origin"] == "http://board.test"
        assert "x-api-key" in known.headers["access-control-allow-headers"]
        stranger = await client.options("/api/sales", headers={"Origin": "http://evil.test", **asked})
        assert "access-control-allow-origin" not in stranger.headers
        refused = await client.get("/api/products", headers={"Origin": "http://board.test"})
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == "http://board.test"


async def test_a_session_cookie_serves_our_own_pages_only(tmp_path: Path) -> None:
    async with a_program(tmp_path) as program:
        body = {"email": program.email, "password": program.password, "cookie": True}
        assert (await program.client.post("/api/auth/login", json=body)).status_code == 200
        assert (await program.client.get("/api/products")).status_code == 200
        for headers, allowed in (
            ({"Sec-Fetch-Site": "same-origin"}, True),
            ({"Origin": "http://shop.test"}, True),
            ({"Sec-Fetch-Site": "cross-site", "Origin": "http://shop.test"}, False),
            ({"Origin": "http://evil.test"}, False),
            ({}, False),
        ):
            reply = await program.client.post("/api/sales", json={}, headers=headers)
            assert reply.status_code == (422 if allowed else 403), headers
            assert allowed or reply.json()["code"] == "cross_site"


async def test_the_old_dashboard_key_acts_as_an_administrator_of_the_first_shop(tmp_path: Path) -> None:
    async with a_program(tmp_path, secrets={"dashboard_api_key": "board-key-1"}) as program:
        profile = await program.client.get("/api/auth/profile", headers={"X-API-Key": "board-key-1"})
        assert profile.json()["roles"] == ["admin"]
        wrong = await program.client.get("/api/auth/profile", headers={"X-API-Key": "board-key-2"})
        assert wrong.status_code == 401


async def test_while_stopped_only_the_ways_of_the_stop_answer(tmp_path: Path) -> None:
    async with a_program(tmp_path) as program:
        client, headers = program.client, await program.login()
        frozen = await client.post("/api/admin/emergency/freeze", json={"reason": "drill"}, headers=headers)
        assert frozen.status_code == 200, frozen.text
        for path in ("/api/products", "/api/nothing", "/api/users"):
            for sent in ({}, headers):
                reply = await client.get(path, headers=sent)
                problem = reply.json()
                assert (reply.status_code, problem["kind"], problem["reason"]) == (503, "halted", "drill"), path
                assert int(reply.headers["retry-after"]) > 0
        for path in ("/health", "/api/health", "/metrics", "/docs", "/openapi.json", "/api/admin/emergency/status"):
            assert (await client.get(path)).status_code == 200, path
        assert (await program.login())["Authorization"]
        figures = figures_in((await client.get("/metrics")).text)
        assert (
            figures[
                "http_errors_total",
                "GET",
                "/api/products" if ("http_errors_total", "GET", "/api/products") in figures else "other",
            ]
            == 0
        )
        thawed = await client.post("/api/admin/emergency/unfreeze", json={"reason": "over"}, headers=headers)
        assert thawed.status_code == 200, thawed.text
        assert (await client.get("/api/products", headers=headers)).status_code == 200


async def test_health_says_what_it_found_and_fails_with_the_database(tmp_path: Path) -> None:
    async with a_program(tmp_path) as program:
        health = (await program.client.get("/api/health")).json()
        assert (health["status"], health["checks"]["database"]["status"]) == ("ok", "ok")
        database = (await program.client.get("/api/health/database")).json()
        assert database["backend"] == "sqlite"
        assert database["position"] >= 1
        program.face.liveness.stopping = True
        stopping = await program.client.get("/health")
        assert (stopping.status_code, stopping.json()["status"]) == (503, "stopping")
        program.face.liveness.stopping = False
        await program.app.database.close()
        broken = await program.client.get("/health")
        assert (broken.status_code, broken.json()["checks"]["database"]["status"]) == (503, "failed")


async def test_requests_are_counted_by_route_template_and_errors_can_be_divided_by_them(tmp_path: Path) -> None:
    async with a_program(tmp_path) as program:
        headers = await program.login()
        for sku in ("one", "two"):
            await program.client.get(f"/api/products/{sku}", headers=headers)
        await program.client.post("/api/sales", json={}, headers=headers)
        figures = figures_in((await program.client.get("/metrics")).text)
        templates = {route for name, _, route in figures if name == "http_requests_total"}
        assert "/api/sales" in templates
        assert not any("one" in route for route in templates)
        (product,) = [route for route in templates if route.startswith("/api/products/")]
        assert figures["http_requests_total", "GET", product] == 2
        assert figures["http_errors_total", "GET", product] == 0
        assert figures["http_request_duration_seconds_count", "GET", product] == 2


async def test_each_request_is_a_line_of_the_access_log_without_its_query(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(json.loads(record.getMessage()))

    handler, level = Kept(), access_log.level
    access_log.addHandler(handler)
    access_log.setLevel(logging.INFO)
    try:
        async with a_program(tmp_path) as program:
            headers = await program.login()
            await program.client.get("/api/products?search=token-of-somebody", headers=headers)
    finally:
        access_log.removeHandler(handler)
        access_log.setLevel(level)
    last = lines[-1]
    assert (last["method"], last["path"], last["status"], last["client"]) == ("GET", "/api/products", 200, "127.0.0.1")
    assert last["tenant_id"]
    assert last["actor_id"]
    assert "token-of-somebody" not in json.dumps(lines)


async def test_the_simulated_sale_is_for_developers_only(tmp_path: Path) -> None:
    async with a_program(tmp_path) as program:
        headers = await program.login()
        await _stock_one(program, headers)
        reply = await program.client.post(
            "/test/simulate-sale", json={"sku": "A-1"}, headers={**headers, "Idempotency-Key": "k"}
        )
        assert reply.status_code == 200, reply.text
        assert reply.json()["total_minor"] == 500
        again = await program.client.post(
            "/test/simulate-sale", json={"sku": "A-1"}, headers={**headers, "Idempotency-Key": "k"}
        )
        assert again.json() == reply.json()
    with_production = tmp_path / "production"
    with_production.mkdir()
    async with a_program(with_production, environment="production") as program:
        assert (await program.client.post("/test/simulate-sale", json={"sku": "A-1"})).status_code == 404
        assert "/test/simulate-sale" not in (await program.client.get("/openapi.json")).json()["paths"]


async def _stock_one(program: Program, headers: dict[str, str]) -> None:
    from nervio.modules.catalog import api as catalog
    from nervio.modules.catalog.contracts import LocationInput, ProductInput
    from nervio.modules.stock import api as stock
    from nervio.modules.stock.contracts import StockDocument, StockLine

    tenant = (await program.client.get("/api/auth/profile", headers=headers)).json()["tenant"]["id"]
    ctx = program.app.system_ctx(tenant)
    await catalog.save_location(ctx, LocationInput("MAIN", "Main"))
    await catalog.save_products(ctx, [ProductInput("A-1", "Yerba", 500)])
    await stock.record_document(ctx, "receipt", StockDocument("MAIN", (StockLine("A-1", 5000),)))

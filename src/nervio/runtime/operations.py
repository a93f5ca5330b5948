"""What an operator does to a shop from the command line, and how it gets there.

Where one process has the database to itself (SQLite), a command goes through the running server over HTTP on this
machine, with a token that only the same user can read. Otherwise it starts the program for itself. Both ways run the
same function of this table.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from nervio.db.context import Ctx
from nervio.kernel.errors import Kind, NervioError, conflict, invalid, not_found
from nervio.kernel.time import DAY
from nervio.modules.identity import api as identity
from nervio.modules.identity.contracts import NewTenant, NewUser, Tenant
from nervio.modules.safety import api as safety
from nervio.modules.safety.api import alerts
from nervio.modules.safety.contracts.halts import STOPPABLE_MODULES, Scope
from nervio.runtime.demo.load import load_minimarket, load_retail_year
from nervio.runtime.event_operations import replay_events
from nervio.runtime.http.problems import respond_error
from nervio.runtime.http.routes import PlainRoute
from nervio.runtime.lock import RunningServer, find_running
from nervio.runtime.wiring import App

Progress = Callable[[str, int, int], None]
"""Called with (stage, done, of)."""

Operation = Callable[[App, Mapping[str, Any], Progress], Awaitable[dict[str, Any]]]

SHOPS: Mapping[str, NewTenant] = {
    "retail": NewTenant(
        slug="demo", name="Online Retail (demo)", currency="GBP", time_zone="Europe/London", language="en"
    ),
    "minimarket": NewTenant(slug="minimarket", name="Minimarket (demo)"),
}
"""The demo shops and the tenant each of them is."""

ALERT_SECONDS = 15.0
"""How long a trial of the alerts waits for its deliveries."""
ALERT_POLL_SECONDS = 0.1

LOOPBACK = frozenset({"127.0.0.1", "::1"})
LONGEST_LINE_SECONDS = 600.0


async def load_demo(app: App, arguments: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Loads a demo shop as a tenant of its own, with a login for it, and checks every invariant.

    Raises `conflict` once the keys of an earlier load may have been forgotten.
    """
    name = str(arguments.get("shop", "retail"))
    given = SHOPS.get(name)
    if given is None:
        raise invalid("unknown_shop", f"There is no demo shop {name!r}; there are {', '.join(SHOPS)}.", field="shop")
    tenant = await _tenant(app, given)
    ctx = app.system_ctx(tenant.id)
    remembered_days = app.settings.retention.answers_days
    if app.clock.now() - tenant.created_at > remembered_days * DAY:
        # What is there already is told by its keys, and the first of them may have been forgotten.
        raise conflict(
            "demo_loaded_long_ago",
            f"The shop {tenant.slug!r} was made more than {remembered_days} days ago. It stays as it is: what was loaded then "
            "could not be told from what would be loaded now. Load it into a fresh installation.",
        )

    async def verify() -> bool:
        return await app.seal_and_verify()

    days = arguments.get("days")
    if name == "retail":
        report = await load_retail_year(ctx, verify, progress, None if days is None else int(days))
    else:
        report = await load_minimarket(ctx, verify, progress)
    return asdict(report)


async def create_user(app: App, arguments: Mapping[str, Any], _progress: Progress) -> dict[str, Any]:
    """Creates a user of a tenant; a password that is not given is generated and comes back this once."""
    ctx = await _ctx(app, arguments)
    given = NewUser(
        str(arguments["email"]), str(arguments["name"]), tuple(arguments["roles"]), arguments.get("password")
    )
    created = await identity.create_user(ctx, app.authenticator, given)
    return {
        "id": created.user.id,
        "email": created.user.email,
        "roles": list(created.user.roles),
        "password": created.password,
    }


async def reset_password(app: App, arguments: Mapping[str, Any], _progress: Progress) -> dict[str, Any]:
    """Gives a user a new generated password and ends the user's sessions."""
    ctx = await _ctx(app, arguments)
    email = str(arguments["email"]).strip().lower()
    after = None
    while users := await identity.list_users(ctx, after, 500):
        for user in users:
            if user.email == email:
                password = await identity.set_password(ctx, app.authenticator, user.id)
                return {"id": user.id, "email": user.email, "password": password}
        after = users[-1].email
    raise not_found("user", email, field="email")


async def list_users(app: App, arguments: Mapping[str, Any], _progress: Progress) -> dict[str, Any]:
    """The users of a tenant."""
    users = await identity.list_users(await _ctx(app, arguments), None, 500)
    return {"users": [asdict(user) for user in users]}


async def create_tenant(app: App, arguments: Mapping[str, Any], _progress: Progress) -> dict[str, Any]:
    """Creates a tenant with its first administrator."""
    given = NewTenant(**arguments)
    created = await identity.create_tenant(app.system_ctx(), app.authenticator, given)
    return {"id": created.tenant.id, "slug": created.tenant.slug, "password": created.admin_password}


async def drill(app: App, arguments: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Tries the stop of the installation, or of a shop or one of its modules; with `all` of every scope of that shop too."""
    module, tenant = arguments.get("module"), arguments.get("tenant")
    wanted: list[tuple[Scope, str | None]] = (
        [(Scope.TENANT, module)] if tenant or module else [(Scope.INSTALLATION, None)]
    )
    if arguments.get("all"):
        wanted = [(Scope.INSTALLATION, None), *((Scope.TENANT, part) for part in (None, *STOPPABLE_MODULES))]
    ctx = await _ctx(app, arguments)
    done = []
    for n, (scope, part) in enumerate(wanted):
        progress("drills", n, len(wanted))
        done.append(asdict(await safety.run_drill(ctx, scope, part)))
    return {"drills": done, "passed": all(not one["findings"] for one in done)}


async def try_alerts(app: App, arguments: Mapping[str, Any], _progress: Progress) -> dict[str, Any]:
    """Sends a TestAlert to every destination of a tenant and waits a little for what becomes of it."""
    ctx = await _ctx(app, arguments)
    raised = await alerts.try_destination(ctx, None)
    shown = await alerts.get_alert(ctx, raised.id)
    for _ in range(round(ALERT_SECONDS / ALERT_POLL_SECONDS)):
        if not shown.waiting:
            break
        await app.alert_worker.run(app.system_ctx())
        await asyncio.sleep(ALERT_POLL_SECONDS)
        shown = await alerts.get_alert(ctx, raised.id)
    told = [one for one in await alerts.list_destinations(ctx) if one.active]
    return {
        "alert_id": raised.id,
        "sent": shown.sent,
        "waiting": shown.waiting,
        "failed": shown.failed,
        "destinations": [
            {"name": one.name, "kind": one.kind.value, "state": one.last_state, "words": one.last_words} for one in told
        ],
    }


OPERATIONS: Mapping[str, Operation] = {
    "drill": drill,
    "demo": load_demo,
    "create-user": create_user,
    "reset-password": reset_password,
    "list-users": list_users,
    "create-tenant": create_tenant,
    "replay-events": replay_events,
    "test-alert": try_alerts,
}
"""Everything that may be asked of a running server by its own user."""


async def perform(app: App, name: str, arguments: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Runs an operation, through the running server where there must be one. Raises its NervioError."""
    running = find_running(app.directory) if app.is_exclusive else None
    if running is not None and running.url:
        return await asyncio.to_thread(_ask, running, name, arguments, progress)
    async with app.started():
        return await OPERATIONS[name](app, arguments, progress)


def operator_route(app: App, token: Callable[[], str | None]) -> PlainRoute:
    """The route through which commands of this machine's user act on a running server."""

    async def answer(request: Request) -> Response:
        wanted, given = token(), request.headers.get("authorization", "")
        client = request.client.host if request.client is not None else ""
        is_operator = wanted is not None and hmac.compare_digest(given.encode(), f"Operator {wanted}".encode())
        operation = OPERATIONS.get(request.path_params["name"])
        if not is_operator or client not in LOOPBACK or operation is None:
            # Nobody else needs to know that there is anything here.
            return respond_error(request.scope, not_found("address", request.url.path))
        arguments = orjson.loads(await request.body())
        return StreamingResponse(_lines(app, operation, arguments), media_type="application/x-ndjson")

    return PlainRoute("/operator/{name}", answer, methods=["POST"], include_in_schema=False)


async def _lines(app: App, operation: Operation, arguments: Mapping[str, Any]) -> AsyncIterator[bytes]:
    queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def progress(stage: str, done: int, of: int) -> None:
        queue.put_nowait({"progress": [stage, done, of]})

    async def run() -> None:
        try:
            queue.put_nowait({"result": await operation(app, arguments, progress)})
        except NervioError as error:
            queue.put_nowait({"error": [error.kind.value, error.code, error.message, error.data]})

    task = asyncio.create_task(run())
    task.add_done_callback(lambda _: queue.put_nowait({}))
    try:
        while line := await queue.get():
            yield orjson.dumps(line) + b"\n"
        task.result()
    finally:
        task.cancel()


def _ask(running: RunningServer, name: str, arguments: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    request = urllib.request.Request(  # noqa: S310 (the address is the one our own server wrote)
        f"{running.url}/operator/{name}",
        data=json.dumps(dict(arguments)).encode(),
        headers={"Authorization": f"Operator {running.token}", "Content-Type": "application/json"},
        method="POST",
    )
    # A proxy that the environment names is meant for other machines.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=LONGEST_LINE_SECONDS) as reply:
            for text in reply:
                line = json.loads(text)
                if "result" in line:
                    result: dict[str, Any] = line["result"]
                    return result
                if "error" in line:
                    kind, code, message, data = line["error"]
                    raise NervioError(Kind(kind), code, message, **data)
                progress(*line["progress"])
    except urllib.error.HTTPError as error:
        with error:
            raise NervioError(
                Kind.UNAVAILABLE,
                "server_refused",
                f"The server with process id {running.pid} does not take this command ({error.code}); it may be of another "
                "version. Stop it first, or use the command of its version.",
            ) from error
    except urllib.error.URLError as error:
        raise NervioError(
            Kind.UNAVAILABLE,
            "server_unreachable",
            f"The server with process id {running.pid} does not answer: {error.reason}",
        ) from error
    raise NervioError(Kind.UNAVAILABLE, "server_failed", "The server failed while it worked on this; its log says why.")


async def _tenant(app: App, given: NewTenant) -> Tenant:
    found = await identity.find_tenant(app.database, given.slug)
    if found is not None:
        return found
    return (await identity.create_tenant(app.system_ctx(), app.authenticator, given, f"tenant-{given.slug}")).tenant


async def _ctx(app: App, arguments: Mapping[str, Any]) -> Ctx:
    slug = arguments.get("tenant")
    if not slug:
        first = await app.first_tenant()
        assert first is not None, "the first start makes a tenant"
        return app.system_ctx(first.id)
    tenant = await identity.find_tenant(app.database, str(slug))
    if tenant is None:
        raise not_found("tenant", str(slug), field="tenant")
    return app.system_ctx(tenant.id)

"""The HTTP server of a process: the program, its application, and uvicorn between its start and its orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import uvicorn

from nervio.db.context import Ctx
from nervio.modules.catalog import api as catalog
from nervio.modules.fleet import api as fleet
from nervio.modules.identity.contracts import Principal, PrincipalKind, Role
from nervio.runtime.demo_shop import DemoShop
from nervio.runtime.http import simulation
from nervio.runtime.http.application import Application, Face, make_application, warm_up
from nervio.runtime.http.authentication import SOCKET_IO, Authenticate
from nervio.runtime.http.halts import STOPPED_PAGE, RefuseWhileHalted
from nervio.runtime.http.health import Liveness, health_router
from nervio.runtime.http.metrics import HttpMetrics
from nervio.runtime.http.routes import PlainMount
from nervio.runtime.lines import PING_SECONDS, TIME_OUT_SECONDS, LineProtocol, socket_io_of
from nervio.runtime.manifests import served
from nervio.runtime.operations import operator_route
from nervio.runtime.roles import check_roles
from nervio.runtime.settings import SettingsError
from nervio.runtime.wiring import App

log = logging.getLogger(__name__)

DASHBOARD_ACTOR = "dashboard"


async def find_product_ids(ctx: Ctx, product_ids: Sequence[str]) -> set[str]:
    """Which of the ids are products of the tenant; lent to modules below the catalog."""
    return await ctx.read(lambda c: set(catalog.read_products(c, product_ids)))


class HttpFace:
    """The application of a program, made before the store is open and usable once it is."""

    def __init__(self, app: App, roles: Collection[str] = ("web",), only: Collection[str] = ()) -> None:
        self.app = app
        self.operator_token: str | None = None
        self._dashboard: Principal | None = None
        self.demo_shop = DemoShop(app)
        self.liveness = Liveness(app.version, app.database_kind, tuple(check_roles(roles)), app.settings.environment)
        manifests = served(only)
        pages = {getattr(route, "path", "") for m in manifests for router in m.routers for route in router.routes}
        settings = app.settings
        key = settings.secrets.dashboard_api_key
        routers = [health_router(lambda: app.database, self.liveness, app.services)]
        if settings.environment != "production":
            routers.append(simulation.router)
        self._socket_io = socket_io_of(manifests, settings)
        live = [] if self._socket_io is None else [PlainMount(SOCKET_IO.rstrip("/"), self._socket_io)]
        self.application: Application = make_application(
            Face(
                version=app.version,
                settings=settings.server,
                manifests=manifests,
                metrics=HttpMetrics(app.registry),
                routers=routers,
                routes=[operator_route(app, lambda: self.operator_token), *live],
                inner=[
                    lambda inner: Authenticate(
                        inner,
                        lambda: app.authenticator,
                        dashboard_key=None if key is None else key.get_secret_value(),
                        dashboard_principal=self._dashboard_principal,
                        origins=settings.server.cors_origins,
                    ),
                    lambda inner: RefuseWhileHalted(
                        inner, lambda: app.halt_watch, has_stopped_page=STOPPED_PAGE in pages
                    ),
                ],
            )
        )

    async def close(self) -> None:
        """Ends what would outlive its requests; call it while the program still runs."""
        await self.demo_shop.close()
        if self._socket_io is not None:
            await self._socket_io.close()

    def open(self) -> None:
        """Hands the started program to the routes; call it inside `app.started`."""
        state = self.application.api.state
        state.sealing = self.app.sealing
        state.settings = self.app.settings
        state.authenticator = self.app.authenticator
        state.halt_watch = self.app.halt_watch
        state.bus = self.app.bus
        state.vault = self.app.vault
        state.platforms = self.app.outside.platform
        state.find_product_ids = find_product_ids
        state.database = self.app.database
        state.clock = self.app.clock
        state.locks = self.app.locks
        state.liveness = self.liveness
        state.drafts, state.openings = self.app.drafts, self.app.openings
        state.live_lines = fleet.Lines(self.app.settings.fleet.live_lines_per_person)
        state.jobs = self.app.jobs
        state.demo_shops = self.demo_shop

    async def _dashboard_principal(self) -> Principal | None:
        """Whom DASHBOARD_API_KEY stands for: an administrator of the first shop there is, which stays the first once it is
        there and need not be asked for again."""
        if self._dashboard is None:
            tenant = await self.app.first_tenant()
            if tenant is None:
                return None
            roles = frozenset({Role.ADMIN.value})
            self._dashboard = Principal(tenant.id, DASHBOARD_ACTOR, roles, "Dashboard", PrincipalKind.API_KEY)
        return self._dashboard


class _Server(uvicorn.Server):
    """Uvicorn that leaves signals to us: its own way ends the process before the writers are drained."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(
    app: App,
    roles: Collection[str],
    only: Collection[str] = (),
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Runs the program until it is told to end (SIGTERM, Ctrl-C): requests under way finish, then the writers drain.

    `on_ready` is called with the address once requests are answered.
    """
    roles = check_roles(roles)
    face = HttpFace(app, roles, only)
    stop = asyncio.Event()
    with _ending_by_signal(stop):
        async with app.started(roles):
            face.open()
            if "web" not in roles:
                log.info("started", extra={"roles": list(roles)})
                await stop.wait()
                return
            with contextlib.closing(listen(app.settings.server.host, app.settings.server.port)) as listener:
                await _serve_http(app, face, listener, stop, on_ready)
    log.info("stopped")


async def _serve_http(
    app: App, face: HttpFace, listener: socket.socket, stop: asyncio.Event, on_ready: Callable[[str], None] | None
) -> None:
    await warm_up(face.application)
    settings = app.settings.server
    config = uvicorn.Config(
        face.application.asgi,
        access_log=False,
        log_config=None,
        lifespan="off",
        server_header=False,
        proxy_headers=True,
        forwarded_allow_ips=list(settings.trusted_proxies),
        timeout_graceful_shutdown=max(1, round(settings.shutdown_seconds)),
        timeout_keep_alive=75,
        ws=LineProtocol,
        ws_max_size=app.settings.fleet.live_message_bytes,
        ws_ping_interval=PING_SECONDS,
        ws_ping_timeout=TIME_OUT_SECONDS,
        # Parts are small, and a small message may unpack to a huge one.
        ws_per_message_deflate=False,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="nervio-http")
    while not server.started and not serving.done():  # noqa: ASYNC110 (uvicorn tells by a flag only)
        await asyncio.sleep(0.005)
    url = address_of(listener)
    if app.is_exclusive:
        face.operator_token = app.lock.announce(url).token
    log.info("started", extra={"roles": list(face.liveness.roles), "url": url})
    if on_ready is not None:
        on_ready(url)
    ending = asyncio.create_task(stop.wait())
    await asyncio.wait([serving, ending], return_when=asyncio.FIRST_COMPLETED)
    face.liveness.stopping = True
    log.info("stopping")
    server.should_exit = True
    ending.cancel()
    await face.close()
    await serving


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises SettingsError with the way out when the port is taken or the address is not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise SettingsError(
            f"Cannot listen on {host} port {port}: {error.strerror or error}. Another program may use it: choose another "
            f"with --port or NERVIO_SERVER__PORT (0 takes any free one)."
        ) from error


def address_of(listener: socket.socket) -> str:
    """The address under which this machine reaches the server."""
    host, port = listener.getsockname()[:2]
    if host in {"0.0.0.0", "::"}:  # noqa: S104 (compared, not bound)
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run(main: Any) -> Any:
    """Runs a coroutine on the fastest event loop there is for this system."""
    factory = None
    if sys.platform != "win32":
        with contextlib.suppress(ImportError):
            import uvloop

            factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main)


@contextlib.contextmanager
def _ending_by_signal(stop: asyncio.Event) -> Iterator[None]:
    """SIGTERM and Ctrl-C ask for an orderly end."""
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {one: signal.getsignal(one) for one in signals}

    def ask(*_: object) -> None:
        loop.call_soon_threadsafe(stop.set)

    for one in signals:
        # signal.signal and not the loop's own way: it exists on Windows too.
        signal.signal(one, ask)
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)

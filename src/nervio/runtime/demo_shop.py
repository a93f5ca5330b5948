"""The demo shop as the console offers it on the first start: loaded while the program serves, with a login of its own."""

from __future__ import annotations

import asyncio
import logging

from nervio.kernel.errors import NervioError
from nervio.modules.console.contracts import DemoLogin, DemoProgress, DemoState
from nervio.modules.identity import api as identity
from nervio.modules.identity.contracts import NewUser, Role
from nervio.modules.sales import api as sales
from nervio.runtime.operations import SHOPS, load_demo
from nervio.runtime.wiring import App

log = logging.getLogger(__name__)

SHOP = "retail"
DEMO_EMAIL = "demo@nervio.local"
DEMO_NAME = "Demo"


class DemoShop:
    """Loads the year of real trading once, in the background. One a process; `app` must be started when it is used."""

    tickets = 17_946
    returns = 3_425
    products = 4_032

    def __init__(self, app: App) -> None:
        self._app = app
        self._slug = SHOPS[SHOP].slug
        self._loading: asyncio.Task[None] | None = None
        self._progress: DemoProgress | None = None

    async def find_progress(self) -> DemoProgress | None:
        """How far it is; a shop that an earlier process or the command line loaded is ready."""
        if self._progress is None:
            tenant = await identity.find_tenant(self._app.database, self._slug)
            done = 0 if tenant is None else (await sales.count_tickets(self._app.system_ctx(tenant.id)))[0]
            whole = self.tickets + self.returns
            if done:
                self._progress = DemoProgress("ready" if done >= whole else "failed", done, whole)
        return self._progress

    def start(self) -> DemoProgress:
        """Begins to load it; what is there already is told by its keys and not loaded twice."""
        if self._loading is None or self._loading.done():
            self._progress = DemoProgress("running", 0, self.tickets)
            self._loading = asyncio.create_task(self._load(), name="nervio-demo-shop")
        assert self._progress is not None
        return self._progress

    async def make_login(self) -> DemoLogin:
        """The shop's administrator, made on the first call, with a new password."""
        tenant = await identity.find_tenant(self._app.database, self._slug)
        assert tenant is not None, "the demo shop is loaded before anybody is let into it"
        ctx, authenticator = self._app.system_ctx(tenant.id), self._app.authenticator
        users = await identity.list_users(ctx, limit=identity.LONGEST_PAGE)
        known = next((user for user in users if user.email == DEMO_EMAIL), None)
        if known is None:
            given = NewUser(DEMO_EMAIL, DEMO_NAME, (Role.ADMIN.value,))
            password = (await identity.create_user(ctx, authenticator, given)).password
        else:
            password = await identity.set_password(ctx, authenticator, known.id)
        assert password is not None, "a password that nobody chose is generated"
        return DemoLogin(tenant.slug, DEMO_EMAIL, password)

    async def close(self) -> None:
        """Ends the loading; what is loaded stays, and the next start goes on from there."""
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.wait([self._loading])

    async def _load(self) -> None:
        total = self.tickets

        def follow(stage: str, done: int, of: int) -> None:
            nonlocal total
            if stage == "records":
                total = of
            state: DemoState = "checking" if stage == "checks" else "running"
            shown = {"records": done, "checks": total}.get(stage, 0)
            self._progress = DemoProgress(state, shown, total)

        try:
            report = await load_demo(self._app, {"shop": SHOP}, follow)
        except NervioError as error:
            log.warning("demo_shop_stopped", extra={"error": error.message})
            self._fail(total)
        except Exception:
            log.exception("demo_shop_failed")
            self._fail(total)
        else:
            self._progress = DemoProgress("ready", report["tickets"], report["tickets"])

    def _fail(self, total: int) -> None:
        done = 0 if self._progress is None else self._progress.done
        self._progress = DemoProgress("failed", done, total)

"""What a shop begins with. Asked once, of whoever may decide: until there is a location, the dashboard leads here."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nervio.kernel.errors import Kind, NervioError, not_found
from nervio.modules.catalog import api as catalog
from nervio.modules.catalog.contracts import LocationInput
from nervio.modules.console.answers import page_router
from nervio.modules.console.contracts import DemoLogin, DemoProgress, DemoShops
from nervio.modules.console.requests import HOME, Frame, SignInFirst, open_frame, redirect, set_session, token_of
from nervio.modules.identity import api as identity

SETUP = "/console/setup"
FIRST_LOCATION = "SALON"
MAY_LOAD_DEMO = "identity.tenants.write"
"""The demo shop is a tenant of its own, so only who may make tenants may ask for it."""

router = page_router()
data = APIRouter(include_in_schema=False)


@router.get(SETUP)
async def show_setup(request: Request) -> Response:
    """The choice, and how far the demo shop is."""
    frame = await open_frame(request, "catalog.write")
    return await _setup_page(frame)


@router.post(f"{SETUP}/empty")
async def start_empty(request: Request) -> Response:
    """Gives the shop its first location, which is all that selling needs."""
    frame = await open_frame(request, "catalog.write")
    await frame.form()
    if not frame.locations:
        given = LocationInput(FIRST_LOCATION, frame.t("setup.first_location"))
        await catalog.save_location(frame.ctx, given)
    return redirect("/console/products?edit=new")


@router.post(f"{SETUP}/enter")
async def enter_demo(request: Request) -> Response:
    """Changes this browser's session to one of the demo shop's administrator."""
    frame = await open_frame(request, MAY_LOAD_DEMO)
    await frame.form()
    login = await _demo_shops(request).make_login()
    authenticator: identity.Authenticator = request.app.state.authenticator
    opened = await authenticator.log_in(login.email, login.password, login.tenant)
    answer = redirect(HOME)
    set_session(request, answer, opened)
    return answer


@router.post(f"{SETUP}/login")
async def show_demo_login(request: Request) -> Response:
    """Makes a password for the demo shop and shows it this once, for those who go in from another browser."""
    frame = await open_frame(request, MAY_LOAD_DEMO)
    await frame.form()
    return await _setup_page(frame, await _demo_shops(request).make_login())


@data.get(f"{SETUP}/demo")
async def read_progress(request: Request) -> Response:
    """How far the demo shop is, for the script of the page."""
    (await _signed_in(request)).ctx.require(MAY_LOAD_DEMO)
    return _progress(await _demo_shops(request).find_progress())


@data.post(f"{SETUP}/demo")
async def load_demo(request: Request) -> Response:
    """Begins to load it. A script's request, so the token comes in a header."""
    frame = await _signed_in(request)
    frame.ctx.require(MAY_LOAD_DEMO)
    if request.headers.get("x-csrf-token") != token_of(frame.principal.session_id or ""):
        raise NervioError(Kind.FORBIDDEN, "stale_form", "This request is not from your session; open the page again.")
    return _progress(_demo_shops(request).start())


async def _signed_in(request: Request) -> Frame:
    try:
        return await open_frame(request)
    except SignInFirst:
        raise NervioError(Kind.UNAUTHENTICATED, "unauthenticated", "Log in first.") from None


async def _setup_page(frame: Frame, login: DemoLogin | None = None) -> Response:
    shops = getattr(frame.request.app.state, "demo_shops", None) if frame.may(MAY_LOAD_DEMO) else None
    context = {
        "demo": None if shops is None else await shops.find_progress(),
        "counts": None if shops is None else {"tickets": shops.tickets, "products": shops.products},
        "login": login,
        "is_new": not frame.locations,
    }
    return frame.page("setup", context)


def _demo_shops(request: Request) -> DemoShops:
    shops: DemoShops | None = getattr(request.app.state, "demo_shops", None)
    if shops is None:
        raise not_found("demo_shop", "demo")
    return shops


def _progress(progress: DemoProgress | None) -> Response:
    if progress is None:
        return JSONResponse({"state": None, "done": 0, "total": 0}, headers={"Cache-Control": "no-store"})
    body = {"state": progress.state, "done": progress.done, "total": progress.total}
    return JSONResponse(body, headers={"Cache-Control": "no-store"})

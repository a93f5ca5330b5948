"""What every page is asked with: the person behind the session, the shop, the language, and the token of its forms."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any
from urllib.parse import quote

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from nervio.db import halt as halt_state
from nervio.db.context import Ctx
from nervio.kernel.errors import Kind, NervioError
from nervio.kernel.time import to_datetime
from nervio.modules.catalog import api as catalog
from nervio.modules.catalog.contracts import Location
from nervio.modules.console.formatting import Formats
from nervio.modules.console.i18n import Texts, choose_language
from nervio.modules.console.shell import (
    LANGUAGE_COOKIE,
    LOCATION_COOKIE,
    THEME_COOKIE,
    THEMES,
    Halt,
    Pages,
    Person,
    Shell,
)
from nervio.modules.identity import api as identity
from nervio.modules.identity.contracts import LoggedIn, Principal, Role, Tenant
from nervio.modules.safety.api import HaltWatch
from nervio.modules.safety.contracts.halts import LEVELS

HOME = "/console"
LOGIN = "/console/login"
RANK = tuple(role.value for role in Role)
"""Roles from the most to the least, so that a person with several is shown by the first."""

PRIVATE = {"Cache-Control": "private, no-store"}
"""A page shows figures of one person's shop; nothing between us and the browser may keep it."""

_LOCALES = {
    "es": {"ARS": "es-AR", "MXN": "es-MX", "CLP": "es-CL", "COP": "es-CO", "PEN": "es-PE", "UYU": "es-UY",
           "PYG": "es-PY", "BOB": "es-BO", "EUR": "es-ES", "USD": "es-US"},
    "en": {"GBP": "en-GB"},
}  # fmt: skip
_USUAL_LOCALES = {"es": "es-AR", "en": "en-US"}
_tenants: dict[str, Tenant] = {}


class SignInFirst(Exception):
    """There is no session; the browser goes to the login and comes back."""


@cache
def pages() -> Pages:
    """The templates, texts and static files, read once a process."""
    return Pages()


def language_of(request: Request) -> str:
    """The language a page is drawn in."""
    return choose_language(request.cookies.get(LANGUAGE_COOKIE), request.headers.get("accept-language"))


def theme_of(request: Request) -> str:
    """The look a page is drawn in."""
    theme = request.cookies.get(THEME_COOKIE, "")
    return theme if theme in THEMES else THEMES[0]


def token_of(secret: str) -> str:
    """The token that ties a form to what only this browser and we know."""
    return hashlib.sha256(f"nervio form|{secret}".encode()).hexdigest()[:40]


async def check_form(request: Request, secret: str) -> FormData:
    """The posted form. Raises `forbidden` when its token is not the one of this session."""
    form = await request.form()
    given = form.get("csrf")
    if not isinstance(given, str) or not hmac.compare_digest(given.encode(), token_of(secret).encode()):
        raise NervioError(Kind.FORBIDDEN, "stale_form", "This form is not from your session; open the page again.")
    return form


def text_of(form: FormData, name: str, longest: int = 1000) -> str:
    """A text field of a form, without the space around it; empty when it was not sent."""
    value = form.get(name, "")
    return value.strip()[:longest] if isinstance(value, str) else ""


def redirect(path: str) -> RedirectResponse:
    """Where the browser goes next with a GET."""
    return RedirectResponse(path, 303, headers=PRIVATE)


def safe_path(path: str) -> str:
    """A path of the console, or its home: nobody is led out of it by an address they were sent."""
    return path if path == HOME or path.startswith((f"{HOME}/", f"{HOME}?")) else HOME


@dataclass(frozen=True)
class Frame:
    """One request of a signed-in person: what a room needs to read, write and draw."""

    request: Request
    ctx: Ctx
    principal: Principal
    tenant: Tenant
    shell: Shell
    locations: tuple[Location, ...]

    @property
    def t(self) -> Texts:
        """The texts in the person's language."""
        return pages().texts[self.shell.language]

    @property
    def formats(self) -> Formats:
        """How the shop writes figures."""
        return self.shell.formats

    @property
    def places(self) -> list[tuple[str, str]]:
        """Locations in use, as the choices of a select."""
        return [(place.id, place.name) for place in self.locations if place.active]

    def place_name(self, location_id: str) -> str:
        """The name of a location."""
        return next((place.name for place in self.locations if place.id == location_id), location_id)

    def may(self, permission: str) -> bool:
        """Whether the person holds a permission."""
        return self.shell.may(permission)

    def query(self, name: str, longest: int = 200) -> str:
        """A value of the address; empty when it is not there."""
        return self.request.query_params.get(name, "").strip()[:longest]

    async def form(self) -> FormData:
        """The posted form of this session."""
        return await check_form(self.request, self.principal.session_id or "")

    def page(self, template: str, context: Mapping[str, Any], status: int = 200) -> Response:
        """A page."""
        return HTMLResponse(pages().render(template, self.shell, context), status, headers=PRIVATE)

    def explain(self, error: NervioError) -> str:
        """Why something was refused, in the person's words where we have them."""
        return explain(self.t, error)

    async def people(self) -> dict[str, str]:
        """The name of everyone who may have done something in this shop, by the id that is written beside the deed."""
        # Who did what is no secret within a shop; managing people is, and only that needs the right.
        ctx = replace(self.ctx, permissions=None)
        users = await identity.list_users(ctx, limit=identity.LONGEST_PAGE)
        keys = await identity.list_api_keys(ctx, limit=identity.LONGEST_PAGE)
        return {**{key.id: key.name for key in keys}, **{user.id: user.name for user in users}}


def explain(t: Texts, error: NervioError) -> str:
    """The text of a refusal in the reader's language, or its own sentence where the dictionaries have none."""
    key = f"problem.{error.code}"
    return t(key) if t.knows(key) else error.message


def name_of(people: Mapping[str, str], actor_id: str) -> str:
    """Whoever did it; the program itself is called by the id it acts under."""
    return people.get(actor_id, actor_id[:8] if len(actor_id) == 36 else actor_id)


async def open_frame(request: Request, permission: str | None = None) -> Frame:
    """The signed-in person behind a request. Raises SignInFirst without one, `forbidden` without the permission."""
    ctx = getattr(request.state, "ctx", None)
    principal = getattr(request.state, "principal", None)
    if not isinstance(ctx, Ctx) or not isinstance(principal, Principal) or principal.session_id is None:
        raise SignInFirst
    if permission is not None:
        ctx.require(permission)
    tenant = await tenant_of(ctx)
    locations = await _locations(ctx)
    place = _chosen(locations, request.cookies.get(LOCATION_COOKIE, ""))
    role = next((role for role in RANK if role in principal.roles), RANK[-1])
    shell = Shell(
        path=request.url.path,
        tenant_id=tenant.id,
        shop_name=tenant.name,
        formats=formats_of(tenant, language_of(request)),
        theme=theme_of(request),
        person=Person(principal.name, role, ctx.permissions or frozenset()),
        halt=await _halt(request, ctx, tenant, locations, pages().texts[language_of(request)]),
        halts_seen=seen_of(request, ctx.tenant_id),
        csrf=token_of(principal.session_id),
        location_id=place.id if place else "",
        location_name=place.name if place else "",
        locations=tuple((one.id, one.name) for one in locations if one.active),
    )
    return Frame(request, ctx, principal, tenant, shell, locations)


async def tenant_of(ctx: Ctx) -> Tenant:
    """The shop of a context. Kept for the life of the process: what pages show of a shop never changes."""
    found = _tenants.get(ctx.tenant_id)
    if found is None:
        found = _tenants[ctx.tenant_id] = await identity.get_current_tenant(ctx)
    return found


def formats_of(tenant: Tenant, language: str) -> Formats:
    """How a shop writes figures, told from its language and currency."""
    locale = _LOCALES.get(tenant.language, {}).get(tenant.currency, _USUAL_LOCALES.get(tenant.language, "es-AR"))
    return Formats(locale, tenant.currency, tenant.time_zone, language)


def plain_shell(request: Request, secret: str = "") -> Shell:
    """The frame of a page that nobody is signed in to."""
    formats = Formats("es-AR", "ARS", "America/Argentina/Buenos_Aires", language_of(request))
    return Shell(request.url.path, "", "Nervio", formats, theme_of(request), csrf=token_of(secret) if secret else "")


def set_session(request: Request, answer: Response, opened: LoggedIn) -> None:
    """Hands the session to the browser, out of reach of scripts."""
    authenticator: identity.Authenticator = request.app.state.authenticator
    answer.set_cookie(
        identity.SESSION_COOKIE,
        opened.session_token,
        max_age=authenticator.seconds_until(opened.expires_at),
        path="/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="lax",
    )


def login_path(request: Request) -> str:
    """The login, which comes back to the page that was asked for."""
    asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    asked = asked if request.method == "GET" else HOME
    return LOGIN if asked == HOME else f"{LOGIN}?next={quote(asked, safe='/')}"


def watch_of(request: Request) -> HaltWatch:
    """The halts in force."""
    watch = request.app.state.halt_watch
    assert isinstance(watch, HaltWatch)
    return watch


async def _locations(ctx: Ctx) -> tuple[Location, ...]:
    try:
        return tuple(await catalog.list_locations(replace(ctx, permissions=None)))
    except NervioError as error:
        if error.kind is not Kind.UNAVAILABLE:
            raise
        return ()  # the stopped page is drawn without a store too


def _chosen(locations: tuple[Location, ...], wanted: str) -> Location | None:
    in_use = [place for place in locations if place.active]
    return next((place for place in in_use if place.id == wanted), in_use[0] if in_use else None)


async def _halt(request: Request, ctx: Ctx, tenant: Tenant, locations: tuple[Location, ...], t: Texts) -> Halt | None:
    concerned = halts_of(request, ctx.tenant_id)
    if not concerned:
        return None

    def weight(halt: halt_state.Halt) -> tuple[bool, int]:
        return halt.module is None and halt.location_id is None, LEVELS.index(halt.level.value)

    worst = max(concerned, key=weight)
    by = worst.activated_by
    try:
        user = await identity.get_user(replace(ctx, permissions=None), by) if len(by) == 36 else None
    except NervioError:
        user = None
    parts = [tenant.name if worst.tenant_id is not None else t("stop.installation")]
    if worst.module is not None:
        key = f"safety.module_{worst.module}"
        parts.append(t(key) if t.knows(key) else worst.module)
    if worst.location_id is not None:
        parts.append(next((place.name for place in locations if place.id == worst.location_id), worst.location_id))
    return Halt(
        scope=" · ".join(parts),
        level=worst.level.value,
        reason=worst.reason,
        by=by if user is None else user.name,
        since=to_datetime(worst.activated_at),
        is_part=worst.level.value != LEVELS[-1] or not weight(worst)[0],
        others=len(concerned) - 1,
    )


def halts_of(request: Request, tenant_id: str) -> list[halt_state.Halt]:
    """The halts in force that concern a shop, in all or in part."""
    return [halt for halt in watch_of(request).in_force if halt.concerns(tenant_id)]


def seen_of(request: Request, tenant_id: str) -> str:
    """A short text that changes whenever what is in force for a shop does: a new stop, a stage, an end."""
    halts = halts_of(request, tenant_id)
    text = "|".join(f"{halt.id} {halt.level_for(tenant_id)}" for halt in halts)
    return hashlib.sha256(text.encode()).hexdigest()[:12] if halts else ""

"""What the frame around every page needs to know, and the one place that turns a template into a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context

from nervio.modules.console.assets import Assets
from nervio.modules.console.formatting import Formats
from nervio.modules.console.i18n import Texts, load_texts

TEMPLATES_ROOT = Path(__file__).parent / "templates"
THEMES = ("auto", "light", "dark")
LANGUAGE_COOKIE = "nervio_language"
THEME_COOKIE = "nervio_theme"
LOCATION_COOKIE = "nervio_location"

# Everything comes from our own origin; the two exceptions are not ways in: forms post to ourselves, nobody frames us.
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
)


@dataclass(frozen=True)
class Room:
    """An entry of the menu and the palette. ``keys`` is typed as a sequence, ``phone`` puts it in the bottom bar."""

    name: str
    path: str
    icon: str
    permission: str
    keys: str
    phone: bool = False
    also: tuple[str, ...] = ()
    """Addresses of its pages that do not begin with its own."""

    @property
    def label(self) -> str:
        """Key of the room's name."""
        return f"nav.{self.name}"


ROOMS = (
    Room("dashboard", "/console", "dashboard", "sales.read", "g d", phone=True),
    Room("sell", "/console/sell", "sell", "sales.write", "g v", phone=True),
    Room("products", "/console/products", "product", "catalog.read", "g p"),
    Room("stock", "/console/stock", "stock", "stock.read", "g s", phone=True),
    Room("receipts", "/console/receipts", "receipt", "stock.write", "g r", phone=True),
    Room("journal", "/console/journal", "journal", "ledger.read", "g j"),
    Room(
        "tasks",
        "/console/tasks",
        "spark",
        "fleet.read",
        "g t",
        also=("/console/ask", "/console/workers", "/console/limits"),
    ),
    Room("jobs", "/console/jobs", "clock", "jobs.read", "g b"),
    Room("safety", "/console/safety", "alert", "safety.read", "g e"),
    Room("users", "/console/users", "people", "identity.users.read", "g u"),
)


@dataclass(frozen=True)
class Tab:
    """A page of a room that has several; ``name`` gives its label (``safety.tab.<name>``, ``fleet.tab.<name>``)."""

    name: str
    path: str
    permission: str


SAFETY_TABS: tuple[Tab, ...] = (
    Tab("stops", "/console/safety", "safety.read"),
    Tab("actions", "/console/safety/actions", "safety.read"),
    Tab("rules", "/console/safety/rules", "safety.rules.read"),
    Tab("drills", "/console/safety/drills", "safety.read"),
    Tab("events", "/console/safety/events", "events.read"),
    Tab("vitals", "/console/safety/vitals", "safety.stop_installation"),
)
"""The pages of the nervous system, in the order in which somebody in trouble needs them."""

FLEET_TABS: tuple[Tab, ...] = (
    Tab("tasks", "/console/tasks", "fleet.read"),
    Tab("ask", "/console/ask", "fleet.submit"),
    Tab("workers", "/console/workers", "fleet.read"),
    Tab("limits", "/console/limits", "fleet.read"),
)
"""The pages of AI work: what is asked, and who does it."""


@dataclass(frozen=True)
class Person:
    """Who is signed in: the name to show, the role and what the role may do."""

    name: str
    role: str
    permissions: frozenset[str]


@dataclass(frozen=True)
class Halt:
    """A freeze in force, as the banner and the stopped page show it."""

    scope: str
    level: str
    reason: str
    by: str
    since: datetime
    is_part: bool = False
    """Whether the rest goes on: it concerns a module or a place, or lets something pass."""
    others: int = 0
    """How many more there are."""


@dataclass(frozen=True)
class Shell:
    """The frame of one answer: shop, person, language, look, and whether the shop is stopped."""

    path: str
    tenant_id: str
    shop_name: str
    formats: Formats
    theme: str = "auto"
    person: Person | None = None
    halt: Halt | None = None
    halts_seen: str = ""
    """A short text that changes whenever what is in force does."""
    csrf: str = ""
    location_id: str = ""
    location_name: str = ""
    locations: tuple[tuple[str, str], ...] = ()

    @property
    def language(self) -> str:
        """Language of the page."""
        return self.formats.language

    def rooms(self) -> tuple[Room, ...]:
        """Return the rooms this person may enter, in menu order."""
        person = self.person
        if person is None:
            return ()
        return tuple(room for room in ROOMS if not room.permission or room.permission in person.permissions)

    def safety_tabs(self) -> tuple[Tab, ...]:
        """Return the pages of the nervous system that this person may open."""
        return tuple(tab for tab in SAFETY_TABS if self.may(tab.permission))

    def fleet_tabs(self) -> tuple[Tab, ...]:
        """Return the pages of AI work that this person may open."""
        return tuple(tab for tab in FLEET_TABS if self.may(tab.permission))

    def is_current(self, room: Room) -> bool:
        """Say whether the page belongs to ``room``; the dashboard is only itself, since all paths begin with its own."""
        if room.path == "/console":
            return self.path == room.path
        return any(self.path == path or self.path.startswith(path + "/") for path in (room.path, *room.also))

    def may(self, permission: str) -> bool:
        """Say whether the person holds ``permission``. Only hides controls: the module decides again on the write."""
        return self.person is not None and permission in self.person.permissions


class Pages:
    """Renders pages. Holds the texts, the assets and one Jinja environment; safe to share between requests."""

    def __init__(self) -> None:
        self.texts = load_texts()
        self.assets = Assets(
            {language: texts.for_scripts() for language, texts in self.texts.items()},
            refusals={language: texts.for_refusals() for language, texts in self.texts.items()},
        )
        self._environment = _build_environment(self.assets)

    def render(self, template: str, shell: Shell, context: Mapping[str, Any]) -> str:
        """Return the page ``pages/<template>.html``; its context is listed at the top of the file, and all of it is due."""
        texts: Texts = self.texts[shell.language]
        page = self._environment.get_template(f"pages/{template}.html")
        return page.render({**context, "shell": shell, "t": texts, "asset": self.assets.url})

    def page_names(self) -> list[str]:
        """Return the names that ``render`` accepts."""
        return sorted(path.stem for path in (TEMPLATES_ROOT / "pages").glob("*.html"))


def _formats(context: Context) -> Formats:
    shell: Shell = context["shell"]
    return shell.formats


@pass_context
def _money(context: Context, minor: int) -> str:
    return _formats(context).money(minor)


@pass_context
def _quantity(context: Context, milli: int) -> str:
    return _formats(context).quantity(milli)


@pass_context
def _signed(context: Context, milli: int) -> str:
    return _formats(context).signed(milli)


@pass_context
def _number(context: Context, value: int) -> str:
    return ("-" if value < 0 else "") + _formats(context).number(value)


@pass_context
def _when(context: Context, moment: datetime) -> str:
    return _formats(context).when(moment)


@pass_context
def _day(context: Context, moment: datetime) -> str:
    return _formats(context).day(moment)


@pass_context
def _clock(context: Context, moment: datetime) -> str:
    return _formats(context).clock(moment)


@pass_context
def _second(context: Context, moment: datetime) -> str:
    return _formats(context).second(moment)


@pass_context
def _span(context: Context, seconds: float) -> str:
    return _formats(context).span(seconds)


def _build_environment(assets: Assets) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES_ROOT),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        money=_money, quantity=_quantity, signed=_signed, number=_number, when=_when, day=_day, clock=_clock,
        second=_second, span=_span,
    )  # fmt: skip
    environment.globals["fingerprint"] = assets.fingerprint
    return environment

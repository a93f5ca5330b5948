"""What the console asks of the program around it (the runtime puts it into the application's state), and what it keeps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

DemoState = Literal["running", "checking", "ready", "failed"]


@dataclass(frozen=True, slots=True)
class DemoProgress:
    """How far the demo shop is, in documents: tickets, returns and adjustments."""

    state: DemoState
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class DemoLogin:
    """A login of the demo shop; the password was made a moment ago and is shown this once."""

    tenant: str
    email: str
    password: str = field(repr=False)


class DemoShops(Protocol):
    """Loads the demo shop while the program serves. In `app.state.demo_shops`; absent where there is none to offer."""

    tickets: int
    products: int

    async def find_progress(self) -> DemoProgress | None:
        """How far it is; None before anybody asked for it."""
        ...

    def start(self) -> DemoProgress:
        """Begins to load it in the background, or goes on where it stopped; a second call changes nothing."""
        ...

    async def make_login(self) -> DemoLogin:
        """A login of its administrator with a new password; the one before stops working."""
        ...


@dataclass(frozen=True, slots=True)
class SavedView:
    """A list as somebody wants to see it again: the query of its address, under a name of their own."""

    name: str
    query: str


@dataclass(frozen=True, slots=True)
class SaveView:
    """A view to keep, or to keep anew under a name that is there."""

    list: str
    name: str
    query: str


@dataclass(frozen=True, slots=True)
class RemoveView:
    """A view to forget."""

    list: str
    name: str


@dataclass(frozen=True, slots=True)
class KeepDraft:
    """A file to keep until it is confirmed, deflated."""

    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class DraftKept:
    """Under which id it is found."""

    id: str


class Ending(Protocol):
    """In `app.state.liveness`: whether the program is on its way out, so that streams must end."""

    stopping: bool

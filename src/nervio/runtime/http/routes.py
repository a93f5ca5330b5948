"""Routes without FastAPI's machinery that still tell the figures and the access log their template."""

from __future__ import annotations

from starlette.routing import Match, Mount, Route
from starlette.types import Scope


class PlainRoute(Route):
    """A Starlette route that leaves itself in the scope, as FastAPI's do."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Matches as usual."""
        match, child_scope = super().matches(scope)
        if match is not Match.NONE:
            child_scope["route"] = self
        return match, child_scope


class PlainMount(Mount):
    """The same for an application of its own under an address."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Matches as usual."""
        match, child_scope = super().matches(scope)
        if match is not Match.NONE:
            child_scope["route"] = self
        return match, child_scope

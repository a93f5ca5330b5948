"""The modules that the program is made of, in one literal list, top to bottom."""

from __future__ import annotations

from collections.abc import Collection

from nervio.kernel.errors import invalid
from nervio.modules.catalog.module import MANIFEST as CATALOG
from nervio.modules.console.module import MANIFEST as CONSOLE
from nervio.modules.fleet.module import MANIFEST as FLEET
from nervio.modules.identity.module import MANIFEST as IDENTITY
from nervio.modules.jobs.module import MANIFEST as JOBS
from nervio.modules.ledger.module import MANIFEST as LEDGER
from nervio.modules.safety.module import MANIFEST as SAFETY
from nervio.modules.sales.module import MANIFEST as SALES
from nervio.modules.stock.module import MANIFEST as STOCK
from nervio.web.manifest import Manifest

MANIFESTS: tuple[Manifest, ...] = (CONSOLE, SALES, STOCK, CATALOG, FLEET, SAFETY, IDENTITY, LEDGER, JOBS)

ALWAYS = frozenset({SAFETY.name, IDENTITY.name})
"""Served by every web process whatever it is kept to: getting in, and stopping."""


def permissions_of(manifests: Collection[Manifest]) -> dict[str, frozenset[str]]:
    """Each permission and the roles that hold it."""
    found: dict[str, frozenset[str]] = {}
    for manifest in manifests:
        for name, roles in manifest.permissions.items():
            assert name not in found, f"two modules declare the permission {name}"
            found[name] = roles
    return found


def served(only: Collection[str]) -> tuple[Manifest, ...]:
    """The manifests of a web process kept to some modules; all of them when `only` is empty."""
    known = {manifest.name for manifest in MANIFESTS}
    for name in only:
        if name not in known:
            raise invalid(
                "unknown_module", f"There is no module {name!r}; there are {', '.join(sorted(known))}.", field="only"
            )
    if not only:
        return MANIFESTS
    return tuple(manifest for manifest in MANIFESTS if manifest.name in {*only, *ALWAYS})

"""The manifest of identity."""

from __future__ import annotations

from nervio.modules.identity import routes
from nervio.modules.identity.settings import IdentitySettings
from nervio.web.manifest import Manifest

_ADMINS = frozenset({"superadmin", "admin"})
_SUPERADMINS = frozenset({"superadmin"})

MANIFEST = Manifest(
    name="identity",
    routers=(routes.auth, routes.users, routes.keys, routes.tenants),
    permissions={
        "identity.users.read": _ADMINS,
        "identity.users.write": _ADMINS,
        "identity.keys.read": _ADMINS,
        "identity.keys.write": _ADMINS,
        # To make, change or unmake a superadmin, or a key that acts as one.
        "identity.superadmins.write": _SUPERADMINS,
        "identity.tenants.read": _SUPERADMINS,
        "identity.tenants.write": _SUPERADMINS,
    },
    settings=IdentitySettings,
)

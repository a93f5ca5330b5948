"""Every query of the console."""

from __future__ import annotations

from sqlalchemy import Connection, delete, select

from nervio.db.dialects import Dialect
from nervio.db.tenancy import TenantConnection
from nervio.db.writes import Insert, Update
from nervio.modules.console.contracts import SavedView
from nervio.modules.console.models import saved_views

_V = saved_views.c
_KEY = ("tenant_id", "user_id", "list", "name")


def list_views(connection: TenantConnection, user_id: str, list_name: str) -> list[SavedView]:
    """A person's views of a list, by name."""
    rows = connection.execute(
        select(_V.name, _V.query)
        .where(_V.tenant_id == connection.tenant_id, _V.user_id == user_id, _V.list == list_name)
        .order_by(_V.name)
    )
    return [SavedView(row[0], row[1]) for row in rows]


def write_view(connection: Connection, dialect: Dialect, key: tuple[str, str, str, str], query: str) -> None:
    """Inserts or changes one view; `key`: (tenant, user, list, name)."""
    # Two steps and no look before: another process may be keeping the same name in this moment.
    row = (*key, query)
    dialect.insert_missing(connection, Insert(saved_views, (*_KEY, "query"), [row]))
    dialect.apply(connection, [Update(saved_views, _KEY, ("query",), [row])])


def remove_view(connection: TenantConnection, user_id: str, list_name: str, name: str) -> bool:
    """Takes a view away; False where there was none."""
    gone = connection.execute(
        delete(saved_views).where(
            _V.tenant_id == connection.tenant_id, _V.user_id == user_id, _V.list == list_name, _V.name == name
        )
    )
    return gone.rowcount > 0

"""Every query of the console."""

from __future__ import annotations

from sqlalchemy import Connection, delete, select

from nervio.db.dialects import Dialect
from nervio.db.tenancy import TenantConnection
from nervio.db.writes import Insert, Update
from nervio.kernel.time import Instant
from nervio.modules.console.contracts import SavedView
from nervio.modules.console.models import import_drafts, saved_views

_V = saved_views.c
_D = import_drafts.c
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


def write_draft(
    connection: Connection, dialect: Dialect, owner: tuple[str, str], draft_id: str, content: bytes, now: Instant
) -> None:
    """Puts a file in the place of the last one of its owner (tenant, user)."""
    row, rest = (*owner, draft_id, content, now), ("id", "content", "created_at")
    dialect.insert_missing(connection, Insert(import_drafts, (*_KEY[:2], *rest), [row]))
    dialect.apply(connection, [Update(import_drafts, _KEY[:2], rest, [row])])


def find_draft(connection: TenantConnection, user_id: str, draft_id: str) -> bytes | None:
    """The content of a person's draft."""
    found = connection.execute(
        select(_D.content).where(_D.tenant_id == connection.tenant_id, _D.user_id == user_id, _D.id == draft_id)
    ).scalar()
    return None if found is None else bytes(found)

"""What the console keeps for a person: views of lists under names of their own, and a file that waits for its confirmation."""

from __future__ import annotations

import zlib

from nervio.db.batch import Batch, Command, Effect, Operation
from nervio.db.context import Ctx
from nervio.db.tenancy import TenantConnection
from nervio.kernel.errors import conflict, invalid, not_found
from nervio.kernel.ids import is_id, new_id
from nervio.modules.console import store
from nervio.modules.console.contracts import DraftKept, KeepDraft, RemoveView, SavedView, SaveView

LONGEST_NAME = 60
LONGEST_QUERY = 2000
MOST_VIEWS = 30
"""Of one list and person: a menu that can still be read."""


async def list_views(ctx: Ctx, list_name: str) -> list[SavedView]:
    """The views of a list that the context's own user saved, by name."""
    return await ctx.read(lambda c: store.list_views(c, ctx.actor_id, list_name))


async def save_view(ctx: Ctx, list_name: str, name: str, query: str, key: str | None = None) -> SavedView:
    """Keeps a query of a list under a name; a name the user has already gets the new query.

    Raises `invalid` for a name or query that cannot be kept, `conflict` too_many_views.
    """
    trimmed = " ".join(name.split())
    if not trimmed or len(trimmed) > LONGEST_NAME or not trimmed.isprintable():
        raise invalid("invalid_name", f"name must be 1 to {LONGEST_NAME} printable characters.", field="name")
    if len(query) > LONGEST_QUERY or not query.isprintable():
        raise invalid("invalid_view", f"query must be at most {LONGEST_QUERY} printable characters.", field="query")
    return await ctx.submit(SAVE_VIEW, SaveView(list_name, trimmed, query), key)


async def remove_view(ctx: Ctx, list_name: str, name: str, key: str | None = None) -> SavedView:
    """Forgets a view of the context's own user. Raises `not_found`."""
    return await ctx.submit(REMOVE_VIEW, RemoveView(list_name, name), key)


async def keep_draft(ctx: Ctx, text: str, key: str | None = None) -> str:
    """Keeps the text of a file for the context's own user, in the place of the last one, and returns its id."""
    return (await ctx.submit(KEEP_DRAFT, KeepDraft(zlib.compress(text.encode(), 1)), key)).id


async def get_draft(ctx: Ctx, draft_id: str) -> str:
    """The text of the user's own draft. Raises `not_found` once another took its place."""
    found = await ctx.read(lambda c: store.find_draft(c, ctx.actor_id, draft_id)) if is_id(draft_id) else None
    if found is None:
        raise not_found("draft", draft_id)
    return zlib.decompress(found).decode()


def _keep_draft(batch: Batch, command: Command[KeepDraft, DraftKept]) -> DraftKept:
    draft_id, owner = new_id(), (command.tenant_id, command.actor_id)
    store.write_draft(batch.connection, batch.dialect, owner, draft_id, command.body.content, batch.now)
    return DraftKept(draft_id)


def _save(batch: Batch, command: Command[SaveView, SavedView]) -> SavedView:
    body, user_id = command.body, command.actor_id
    connection = TenantConnection(batch.connection, command.tenant_id)
    known = {view.name for view in store.list_views(connection, user_id, body.list)}
    if body.name not in known and len(known) >= MOST_VIEWS:
        raise conflict(
            "too_many_views", f"A list keeps at most {MOST_VIEWS} views of a person; remove one first.", most=MOST_VIEWS
        )
    key = (command.tenant_id, user_id, body.list, body.name)
    store.write_view(batch.connection, batch.dialect, key, body.query)
    return SavedView(body.name, body.query)


def _remove(batch: Batch, command: Command[RemoveView, SavedView]) -> SavedView:
    body, connection = command.body, TenantConnection(batch.connection, command.tenant_id)
    if not store.remove_view(connection, command.actor_id, body.list, body.name):
        raise not_found("view", body.name)
    return SavedView(body.name, "")


SAVE_VIEW = Operation("console.save_view", Effect.INCREASE, SaveView, SavedView, _save, direct=True)
REMOVE_VIEW = Operation("console.remove_view", Effect.INCREASE, RemoveView, SavedView, _remove, direct=True)
KEEP_DRAFT = Operation("console.keep_draft", Effect.INCREASE, KeepDraft, DraftKept, _keep_draft, direct=True)

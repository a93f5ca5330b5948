"""The commands that write users."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nervio.db.batch import Batch, Command, Effect, Operation
from nervio.db.tenancy import TenantConnection
from nervio.kernel.errors import conflict, forbidden, not_found
from nervio.kernel.ids import new_id
from nervio.modules.identity.contracts import AddUser, ChangePassword, ChangeUser, Done, Role, User
from nervio.modules.identity.domain import login_failed
from nervio.modules.identity.store import people
from nervio.modules.identity.store.people import UserRow
from nervio.modules.ledger import api as ledger

SUPERADMINS_WRITE = "identity.superadmins.write"


def add_user(
    batch: Batch,
    connection: TenantConnection,
    actor_id: str,
    given: tuple[str, str, tuple[str, ...], str],
    email_field: str = "email",
) -> User:
    """Inserts a user (email, name, roles, password hash) and posts it. Raises `conflict` when the email is taken."""
    email, name, roles, password_hash = given
    user = UserRow(new_id(), email, name, password_hash, True, 0, batch.now, roles)
    if not people.add_user(connection, batch.dialect, user):
        raise conflict(
            "email_taken",
            f"There is a user {email!r} already; change that one or use another email.",
            field=email_field,
        )
    _post(batch, connection, actor_id, "user_created", user, {"name": name, "roles": list(roles)})
    return _public(user)


def _create(batch: Batch, command: Command[AddUser, User]) -> User:
    body, connection = command.body, TenantConnection(batch.connection, command.tenant_id)
    return add_user(batch, connection, command.actor_id, (body.email, body.name, body.roles, body.password_hash))


def _update(batch: Batch, command: Command[ChangeUser, User]) -> User:
    body, change = command.body, command.body.change
    connection = TenantConnection(batch.connection, command.tenant_id)
    weakens = change.active is False or change.roles is not None
    if weakens:
        people.lock_administrators(batch.connection, batch.dialect, command.tenant_id)
    user = _locked(batch, connection, body.user_id)
    roles = user.roles if change.roles is None else change.roles
    _require_rank(body.by_superadmin, {*user.roles, *roles})
    changed = replace(
        user,
        name=user.name if change.name is None else change.name,
        roles=roles,
        active=user.active if change.active is None else change.active,
        # What was open before must not come back to life with the user.
        epoch=user.epoch + (user.active and change.active is False),
    )
    if weakens:
        _require_administrators(connection, user, changed)
    if changed != user:
        people.change_user(connection, batch.dialect, changed)
        details = {
            name: list(after) if isinstance(after, tuple) else after
            for name in ("name", "roles", "active")
            if (after := getattr(changed, name)) != getattr(user, name)
        }
        _post(batch, connection, command.actor_id, "user_updated", changed, details)
    found = people.find_user(connection, user.id)
    assert found is not None
    return found


def _set_password(batch: Batch, command: Command[ChangePassword, Done]) -> Done:
    body, connection = command.body, TenantConnection(batch.connection, command.tenant_id)
    user = _locked(batch, connection, body.user_id)
    if body.user_id != command.actor_id:
        _require_rank(body.by_superadmin, set(user.roles))
    if body.epoch is not None and body.epoch != user.epoch:
        raise login_failed()
    changed = replace(user, password_hash=body.password_hash, epoch=user.epoch + 1)
    people.change_user(connection, batch.dialect, changed)
    _post(batch, connection, command.actor_id, "user_password_changed", changed, None)
    return Done(user.id)


def _locked(batch: Batch, connection: TenantConnection, user_id: str) -> UserRow:
    user = people.find_user_row(connection, user_id, lock=batch.dialect)
    if user is None:
        raise not_found("user", user_id)
    return user


def _require_rank(by_superadmin: bool, roles: set[str]) -> None:
    """Only a superadmin makes, changes or unmakes one: an administrator must not rise by resetting a password."""
    if Role.SUPERADMIN.value in roles and not by_superadmin:
        raise forbidden(SUPERADMINS_WRITE)


def _require_administrators(connection: TenantConnection, before: UserRow, after: UserRow) -> None:
    """Refuses a change after which nobody could undo it."""
    had, has = (set(row.roles) if row.active else set() for row in (before, after))
    local, superadmins = people.count_administrators(connection, before.id)
    if Role.SUPERADMIN.value in had - has and superadmins == 0:
        raise conflict(
            "last_superadmin", "This is the last superadmin; make another user superadmin first.", field="active"
        )
    managing = set(people.ADMINISTRATORS)
    if had & managing and not has & managing and local == 0:
        raise conflict(
            "last_admin", "This is the last administrator; make another user administrator first.", field="active"
        )


def _public(user: UserRow) -> User:
    return User(user.id, user.email, user.name, user.roles, user.active, user.created_at, None)


def _post(
    batch: Batch, connection: TenantConnection, actor_id: str, kind: str, user: UserRow, details: dict[str, Any] | None
) -> None:
    ledger.book(batch).post(connection.tenant_id, actor_id, kind, user.id, user.email, batch.now, [], details)


CREATE = Operation("identity.create_user", Effect.INCREASE, AddUser, User, _create, direct=True)
UPDATE = Operation("identity.update_user", Effect.INCREASE, ChangeUser, User, _update, direct=True)
SET_PASSWORD = Operation("identity.set_password", Effect.INCREASE, ChangePassword, Done, _set_password, direct=True)

"""The commands that open and close sessions. They pass every halt: a stopped system must let people in to thaw it."""

from __future__ import annotations

from nervio.db.batch import Batch, Command, Effect, Operation
from nervio.db.tenancy import TenantConnection
from nervio.kernel.time import SECOND
from nervio.modules.identity.contracts import CloseSession, Done, OpenSession, SessionOpened
from nervio.modules.identity.domain import login_failed, session_ended
from nervio.modules.identity.store import credentials, people
from nervio.modules.ledger import api as ledger


def _open(batch: Batch, command: Command[OpenSession, SessionOpened]) -> SessionOpened:
    body, connection = command.body, TenantConnection(batch.connection, command.tenant_id)
    user = people.find_user_row(connection, body.user_id, lock=batch.dialect)
    # The password was checked before this transaction; it may have been changed, or the user deactivated, since.
    if user is None or not user.active or user.epoch != body.epoch:
        raise session_ended() if body.refresh else login_failed()
    expires_at = batch.now + body.lifetime_seconds * SECOND
    if body.refresh:
        found = credentials.find_session(connection, batch.dialect, body.session_id)
        if found is None or found.revoked_at is not None or found.expires_at <= batch.now:
            raise session_ended()
        expires_at = max(found.expires_at, min(expires_at, found.created_at + body.longest_seconds * SECOND))
        credentials.change_session(connection, body.session_id, expires_at=expires_at)
    else:
        credentials.add_session(connection, batch.dialect, body.session_id, user, batch.now, expires_at)
    kind = "session_refreshed" if body.refresh else "logged_in"
    ledger.book(batch).post(command.tenant_id, command.actor_id, kind, user.id, user.email, batch.now, [])
    return SessionOpened(expires_at)


def _close(batch: Batch, command: Command[CloseSession, Done]) -> Done:
    session_id, connection = command.body.session_id, TenantConnection(batch.connection, command.tenant_id)
    found = credentials.find_session(connection, batch.dialect, session_id)
    if found is not None and found.revoked_at is None:
        credentials.change_session(connection, session_id, revoked_at=batch.now)
        ledger.book(batch).post(command.tenant_id, command.actor_id, "logged_out", found.user_id, "", batch.now, [])
    return Done(session_id)


LOG_IN = Operation("identity.log_in", Effect.CONTROL, OpenSession, SessionOpened, _open, direct=True)
LOG_OUT = Operation("identity.log_out", Effect.CONTROL, CloseSession, Done, _close, direct=True)

"""The commands that write API keys."""

from __future__ import annotations

from dataclasses import replace

from nervio.db.batch import Batch, Command, Effect, Operation
from nervio.db.tenancy import TenantConnection
from nervio.kernel.errors import conflict, forbidden, not_found
from nervio.kernel.ids import new_id
from nervio.modules.identity.contracts import AddApiKey, ApiKey, RevokeApiKey, Role
from nervio.modules.identity.store import credentials
from nervio.modules.identity.usecases.users import SUPERADMINS_WRITE
from nervio.modules.ledger import api as ledger


def _create(batch: Batch, command: Command[AddApiKey, ApiKey]) -> ApiKey:
    body, connection = command.body, TenantConnection(batch.connection, command.tenant_id)
    key = ApiKey(new_id(), body.name, body.prefix, body.roles, command.actor_id, batch.now, None)
    if not credentials.add_key(connection, batch.dialect, key, body.secret_hash):
        raise conflict("key_exists", "This key was made before; send a new idempotency key.", field="Idempotency-Key")
    details = {"name": key.name, "roles": list(key.roles)}
    ledger.book(batch).post(
        command.tenant_id, command.actor_id, "api_key_created", key.id, key.prefix, batch.now, [], details
    )
    return key


def _revoke(batch: Batch, command: Command[RevokeApiKey, ApiKey]) -> ApiKey:
    body, connection = command.body, TenantConnection(batch.connection, command.tenant_id)
    key = credentials.find_key(connection, body.key_id, lock=batch.dialect)
    if key is None:
        raise not_found("api_key", body.key_id)
    if Role.SUPERADMIN.value in key.roles and not body.by_superadmin:
        raise forbidden(SUPERADMINS_WRITE)
    if key.revoked_at is not None:
        return key
    credentials.revoke_key(connection, key.id, batch.now)
    ledger.book(batch).post(
        command.tenant_id, command.actor_id, "api_key_revoked", key.id, key.prefix, batch.now, [], {"name": key.name}
    )
    return replace(key, revoked_at=batch.now)


CREATE = Operation("identity.create_api_key", Effect.INCREASE, AddApiKey, ApiKey, _create, direct=True)
REVOKE = Operation("identity.revoke_api_key", Effect.REDUCE, RevokeApiKey, ApiKey, _revoke, direct=True)

"""The commands that make tenants: the first one with its superadmin, and the ones a superadmin adds."""

from __future__ import annotations

from nervio.db.batch import Batch, Command, Effect, Operation
from nervio.db.tenancy import TenantConnection
from nervio.kernel.errors import conflict
from nervio.kernel.ids import new_id
from nervio.modules.identity.contracts import AddTenant, NewTenant, Role, Tenant, TenantAdded
from nervio.modules.identity.store import people
from nervio.modules.identity.usecases.users import add_user
from nervio.modules.ledger import api as ledger


def _bootstrap(batch: Batch, command: Command[AddTenant, TenantAdded]) -> TenantAdded:
    wanted = _tenant_of(batch, command.body.tenant)
    people.add_tenant(batch.connection, batch.dialect, wanted)
    # Two processes that start together meet at this row; the second one goes on after the first one's commit.
    tenant = people.lock_tenant(batch.connection, batch.dialect, wanted.slug)
    if tenant.id == wanted.id:
        _post(batch, command.actor_id, tenant)
    if people.has_superadmin(batch.connection):
        raise conflict("installed_already", "This installation has its superadmin already.")
    return TenantAdded(tenant, _add_first_user(batch, command, tenant))


def _create(batch: Batch, command: Command[AddTenant, TenantAdded]) -> TenantAdded:
    tenant = _tenant_of(batch, command.body.tenant)
    people.add_tenant(batch.connection, batch.dialect, tenant)
    if people.lock_tenant(batch.connection, batch.dialect, tenant.slug).id != tenant.id:
        raise conflict("slug_taken", f"There is a tenant {tenant.slug!r} already; choose another slug.", field="slug")
    _post(batch, command.actor_id, tenant)
    return TenantAdded(tenant, _add_first_user(batch, command, tenant))


def _add_first_user(batch: Batch, command: Command[AddTenant, TenantAdded], tenant: Tenant) -> str | None:
    body = command.body
    if body.admin_hash is None:
        return None
    assert body.tenant.admin_email is not None
    assert body.tenant.admin_name is not None
    connection = TenantConnection(batch.connection, tenant.id)
    email, name, roles = body.tenant.admin_email, body.tenant.admin_name, (Role(body.admin_role).value,)
    return add_user(batch, connection, command.actor_id, (email, name, roles, body.admin_hash), "admin_email").id


def _tenant_of(batch: Batch, given: NewTenant) -> Tenant:
    return Tenant(
        id=new_id(),
        slug=given.slug,
        name=given.name,
        currency=given.currency,
        time_zone=given.time_zone,
        language=given.language,
        created_at=batch.now,
    )


def _post(batch: Batch, actor_id: str, tenant: Tenant) -> None:
    # In the new tenant's own journal, as its first fact: nobody else's business.
    details = {"name": tenant.name, "currency": tenant.currency, "time_zone": tenant.time_zone}
    ledger.book(batch).post(tenant.id, actor_id, "tenant_created", tenant.id, tenant.slug, batch.now, [], details)


BOOTSTRAP = Operation("identity.bootstrap", Effect.CONTROL, AddTenant, TenantAdded, _bootstrap, direct=True)
CREATE = Operation("identity.create_tenant", Effect.INCREASE, AddTenant, TenantAdded, _create, direct=True)

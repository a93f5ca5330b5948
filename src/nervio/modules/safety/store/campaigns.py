"""Connections to platforms and the campaigns on them: every query."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection as DatabaseConnection
from sqlalchemy import and_, delete, exists, func, insert, or_, select, update

from nervio.db.batch import Batch
from nervio.db.dialects import Dialect
from nervio.db.tenancy import TenantConnection
from nervio.kernel.time import Instant
from nervio.modules.safety.contracts.actions import (
    Campaign,
    Connection,
    Platform,
    ProductSpend,
    SaveCampaign,
    SaveConnection,
)
from nervio.modules.safety.domain.breakers import Breaker, state_of
from nervio.modules.safety.models.actions import (
    ad_breakers,
    ad_campaign_products,
    ad_campaigns,
    ad_connections,
    ad_holds,
)
from nervio.ports.actions import CampaignStatus

_B, _C, _H, _N, _P = ad_breakers.c, ad_campaigns.c, ad_holds.c, ad_connections.c, ad_campaign_products.c


def insert_connection(batch: Batch, tenant_id: str, connection_id: str, given: SaveConnection) -> None:
    """Adds a connection; without secrets its sealed part is empty."""
    batch.connection.execute(
        insert(ad_connections).values(
            tenant_id=tenant_id,
            id=connection_id,
            platform=given.platform.value,
            sealed=given.sealed or b"",
            secret_names=json.dumps(given.secret_names),
            **_described(batch, given),
        )
    )


def update_connection(batch: Batch, connection: TenantConnection, given: SaveConnection) -> None:
    """Changes a connection; its platform stays, and so do its secrets where none came."""
    values = _described(batch, given)
    if given.sealed is not None:
        values |= {"sealed": given.sealed, "secret_names": json.dumps(given.secret_names)}
    connection.execute(
        update(ad_connections).where(_N.tenant_id == connection.tenant_id, _N.id == given.id).values(**values)
    )


def find_connection_id(connection: TenantConnection, name: str) -> str | None:
    """The id of the connection of a name."""
    return connection.execute(select(_N.id).where(_N.tenant_id == connection.tenant_id, _N.name == name)).scalar()


def find_sealed(connection: TenantConnection, connection_id: str) -> tuple[str, dict[str, str], bytes] | None:
    """(platform, settings, sealed secrets) of a connection."""
    row = connection.execute(
        select(_N.platform, _N.settings, _N.sealed).where(
            _N.tenant_id == connection.tenant_id, _N.id == connection_id, _N.deleted_at.is_(None)
        )
    ).first()
    return None if row is None else (row[0], json.loads(row[1]), bytes(row[2]))


def lock_connection(connection: TenantConnection, dialect: Dialect, connection_id: str) -> str | None:
    """The name of a connection, which is locked until the commit; None where there is none."""
    statement = select(_N.name).where(
        _N.tenant_id == connection.tenant_id, _N.id == connection_id, _N.deleted_at.is_(None)
    )
    return connection.execute(dialect.lock(statement, ad_connections)).scalar()


def has_campaigns(connection: TenantConnection, connection_id: str) -> bool:
    """Whether campaigns run on a connection."""
    of_it = (_C.tenant_id == connection.tenant_id, _C.connection_id == connection_id, _C.deleted_at.is_(None))
    return connection.execute(select(_C.id).where(*of_it).limit(1)).first() is not None


def delete_connection(connection: TenantConnection, connection_id: str, name: str, now: Instant) -> None:
    """Makes a connection one that was: its secrets are gone, its name is free for another."""
    connection.execute(
        update(ad_connections)
        .where(_N.tenant_id == connection.tenant_id, _N.id == connection_id)
        .values(
            name=_freed(name, connection_id),
            settings="{}",
            sealed=b"",
            secret_names=json.dumps(()),
            active=False,
            deleted_at=now,
        )
    )
    connection.execute(
        delete(ad_breakers).where(_B.tenant_id == connection.tenant_id, _B.connection_id == connection_id)
    )


def delete_campaign(connection: TenantConnection, campaign_id: str, external_id: str, now: Instant) -> None:
    """Makes a campaign one that was: nothing holds it any more and no order to it counts as the latest."""
    for table, c in ((ad_campaign_products, _P), (ad_holds, _H)):
        connection.execute(delete(table).where(c.tenant_id == connection.tenant_id, c.campaign_id == campaign_id))
    connection.execute(
        update(ad_campaigns)
        .where(_C.tenant_id == connection.tenant_id, _C.id == campaign_id)
        .values(external_id=_freed(external_id, campaign_id), active=False, last_action_id=None, deleted_at=now)
    )


def list_connections(connection: TenantConnection) -> list[Connection]:
    """All connections by name, with what their breaker counts as."""
    rows = connection.execute(
        select(
            _N.id, _N.name, _N.platform, _N.settings, _N.secret_names, _N.active, _N.updated_at,
            _B.state, _B.failures, _B.open_until, _B.probe_until,
        )
        .join_from(
            ad_connections,
            ad_breakers,
            and_(_B.tenant_id == _N.tenant_id, _B.connection_id == _N.id),
            isouter=True,
        )
        .where(_N.tenant_id == connection.tenant_id, _N.deleted_at.is_(None))
        .order_by(_N.name)
    )  # fmt: skip
    return [
        Connection(
            id=row[0],
            name=row[1],
            platform=Platform(row[2]),
            settings=json.loads(row[3]),
            secrets_set=tuple(json.loads(row[4])),
            active=row[5],
            updated_at=row[6],
            breaker=state_of(None if row[7] is None else Breaker(*row[7:11])).value,
        )
        for row in rows
    ]


def insert_campaign(batch: Batch, tenant_id: str, campaign_id: str, given: SaveCampaign) -> None:
    """Adds a campaign whose status nobody knows yet."""
    batch.connection.execute(
        insert(ad_campaigns).values(
            tenant_id=tenant_id,
            id=campaign_id,
            connection_id=given.connection_id,
            external_id=given.external_id,
            name=given.name,
            daily_budget=given.daily_budget,
            currency=given.currency,
            active=given.active,
            status="unknown",
        )
    )


def find_place(connection: TenantConnection, campaign_id: str) -> tuple[str, str] | None:
    """(connection, external id) of a campaign."""
    row = connection.execute(
        select(_C.connection_id, _C.external_id).where(
            _C.tenant_id == connection.tenant_id, _C.id == campaign_id, _C.deleted_at.is_(None)
        )
    ).first()
    return None if row is None else (row[0], row[1])


def forget_status(connection: TenantConnection, campaign_id: str) -> None:
    """What was read of it was read of another campaign."""
    connection.execute(
        update(ad_campaigns)
        .where(_C.tenant_id == connection.tenant_id, _C.id == campaign_id)
        .values(status=CampaignStatus.UNKNOWN.value, status_at=None)
    )


def update_campaign(connection: TenantConnection, given: SaveCampaign) -> None:
    """Changes a campaign."""
    connection.execute(
        update(ad_campaigns)
        .where(_C.tenant_id == connection.tenant_id, _C.id == given.id)
        .values(
            connection_id=given.connection_id,
            external_id=given.external_id,
            name=given.name,
            daily_budget=given.daily_budget,
            currency=given.currency,
            active=given.active,
        )
    )


def write_products(connection: TenantConnection, campaign_id: str, product_ids: Sequence[str]) -> None:
    """Makes these the products of the campaign."""
    connection.execute(
        delete(ad_campaign_products).where(_P.tenant_id == connection.tenant_id, _P.campaign_id == campaign_id)
    )
    rows = [
        {"tenant_id": connection.tenant_id, "campaign_id": campaign_id, "product_id": product_id}
        for product_id in product_ids
    ]
    if rows:
        connection.untenanted().execute(insert(ad_campaign_products), rows)


def find_campaign_id(connection: TenantConnection, connection_id: str, external_id: str) -> str | None:
    """The id of the campaign that a platform calls so."""
    return connection.execute(
        select(_C.id).where(
            _C.tenant_id == connection.tenant_id, _C.connection_id == connection_id, _C.external_id == external_id
        )
    ).scalar()


def find_external_ids(connection: TenantConnection, campaign_ids: Sequence[str]) -> dict[str, str]:
    """What the platforms call campaigns, by their ids."""
    rows = connection.execute(
        select(_C.id, _C.external_id).where(_C.tenant_id == connection.tenant_id, _C.id.in_(campaign_ids))
    )
    return {row[0]: row[1] for row in rows}


def lock_campaigns(
    connection: TenantConnection,
    dialect: Dialect,
    product_ids: Sequence[str] | None,
    campaign_ids: Sequence[str] | None,
) -> list[tuple[str, str]]:
    """(id, connection) of the campaigns in use that advertise some products or have some ids, of all where neither is
    given; locked in order of id."""
    in_use = exists(
        select(_N.id).where(_N.tenant_id == connection.tenant_id, _N.id == _C.connection_id, _N.active.is_(True))
    )
    statement = select(_C.id, _C.connection_id).where(_C.tenant_id == connection.tenant_id, _C.active.is_(True), in_use)
    if product_ids is not None:
        advertises = exists(
            select(_P.campaign_id).where(
                _P.tenant_id == connection.tenant_id,
                _P.campaign_id == _C.id,
                _P.product_id.in_(product_ids),
            )
        )
        statement = statement.where(advertises)
    if campaign_ids is not None:
        statement = statement.where(_C.id.in_(campaign_ids))
    rows = connection.execute(dialect.lock(statement.order_by(_C.id), ad_campaigns))
    return [(row[0], row[1]) for row in rows]


def lock_campaign(connection: TenantConnection, dialect: Dialect, campaign_id: str) -> None:
    """Locks one campaign until the commit."""
    statement = select(_C.id).where(_C.tenant_id == connection.tenant_id, _C.id == campaign_id)
    connection.execute(dialect.lock(statement, ad_campaigns)).first()


def list_tenants(connection: DatabaseConnection, after: str | None, limit: int) -> list[str]:
    """The tenants that have campaigns, after one."""
    statement = select(_C.tenant_id).where(_C.active.is_(True)).distinct().order_by(_C.tenant_id).limit(limit)
    if after is not None:
        statement = statement.where(_C.tenant_id > after)
    return [row[0] for row in connection.execute(statement)]


def write_status(connection: TenantConnection, campaign_id: str, status: str, now: Instant) -> None:
    """What the platform was last heard to say of a campaign."""
    connection.execute(
        update(ad_campaigns)
        .where(_C.tenant_id == connection.tenant_id, _C.id == campaign_id)
        .values(status=status, status_at=now)
    )


def list_campaigns(
    connection: TenantConnection, after: tuple[str, str] | None, limit: int, campaign_id: str | None = None
) -> list[Campaign]:
    """Campaigns by name, after a (name, id); or the one of an id."""
    statement = (
        select(
            _C.id, _C.connection_id, _N.name, _N.platform, _C.external_id, _C.name, _C.daily_budget, _C.currency,
            _C.status, _C.status_at, _C.active,
        )
        .join_from(ad_campaigns, ad_connections, and_(_N.tenant_id == _C.tenant_id, _N.id == _C.connection_id))
        .where(_C.tenant_id == connection.tenant_id, _C.deleted_at.is_(None))
    )  # fmt: skip
    if campaign_id is not None:
        statement = statement.where(_C.id == campaign_id)
    if after is not None:
        name, last_id = after
        statement = statement.where(or_(_C.name > name, and_(_C.name == name, _C.id > last_id)))
    rows = connection.execute(statement.order_by(_C.name, _C.id).limit(limit)).all()
    products = _products_of(connection, [row[0] for row in rows])
    return [
        Campaign(
            id=row[0],
            connection_id=row[1],
            connection_name=row[2],
            platform=Platform(row[3]),
            external_id=row[4],
            name=row[5],
            daily_budget=row[6],
            currency=row[7],
            status=row[8],
            status_at=row[9],
            product_ids=tuple(products.get(row[0], ())),
            active=row[10],
        )
        for row in rows
    ]


def read_spend(connection: TenantConnection) -> list[ProductSpend]:
    """What the ads of each product may cost a day: campaigns in use that are not known to be paused or gone."""
    rows = connection.execute(
        select(_P.product_id, _C.currency, _C.id, func.max(_C.daily_budget))
        .join_from(ad_campaign_products, ad_campaigns, and_(_C.tenant_id == _P.tenant_id, _C.id == _P.campaign_id))
        .where(_P.tenant_id == connection.tenant_id, _C.active.is_(True), _C.status.not_in(("paused", "gone")))
        .group_by(_P.product_id, _C.currency, _C.id)
        .order_by(_P.product_id, _C.currency, _C.id)
    )
    found: dict[tuple[str, str], tuple[int, list[str]]] = {}
    for product_id, currency, campaign_id, budget in rows:
        so_far, campaigns = found.get((product_id, currency), (0, []))
        found[product_id, currency] = (so_far + budget, [*campaigns, campaign_id])
    return [ProductSpend(*key, budget, tuple(campaigns)) for key, (budget, campaigns) in found.items()]


def _freed(text: str, deleted_id: str) -> str:
    """What stays of a text that must be one of its kind, so that another may have it."""
    return f"{text} (deleted {deleted_id})"


def _products_of(connection: TenantConnection, campaign_ids: Sequence[str]) -> dict[str, list[str]]:
    rows = connection.execute(
        select(_P.campaign_id, _P.product_id)
        .where(_P.tenant_id == connection.tenant_id, _P.campaign_id.in_(campaign_ids))
        .order_by(_P.campaign_id, _P.product_id)
    )
    found: dict[str, list[str]] = {}
    for campaign_id, product_id in rows:
        found.setdefault(campaign_id, []).append(product_id)
    return found


def _described(batch: Batch, given: SaveConnection) -> dict[str, Any]:
    return {
        "name": given.name,
        "settings": json.dumps(given.settings, sort_keys=True),
        "active": given.active,
        "updated_at": batch.now,
    }

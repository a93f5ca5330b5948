"""Connections, campaigns and destinations of alerts that were deleted; their rows stay for the history that names them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("ad_connections", "ad_campaigns", "alert_destinations"):
        op.add_column(
            table,
            sa.Column("deleted_at", sa.BigInteger(), nullable=True, comment="history and journal still name it"),
        )


def downgrade() -> None:
    raise NotImplementedError("Revisions only go forward; restore the backup made before the upgrade.")

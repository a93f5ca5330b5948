"""Orders to platforms: until when a request that nobody heard of again may still arrive."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "ad_actions",
        sa.Column(
            "landing_until",
            sa.BigInteger(),
            nullable=False,
            server_default="0",
            comment="until then a request of it that nobody heard of again may still arrive",
        ),
    )


def downgrade() -> None:
    raise NotImplementedError("Revisions only go forward; restore the backup made before the upgrade.")

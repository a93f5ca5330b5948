"""What answers that were given again would have cost.

Revision ID: 0023
Revises: 0022
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "fleet_costs",
        sa.Column(
            "saved_micros",
            sa.BigInteger(),
            nullable=False,
            server_default="0",
            comment="what answers would have cost anew",
        ),
    )


def downgrade() -> None:
    raise NotImplementedError("Revisions only go forward; restore the backup made before the upgrade.")

"""How many requests each process has answered, so that one can tell the share of errors of all of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

Id = sa.String(36).with_variant(postgresql.UUID(as_uuid=False), "postgresql")


def upgrade() -> None:
    op.create_table(
        "request_counts",
        sa.Column("process_id", Id, nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False, comment="answered since the process began"),
        sa.Column("errors", sa.BigInteger(), nullable=False, comment="of them with a fault of ours"),
        sa.Column("counted_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("process_id", name=op.f("pk_request_counts")),
    )


def downgrade() -> None:
    raise NotImplementedError("Revisions only go forward; restore the backup made before the upgrade.")

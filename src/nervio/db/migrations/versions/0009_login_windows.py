"""How often logins were tried of late, for all processes together."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "login_windows",
        sa.Column("name", sa.Text(), nullable=False, comment="SHA-256 of what is counted, hexadecimal"),
        sa.Column("attempts", sa.Text(), nullable=False, comment="JSON: instants, the oldest first"),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_login_windows")),
    )
    op.create_index("ix_login_windows_expires_at", "login_windows", ["expires_at"], unique=False)


def downgrade() -> None:
    raise NotImplementedError("Revisions only go forward; restore the backup made before the upgrade.")

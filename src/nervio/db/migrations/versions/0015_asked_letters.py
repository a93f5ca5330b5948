"""Letters that somebody wants tried again are looked for every two seconds, among any number of others."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    asked = sa.text("asked_by IS NOT NULL")
    op.create_index(
        "ix_dead_letters_asked",
        "dead_letters",
        ["position", "n", "id"],
        unique=False,
        postgresql_where=asked,
        sqlite_where=asked,
    )


def downgrade() -> None:
    raise NotImplementedError("Revisions only go forward; restore the backup made before the upgrade.")

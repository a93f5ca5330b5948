"""Stops that run out and thaw in stages, their policy, requests that two people settle, and drills."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

Id = sa.String(36).with_variant(postgresql.UUID(as_uuid=False), "postgresql")


def upgrade() -> None:
    _extend_halts()
    op.create_table(
        "safety_policies",
        sa.Column("tenant_id", Id, nullable=False),
        sa.Column("two_person_thaw", sa.Boolean(), nullable=False),
        sa.Column("thaw_stage_seconds", sa.Integer(), nullable=False),
        sa.Column("thaw_jitter_seconds", sa.Integer(), nullable=False),
        sa.Column("confirm_within_seconds", sa.Integer(), nullable=False),
        sa.Column("default_level", sa.Text(), nullable=False),
        sa.Column("saved_by", sa.Text(), nullable=False),
        sa.Column("saved_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "default_level IN ('reduce_only', 'read_only', 'all')", name=op.f("ck_safety_policies_default_level")
        ),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_safety_policies")),
    )
    op.create_table(
        "thaw_requests",
        sa.Column("tenant_id", Id, nullable=False),
        sa.Column("id", Id, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False, comment="JSON: halts and stages, or the policy"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("requested_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True, comment="NULL: open"),
        sa.Column("settled_by", sa.Text(), nullable=True),
        sa.Column("settled_at", sa.BigInteger(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.CheckConstraint("kind IN ('thaw', 'policy')", name=op.f("ck_thaw_requests_kind")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_thaw_requests")),
    )
    op.create_index("ix_thaw_requests_outcome", "thaw_requests", ["outcome"], unique=False)
    op.create_table(
        "halt_watchers",
        sa.Column("process_id", Id, nullable=False),
        sa.Column("halts", sa.Text(), nullable=False, comment="JSON: ids of the halts it holds for in force"),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("process_id", name=op.f("pk_halt_watchers")),
    )
    _create_drills()


def _extend_halts() -> None:
    for column in (
        sa.Column("asked_level", sa.Text(), nullable=True, comment="the level it began with; NULL: the same"),
        sa.Column("expires_at", sa.BigInteger(), nullable=True, comment="NULL: latched"),
        sa.Column("former_level", sa.Text(), nullable=True),
        sa.Column("stage_at", sa.BigInteger(), nullable=True),
        sa.Column("stage_us", sa.BigInteger(), nullable=True, comment="between two stages"),
        sa.Column("spread_us", sa.BigInteger(), nullable=True, comment="over which the tenants follow a stage"),
        sa.Column("next_stage_at", sa.BigInteger(), nullable=True, comment="NULL: not being thawed"),
        sa.Column("thawed_by", sa.Text(), nullable=True),
        sa.Column("thaw_reason", sa.Text(), nullable=True),
    ):
        op.add_column("halts", column)


def _create_drills() -> None:
    op.create_table(
        "drills",
        sa.Column("tenant_id", Id, nullable=False),
        sa.Column("id", Id, nullable=False),
        sa.Column("module", sa.Text(), nullable=False, comment="empty: the whole shop or installation"),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("freeze_us", sa.BigInteger(), nullable=True, comment="from asking to the acknowledgement"),
        sa.Column("everywhere_us", sa.BigInteger(), nullable=True, comment="from asking until every process held it"),
        sa.Column("processes", sa.Integer(), nullable=True),
        sa.Column("findings", sa.Text(), nullable=False, comment="JSON: what went wrong, as codes"),
        sa.CheckConstraint("outcome IN ('running', 'passed', 'failed')", name=op.f("ck_drills_outcome")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_drills")),
    )
    op.create_index("ix_drills_scope", "drills", ["tenant_id", "module", "started_at"], unique=False)
    op.create_table(
        "drill_probes",
        sa.Column("tenant_id", Id, nullable=False),
        sa.Column("drill_id", Id, nullable=False),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("written_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "drill_id", "phase", "lane", name=op.f("pk_drill_probes")),
    )


def downgrade() -> None:
    raise NotImplementedError("Revisions only go forward; restore the backup made before the upgrade.")

"""The GPU pool: nodes, requests, leases, quotas, events, samples, agents.

Revision ID: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = ("state", "node", "request", "lease", "quota", "event", "sample", "agent")


def upgrade() -> None:
    op.create_table(
        "updraft_gpu_agent",
        sa.Column("reporter", sa.String(320), primary_key=True),
        sa.Column("cluster", sa.Boolean, nullable=False),
        sa.Column("token_sha256", sa.String(64), nullable=False),
        sa.Column("created_by", sa.String(255), nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
    )
    op.create_table(
        "updraft_gpu_event",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("node", sa.String(320), nullable=False),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("lease_id", sa.String(64), nullable=False),
        sa.Column("body", sa.JSON, nullable=False),
    )
    op.create_index("ix_updraft_gpu_event_at", "updraft_gpu_event", ["at"])
    op.create_index("ix_updraft_gpu_event_node", "updraft_gpu_event", ["node"])
    op.create_table(
        "updraft_gpu_lease",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("token", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("grants", sa.JSON, nullable=False),
        sa.Column("granted_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
        sa.Column("seen_at", sa.Double, nullable=False),
        sa.Column("ends_by", sa.Double, nullable=True),
        sa.Column("notice", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("end", sa.String(16), nullable=False),
        sa.Column("ended_at", sa.Double, nullable=True),
    )
    op.create_index("ix_updraft_gpu_lease_ended_at", "updraft_gpu_lease", ["ended_at"])
    op.create_index("ix_updraft_gpu_lease_request_id", "updraft_gpu_lease", ["request_id"])
    op.create_index("ix_updraft_gpu_lease_state", "updraft_gpu_lease", ["state"])
    op.create_table(
        "updraft_gpu_node",
        sa.Column("name", sa.String(320), primary_key=True),
        sa.Column("reporter", sa.String(320), nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.Column("devices", sa.JSON, nullable=False),
        sa.Column("reported_at", sa.Double, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("clock_skew_s", sa.Double, nullable=False),
        sa.Column("cordoned", sa.Text, nullable=False),
        sa.Column("lost", sa.Boolean, nullable=False),
    )
    op.create_table(
        "updraft_gpu_quota",
        sa.Column("team", sa.String(64), primary_key=True),
        sa.Column("guaranteed", sa.Double, nullable=False),
        sa.Column("limit", sa.Double, nullable=True),
        sa.Column("weight", sa.Double, nullable=False),
    )
    op.create_table(
        "updraft_gpu_request",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("key", sa.String(512), nullable=False),
        sa.Column("holder", sa.String(255), nullable=False),
        sa.Column("team", sa.String(64), nullable=False),
        sa.Column("ask", sa.JSON, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("submitted_at", sa.Double, nullable=False),
        sa.Column("waiting_since", sa.Double, nullable=False),
        sa.Column("seen_at", sa.Double, nullable=False),
        sa.Column("reasons", sa.JSON, nullable=False),
        sa.Column("starts_at", sa.Double, nullable=True),
        sa.Column("lease_id", sa.String(64), nullable=False),
        sa.Column("preemptions", sa.Integer, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("end", sa.String(16), nullable=False),
        sa.Column("ended_at", sa.Double, nullable=True),
    )
    op.create_index("ix_updraft_gpu_request_ended_at", "updraft_gpu_request", ["ended_at"])
    op.create_index("ix_updraft_gpu_request_state", "updraft_gpu_request", ["state"])
    op.create_index("ix_updraft_gpu_request_team", "updraft_gpu_request", ["team"])
    op.create_table(
        "updraft_gpu_sample",
        sa.Column("node", sa.String(320), primary_key=True),
        sa.Column("at", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("capacity_milli", sa.Integer, nullable=False),
        sa.Column("leased_milli", sa.Integer, nullable=False),
        sa.Column("foreign_mib", sa.BigInteger, nullable=False),
        sa.Column("used_mib", sa.BigInteger, nullable=False),
        sa.Column("memory_mib", sa.BigInteger, nullable=False),
        sa.Column("utilisation_pct", sa.Double, nullable=True),
        sa.Column("temperature_c", sa.Double, nullable=True),
        sa.Column("power_w", sa.Double, nullable=True),
    )
    op.create_index("ix_updraft_gpu_sample_at", "updraft_gpu_sample", ["at"])
    op.create_table(
        "updraft_gpu_state",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("next_token", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(f"updraft_gpu_{table}")

"""The alerts that Alertmanager has told of.

Revision ID: 0004
"""

import sqlalchemy as sa
from airflow.utils.sqlalchemy import UtcDateTime
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "updraft_alert",
        sa.Column("fingerprint", sa.String(64), primary_key=True),
        sa.Column("starts_at", UtcDateTime, primary_key=True),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("summary", sa.Text, nullable=False),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.Column("ends_at", UtcDateTime, nullable=True),
        sa.Column("at", UtcDateTime, nullable=False),
    )
    op.create_index("ix_updraft_alert_model", "updraft_alert", ["model"])
    op.create_index("ix_updraft_alert_at", "updraft_alert", ["at"])


def downgrade() -> None:
    op.drop_table("updraft_alert")

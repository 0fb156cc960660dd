"""What people have trials under way do.

Revision ID: 0009
"""

import sqlalchemy as sa
from airflow.utils.sqlalchemy import UtcDateTime
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "updraft_trial_order",
        sa.Column("entry", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("run_key", sa.String(320), nullable=False),
        sa.Column("trial_order", sa.String(16), nullable=False),
        sa.Column("who", sa.String(255), nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
    )
    op.create_index("ix_updraft_trial_order_run_key", "updraft_trial_order", ["run_key"])


def downgrade() -> None:
    op.drop_table("updraft_trial_order")

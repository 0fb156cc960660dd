"""What people have trials under way do.

Revision ID: 0010
"""

import sqlalchemy as sa
from airflow.utils.sqlalchemy import UtcDateTime
from alembic import op

from lifecycle.db.append_only import allow_changes, forbid_changes

revision = "0010"
down_revision = "0009"
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
    forbid_changes("updraft_trial_order")


def downgrade() -> None:
    allow_changes("updraft_trial_order")
    op.drop_table("updraft_trial_order")

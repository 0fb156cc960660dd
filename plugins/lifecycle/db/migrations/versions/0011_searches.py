"""Searches for hyperparameters, and their trials.

Revision ID: 0011
"""

import sqlalchemy as sa
from airflow.utils.sqlalchemy import UtcDateTime
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "updraft_search",
        sa.Column("run_key", sa.String(320), primary_key=True),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("plan", sa.JSON, nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
    )
    op.create_index("ix_updraft_search_model", "updraft_search", ["model"])
    op.create_table(
        "updraft_trial",
        sa.Column("run_key", sa.String(320), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("params", sa.JSON, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("value", sa.Float),
        sa.Column("steps", sa.JSON, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("ended", UtcDateTime),
    )


def downgrade() -> None:
    op.drop_table("updraft_trial")
    op.drop_table("updraft_search")

"""What alerts bring about, and who holds it.

Revision ID: 0006
"""

import sqlalchemy as sa
from airflow.utils.sqlalchemy import UtcDateTime
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "updraft_act",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("act", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("cause", sa.String(160), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("summary", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("champion", sa.Integer, nullable=True),
        sa.Column("version", sa.Integer, nullable=True),
        sa.Column("run_key", sa.String(320), nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
    )
    for column in ("model", "state", "at"):
        op.create_index(f"ix_updraft_act_{column}", "updraft_act", [column])
    op.create_table(
        "updraft_hold",
        sa.Column("entry", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("held", sa.Boolean, nullable=False),
        sa.Column("who", sa.String(255), nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
    )
    op.create_index("ix_updraft_hold_model", "updraft_hold", ["model"])


def downgrade() -> None:
    op.drop_table("updraft_hold")
    op.drop_table("updraft_act")

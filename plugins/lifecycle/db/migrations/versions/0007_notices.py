"""What people are told, by which channel, and how far that is.

Revision ID: 0007
"""

import sqlalchemy as sa
from airflow.utils.sqlalchemy import UtcDateTime
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "updraft_notice",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("channel", sa.String(250), primary_key=True),
        sa.Column("what", sa.String(16), nullable=False),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("urgent", sa.Boolean, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("problem", sa.Text, nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("due", UtcDateTime, nullable=False),
    )
    for column in ("state", "at"):
        op.create_index(f"ix_updraft_notice_{column}", "updraft_notice", [column])


def downgrade() -> None:
    op.drop_table("updraft_notice")

"""The GPU pool: what teams have used of late.

Revision ID: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "updraft_gpu_account",
        sa.Column("team", sa.String(64), primary_key=True),
        sa.Column("gpu_s", sa.Double, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("updraft_gpu_account")

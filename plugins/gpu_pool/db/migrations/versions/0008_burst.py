"""The GPU pool: machines that are taken by the hour.

Revision ID: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("updraft_gpu_node", sa.Column("burst", sa.JSON, nullable=True))


def downgrade() -> None:
    op.drop_column("updraft_gpu_node", "burst")

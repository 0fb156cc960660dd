"""The GPU pool: a node says which of its GPUs are being cut anew.

Revision ID: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("updraft_gpu_node", sa.Column("cuts", sa.JSON, nullable=False, server_default="[]"))


def downgrade() -> None:
    op.drop_column("updraft_gpu_node", "cuts")

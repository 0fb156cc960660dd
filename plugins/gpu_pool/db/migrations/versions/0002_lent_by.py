"""The GPU pool: a lease says which request its devices are lent by.

Revision ID: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("updraft_gpu_lease", sa.Column("lent_by", sa.String(64), nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("updraft_gpu_lease", "lent_by")

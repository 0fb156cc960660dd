"""The GPU pool: when a lease's holder last saved its work.

Revision ID: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("updraft_gpu_lease", sa.Column("saved_at", sa.Double, nullable=True))


def downgrade() -> None:
    op.drop_column("updraft_gpu_lease", "saved_at")
